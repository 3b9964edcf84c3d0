-- House rules that the catalog can tell. Each query lists what breaks one, and must list nothing.

-- Every function, aggregate and type has a comment.
SELECT o.object::text
FROM (
    SELECT 'pg_proc'::regclass, p.oid, p.oid::regprocedure::text FROM pg_proc p
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, t.oid::regtype::text FROM pg_type t
    WHERE t.typrelid = 0 AND t.typelem = 0
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'v', 'm', 'S', 'c')
) AS o (class, oid, object)
JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'gundb'
WHERE NOT EXISTS (SELECT FROM pg_description c WHERE c.classoid = o.class AND c.objoid = o.oid AND c.objsubid = 0)
ORDER BY 1;

-- Every column of an event has a comment.
SELECT a.attname
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.oid = 'gundb.event'::regclass AND col_description(c.oid, a.attnum) IS NULL
ORDER BY 1;

-- Functions in SQL and PL/pgSQL pin their search_path, unless their body was parsed when they were made.
SELECT p.oid::regprocedure
FROM pg_proc p
JOIN pg_language l ON l.oid = p.prolang AND l.lanname IN ('sql', 'plpgsql')
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE p.prosqlbody IS NULL AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
ORDER BY 1;

-- What runs as its owner pins it whatever its language.
SELECT p.oid::regprocedure
FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE p.prosecdef AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
ORDER BY 1;

-- The tables that hold state, and the sequences, are dumped; secrets, and what is known of a peer for now, are not.
SELECT c.oid::regclass
FROM pg_class c
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE c.relkind IN ('r', 'S') AND c.oid NOT IN ('gundb.event'::regclass, 'gundb.peer_secret'::regclass, 'gundb.peer_state'::regclass, 'gundb.comparison'::regclass) AND c.oid <> ALL (coalesce(e.extconfig, '{}'))
ORDER BY 1;

-- Each operator has a side of a type of ours: none shadows one of PostgreSQL's.
SELECT o.oid::regoperator
FROM pg_operator o
JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE NOT EXISTS (
    SELECT FROM pg_type t
    JOIN pg_depend dt ON dt.classid = 'pg_type'::regclass AND dt.objid = t.oid AND dt.deptype = 'e' AND dt.refobjid = e.oid
    WHERE t.oid IN (o.oprleft, o.oprright))
ORDER BY 1;

-- What PostgreSQL itself checks of operators and operator classes.
SELECT o.oid::regoperator, 'no commutator' AS wrong
FROM pg_operator o
JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE o.oprname IN ('=', '<>', '<', '<=', '>', '>=') AND o.oprcom = 0
UNION ALL
SELECT o.oid::regoperator, 'HASHES without a hash operator class'
FROM pg_operator o
JOIN pg_depend d ON d.classid = 'pg_operator'::regclass AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE o.oprcanhash AND NOT EXISTS (
    SELECT FROM pg_amop a JOIN pg_am m ON m.oid = a.amopmethod AND m.amname = 'hash' WHERE a.amopopr = o.oid)
ORDER BY 1, 2;
SELECT c.opcname, m.amname
FROM pg_opclass c
JOIN pg_am m ON m.oid = c.opcmethod
JOIN pg_depend d ON d.classid = 'pg_opclass'::regclass AND d.objid = c.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb'
WHERE NOT amvalidate(c.oid)
ORDER BY 1, 2;
