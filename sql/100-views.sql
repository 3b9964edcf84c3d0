-- ====================================================================================================================
-- gundb: views
--
-- A view is a plain table, a row a key, that maintenance alone writes to. What it needs to take more events in (sums
-- with their counts, writes with their places, removes that must be remembered) stands beside it, in view_state.
-- ====================================================================================================================

CREATE SEQUENCE gundb.view_number AS integer;
COMMENT ON SEQUENCE gundb.view_number IS 'Numbers of views, under which their states are filed.';
SELECT pg_catalog.pg_extension_config_dump('gundb.view_number', '');

CREATE TABLE gundb.view_definition (
    relation regclass NOT NULL PRIMARY KEY,
    number   integer  NOT NULL UNIQUE,
    stream   text     NOT NULL,
    columns  json     NOT NULL,
    key      text     NOT NULL,
    types    text[],
    filter   text,
    deletes  text[]   NOT NULL,
    strict   boolean  NOT NULL,
    initial  jsonb
);
COMMENT ON TABLE gundb.view_definition IS 'The views of this site. gundb.view is for reading.';
COMMENT ON COLUMN gundb.view_definition.initial IS 'What a reducer begins from; NULL for a view of columns. The function is the one that the default of the column "state" names: so PostgreSQL itself keeps it while the view stands, follows its renames, and dumps it.';
CREATE INDEX view_definition_stream ON gundb.view_definition (stream);
SELECT pg_catalog.pg_extension_config_dump('gundb.view_definition', '');

CREATE TABLE gundb.view_state (
    view  integer NOT NULL,
    key   bytea   NOT NULL,
    state bytea   NOT NULL,
    PRIMARY KEY (view, key)
) WITH (fillfactor = 80);
COMMENT ON TABLE gundb.view_state IS 'What is kept of each key''s events, so that more can be taken in (docs/format.md). Its rows are what writers of one key wait for.';
SELECT pg_catalog.pg_extension_config_dump('gundb.view_state', '');

CREATE TABLE gundb.view_skipped (
    view   integer NOT NULL,
    lane   integer NOT NULL,
    events bigint  NOT NULL,
    PRIMARY KEY (view, lane)
);
COMMENT ON TABLE gundb.view_skipped IS 'Events without a key, counted by the number of the lane that their transaction holds: so nobody waits for anybody.';
SELECT pg_catalog.pg_extension_config_dump('gundb.view_skipped', '');

CREATE TABLE gundb.view_pending (
    view     integer     NOT NULL,
    key      text,
    dot      gundb.dot   NOT NULL,
    reason   text        NOT NULL,
    sqlstate text        NOT NULL,
    refused  boolean     NOT NULL,
    since    timestamptz NOT NULL,
    tries    integer     NOT NULL
);
COMMENT ON TABLE gundb.view_pending IS 'Events that a view could not fold, each with its reason. gundb.pending is for reading.';
COMMENT ON COLUMN gundb.view_pending.refused IS 'Whether it could be folded, and the view''s table did not take the row: a constraint, index or trigger of the user''s.';
CREATE INDEX view_pending_view ON gundb.view_pending (view);
SELECT pg_catalog.pg_extension_config_dump('gundb.view_pending', '');

CREATE FUNCTION gundb.maintain() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_maintain';
COMMENT ON FUNCTION gundb.maintain() IS 'The trigger of streams that have views: brings what was appended into them.';
CREATE FUNCTION gundb.guard_view() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_guard_view';
COMMENT ON FUNCTION gundb.guard_view() IS 'The trigger that refuses direct writes to a view''s table (GD014).';

CREATE FUNCTION gundb.create_view(
    name text, stream text, columns json, key text DEFAULT '@key', types text[] DEFAULT NULL,
    filter text DEFAULT NULL, delete text[] DEFAULT NULL, strict boolean DEFAULT false
) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_create_view';
COMMENT ON FUNCTION gundb.create_view(text, text, json, text, text[], text, text[], boolean) IS
    'Makes a view: a table, name or schema.name, with a row for each key of the stream''s events, folded as columns says (docs/folds.md) and maintained from now on in the transaction that appends. delete: types that delete a row. strict: an append that the view cannot fold fails, rather than being left pending. The same again: a notice, nothing else. Appends to the stream go on meanwhile.';
CREATE FUNCTION gundb.create_reducer_view(
    name text, stream text, reducer regprocedure, initial jsonb DEFAULT '{}', key text DEFAULT '@key'
) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_create_reducer_view';
COMMENT ON FUNCTION gundb.create_reducer_view(text, text, regprocedure, jsonb, text) IS
    'Makes a view with one column, state jsonb, besides its key: for each key what the reducer, an IMMUTABLE function f(state jsonb, event gundb.event) RETURNS jsonb, makes of initial, called with one event of the key after the other, in total order (docs/folds.md). It runs as the view''s owner. The same again: a notice, nothing else. Appends to the stream go on meanwhile.';
CREATE FUNCTION gundb.view_reducer(view regclass) RETURNS regprocedure
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.refobjid::regprocedure
      FROM pg_attribute a
      JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
      JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_proc'::regclass
     WHERE a.attrelid = view AND a.attname = 'state'
$$;
COMMENT ON FUNCTION gundb.view_reducer(regclass) IS 'The function that a reducer view calls: the one that the default of its column "state" names.';
CREATE FUNCTION gundb.drop_view(view regclass) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_drop_view';
COMMENT ON FUNCTION gundb.drop_view(regclass) IS 'Drops a view; the stream stays. For the owner of its table. Fails where something depends on the table.';
CREATE FUNCTION gundb.alter_view(
    view regclass, add json DEFAULT NULL, change json DEFAULT NULL, drop text[] DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_alter_view';
COMMENT ON FUNCTION gundb.alter_view(regclass, json, json, text[]) IS
    'Drops columns of a view by their names, defines columns anew and adds columns, both as create_view takes them. The table stays, with its indexes, privileges, triggers and columns of yours. For the owner of its table. Folds the whole stream; appends and reads wait only while the new columns are written.';
CREATE FUNCTION gundb.rebuild_view(view regclass) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_rebuild_view';
COMMENT ON FUNCTION gundb.rebuild_view(regclass) IS 'Folds a view anew from all events of its stream, and tries what was pending again. Returns how many rows it has. For the owner of its table. Appends go on meanwhile; readers see the old rows until the transaction commits.';
CREATE FUNCTION gundb.check_view(view regclass)
    RETURNS TABLE (key text, problem text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_check_view';
COMMENT ON FUNCTION gundb.check_view(regclass) IS 'The keys whose row or state is not what their events give, through the transaction''s snapshot: none, unless the disk or a hand has damaged something. Folds the whole stream.';

CREATE FUNCTION gundb.view_rows(view regclass) RETURNS bigint
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found bigint;
BEGIN
    IF has_table_privilege(view, 'SELECT') THEN
        EXECUTE format('SELECT count(*) FROM ONLY %s', view) INTO found;
    END IF;
    RETURN found;
END
$$;
COMMENT ON FUNCTION gundb.view_rows(regclass) IS 'How many rows a view has, counted; NULL for who may not read it.';

CREATE FUNCTION gundb.view_microseconds(view regclass) RETURNS double precision
    LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_view_microseconds';
COMMENT ON FUNCTION gundb.view_microseconds(regclass) IS 'What maintaining a view has cost an event of its stream since the server started, on average, in microseconds; NULL while nothing is known.';

CREATE VIEW gundb.view AS
    SELECT d.relation AS view, d.stream, d.key, d.columns, d.types, d.filter, d.deletes AS delete, d.strict,
           gundb.view_rows(d.relation) AS rows,
           coalesce((SELECT pg_catalog.sum(s.events) FROM gundb.view_skipped s WHERE s.view = d.number), 0)::bigint AS skipped,
           (SELECT pg_catalog.count(*) FROM gundb.view_pending p WHERE p.view = d.number) AS pending,
           gundb.view_microseconds(d.relation) AS microseconds,
           CASE WHEN d.initial IS NOT NULL THEN gundb.view_reducer(d.relation) END AS reducer, d.initial
      FROM gundb.view_definition d;
COMMENT ON VIEW gundb.view IS 'The views of this site.';
COMMENT ON COLUMN gundb.view.view IS 'Its table.';
COMMENT ON COLUMN gundb.view.stream IS 'The stream that it is made of.';
COMMENT ON COLUMN gundb.view.key IS 'The paths whose values are the key, as create_view was given them.';
COMMENT ON COLUMN gundb.view.columns IS 'The columns besides the key: how events are folded into each (docs/folds.md).';
COMMENT ON COLUMN gundb.view.types IS 'The types of events that are folded; NULL: all.';
COMMENT ON COLUMN gundb.view.filter IS 'What an event must be like to be folded; NULL: anything.';
COMMENT ON COLUMN gundb.view.delete IS 'The types of events that delete a row.';
COMMENT ON COLUMN gundb.view.strict IS 'Whether an append fails that the view cannot fold; else its events are left pending.';
COMMENT ON COLUMN gundb.view.rows IS 'Rows, counted, which takes a scan; NULL for who may not read the view.';
COMMENT ON COLUMN gundb.view.skipped IS 'Events that have no key in the view.';
COMMENT ON COLUMN gundb.view.pending IS 'Events that the view could not fold; gundb.pending says why.';
COMMENT ON COLUMN gundb.view.microseconds IS 'What maintaining the view has cost an event of its stream since the server started, on average; NULL while nothing is known.';
COMMENT ON COLUMN gundb.view.reducer IS 'The function that makes the rows; NULL for a view of columns.';
COMMENT ON COLUMN gundb.view.initial IS 'What the reducer begins from.';
GRANT SELECT ON gundb.view TO PUBLIC;

REVOKE ALL ON FUNCTION gundb.maintain(), gundb.guard_view(),
    gundb.create_view(text, text, json, text, text[], text, text[], boolean),
    gundb.create_reducer_view(text, text, regprocedure, jsonb, text) FROM PUBLIC;
