-- Prints docs/reference.md: what the extension's objects are, who may use them, and what their comments say. tests/docs.sh
-- runs it, by psql -At, and fails where the file says otherwise, or where the last query here finds something without a
-- comment. All names are sorted by their bytes, so that nothing depends on the order in which the scripts make them.

CREATE TEMP VIEW ours AS
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'gundb'
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

-- Text for a paragraph, and for a cell of a table.
CREATE FUNCTION pg_temp.prose(text text) RETURNS text IMMUTABLE LANGUAGE sql
    RETURN replace(replace(replace($1, '<', '&lt;'), '*', '\*'), E'\n', ' ');
CREATE FUNCTION pg_temp.cell(text text) RETURNS text IMMUTABLE LANGUAGE sql RETURN replace(pg_temp.prose($1), '|', '\|');

-- Who holds a privilege, in words.
CREATE FUNCTION pg_temp.who(acl aclitem[], owner oid, privilege text, by_default text) RETURNS text STABLE LANGUAGE sql
    RETURN CASE WHEN $1 IS NULL THEN $4
                ELSE (SELECT CASE WHEN bool_or(a.grantee = 0) THEN 'everybody'
                                  ELSE 'the extension''s owner' || coalesce(string_agg(', members of ' || r.rolname, '' ORDER BY r.rolname), '') END
                        FROM (SELECT DISTINCT grantee FROM aclexplode($1) WHERE privilege_type = $3 AND grantee <> $2) a
                        LEFT JOIN pg_roles r ON r.oid = a.grantee) END;

CREATE TEMP VIEW routine AS
    SELECT p.oid, p.proname AS name, p.prokind AS kind, obj_description(p.oid, 'pg_proc') AS comment,
           n.nspname || '.' || p.proname || '(' || pg_get_function_arguments(p.oid) || ')' || ' → ' || pg_get_function_result(p.oid) AS signature,
           pg_temp.who(p.proacl, p.proowner, 'EXECUTE', 'everybody') AS who,
           -- What implements types, operators, indexes, aggregates and triggers.
           p.prorettype = 'trigger'::regtype OR 'internal'::regtype = ANY (p.proargtypes) OR p.prorettype = 'internal'::regtype
           OR p.oid IN (SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend]) FROM pg_type)
           OR p.oid IN (SELECT amproc FROM pg_amproc)
           OR p.oid IN (SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn]) FROM pg_aggregate)
              AND p.proname NOT IN ('merge', 'min_hlc', 'max_hlc')
           OR p.oid IN (SELECT oprcode FROM pg_operator) AND p.proname ~ '_(eq|ne|lt|le|gt|ge)$' AS machinery
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN ours o ON o.classid = 'pg_proc'::regclass AND o.objid = p.oid;

CREATE TEMP VIEW relation AS
    SELECT c.oid, c.relname AS name, c.relkind AS kind, obj_description(c.oid, 'pg_class') AS comment,
           pg_temp.who(c.relacl, c.relowner, 'SELECT', 'the extension''s owner') AS who
      FROM pg_class c JOIN ours o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid WHERE c.relkind IN ('r', 'v', 'S');

SELECT '# SQL reference

Every function, view, table, type, operator, cast and operator class of the extension. This page is made of the catalog by `tests/reference.sql`, so it is what your
database says; `\df+ gundb.*` shows the same. Settings are in [settings.md](settings.md), errors in [errors.md](errors.md).

*Who* says who may call or read it; a function may ask for more, as its text says. The extension''s owner, and superusers, may all of it; `gundb.grant_admin` and `GRANT` give some of it to others.

[Functions](#functions) · [Aggregates](#aggregates) · [Views](#views) · [Tables](#tables) · [Types](#types) · [Operators](#operators) · [Casts](#casts) · [Operator classes](#operator-classes) · [Machinery](#machinery)';

-- Functions and aggregates: those of one name that say the same of several types stand together.
WITH groups AS (
    SELECT kind = 'a' AS aggregate, name, comment, who, string_agg(signature, E'\n' ORDER BY signature COLLATE "C") AS signatures, min(signature COLLATE "C") AS first
      FROM routine WHERE NOT machinery GROUP BY 1, 2, 3, 4
), entries AS (
    SELECT aggregate, name,
           string_agg(E'```text\n' || signatures || E'\n```\n\n' || pg_temp.prose(coalesce(comment, '')) || ' *Who: ' || who || '.*', E'\n\n' ORDER BY first COLLATE "C") AS body
      FROM groups GROUP BY 1, 2
)
SELECT E'\n## ' || CASE WHEN aggregate THEN 'Aggregates' ELSE 'Functions' END || E'\n\n' || string_agg('### ' || name || E'\n\n' || body, E'\n\n' ORDER BY name COLLATE "C")
  FROM entries GROUP BY aggregate ORDER BY aggregate;

SELECT E'\n## ' || CASE kind WHEN 'v' THEN 'Views' WHEN 'r' THEN 'Tables' ELSE 'Sequences' END || E'\n\n'
       || CASE kind WHEN 'r' THEN E'Where gundb keeps what it knows. Read views and call functions instead; they stay as they are.\n\n' ELSE '' END
       || string_agg('### gundb.' || name || CASE kind WHEN 'S' THEN ' (sequence)' ELSE '' END || E'\n\n' || pg_temp.prose(coalesce(comment, '')) || ' *Who: ' || who || '.*'
                     || CASE kind WHEN 'S' THEN '' ELSE E'\n\n| column | type | |\n|---|---|---|\n'
                     || (SELECT string_agg('| `' || attname || '` | ' || format_type(atttypid, atttypmod) || ' | ' || coalesce(pg_temp.cell(col_description(r.oid, attnum)), '') || ' |', E'\n' ORDER BY attnum)
                           FROM pg_attribute WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped) END,
                     E'\n\n' ORDER BY name COLLATE "C")
  FROM relation r GROUP BY kind ORDER BY array_position('{v,r,S}', kind::text);

SELECT E'\n## Types\n\n| type | |\n|---|---|\n'
       || string_agg('| `' || format_type(t.oid, NULL) || '` | ' || pg_temp.cell(coalesce(obj_description(t.oid, 'pg_type'), obj_description(t.typrelid, 'pg_class'), '')) || ' |', E'\n' ORDER BY t.typname COLLATE "C")
  FROM pg_type t JOIN ours o ON o.classid = 'pg_type'::regclass AND o.objid = t.oid
  LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE t.typelem = 0 AND coalesce(c.relkind, 'c') = 'c';

SELECT E'\n## Operators\n\n| operator | result | |\n|---|---|---|\n'
       || string_agg('| `' || coalesce(nullif(p.oprleft, 0)::regtype || ' ', '') || replace(p.oprname, '|', '\|') || ' ' || p.oprright::regtype || '` | ' || p.oprresult::regtype || ' | '
                     || pg_temp.cell(coalesce(obj_description(p.oid, 'pg_operator'), obj_description(p.oprcode, 'pg_proc'), '')) || ' |', E'\n'
                     ORDER BY p.oprleft::regtype::text COLLATE "C", p.oprname COLLATE "C", p.oprright::regtype::text COLLATE "C")
  FROM pg_operator p JOIN ours o ON o.classid = 'pg_operator'::regclass AND o.objid = p.oid;

SELECT E'\n## Casts\n\n| from | to | |\n|---|---|---|\n'
       || string_agg('| `' || c.castsource::regtype || '` | `' || c.casttarget::regtype || '` | ' || CASE c.castcontext WHEN 'e' THEN 'explicit' WHEN 'a' THEN 'in assignments' ELSE 'implicit' END || ' |', E'\n'
                     ORDER BY c.castsource::regtype::text COLLATE "C", c.casttarget::regtype::text COLLATE "C")
  FROM pg_cast c JOIN ours o ON o.classid = 'pg_cast'::regclass AND o.objid = c.oid;

SELECT E'\n## Operator classes\n\n| class | for | index | |\n|---|---|---|---|\n'
       || string_agg('| `' || c.opcname || '` | `' || c.opcintype::regtype || '` | ' || m.amname || ' | ' || CASE WHEN c.opcdefault THEN 'default' ELSE '' END || ' |', E'\n'
                     ORDER BY c.opcname COLLATE "C", c.opcintype::regtype::text COLLATE "C", m.amname COLLATE "C")
  FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod JOIN ours o ON o.classid = 'pg_opclass'::regclass AND o.objid = c.oid;

SELECT E'\n## Machinery\n\nWhat implements the above: input and output of types, comparison, parts of aggregates, triggers. Nobody calls these by hand.\n\n| function | who | |\n|---|---|---|\n'
       || string_agg('| `' || replace(signature, '|', '\|') || '` | ' || who || ' | ' || pg_temp.cell(coalesce(comment, '')) || ' |', E'\n' ORDER BY signature COLLATE "C")
  FROM routine WHERE machinery;

-- Last, for tests/docs.sh: what has no comment.
\o :without_comment
SELECT 'function ' || oid::regprocedure FROM routine WHERE comment IS NULL
UNION ALL
SELECT 'relation ' || oid::regclass FROM relation WHERE comment IS NULL
UNION ALL
SELECT 'type ' || t.oid::regtype FROM pg_type t JOIN ours o ON o.classid = 'pg_type'::regclass AND o.objid = t.oid
 WHERE t.typelem = 0 AND t.typrelid = 0 AND obj_description(t.oid, 'pg_type') IS NULL
 ORDER BY 1;
