-- ====================================================================================================================
-- gundb: looking back
--
-- A row is a function of its events, so what a view was is the fold of the events that were known then: nothing is
-- stored for it.
-- ====================================================================================================================

-- What came from others is known from the epoch on that covers it.
CREATE INDEX epoch_since ON gundb.epoch (since, number) WHERE since IS NOT NULL;

CREATE FUNCTION gundb.clock_at(at timestamptz) RETURNS gundb.clock
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_clock_at';
COMMENT ON FUNCTION gundb.clock_at(timestamptz) IS
    'What this site knew at a time, of what it still holds: its own events with a stamp not after it, and what it had applied of others'' by then. From now on, the clock of all it holds. Two probes a lane, or a halving.';

CREATE FUNCTION gundb.view_at(
    view anyelement, at timestamptz DEFAULT NULL, clock gundb.clock DEFAULT NULL, key text DEFAULT NULL
) RETURNS SETOF anyelement
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_view_at';
COMMENT ON FUNCTION gundb.view_at(anyelement, timestamptz, gundb.clock, text) IS
    'A view as it was: SELECT * FROM gundb.view_at(NULL::stock, at => ''…''). The rows that the events covered by a clock give, by that of a time, or by all that the transaction sees; of one key, or of all. Columns that are not the view''s own are NULL. Needs SELECT on the view''s table. Folds the stream, or the key''s events.';

CREATE FUNCTION gundb.view_history(view regclass, key text)
    RETURNS TABLE (dot gundb.dot, hlc gundb.hlc, type text, id uuid, "row" jsonb)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_view_history';
COMMENT ON FUNCTION gundb.view_history(regclass, text) IS
    'What a key''s row went through, in total order: each state, NULL where it was none, with the event that made it. A function of the events, so the same at every site that holds the same. Needs SELECT on the view''s table and on the stream''s.';

CREATE FUNCTION gundb.view_digest(view regclass) RETURNS uuid
    LANGUAGE c STABLE PARALLEL UNSAFE
    SET "DateStyle" = 'ISO, YMD' SET "TimeZone" = 'UTC'
    AS 'MODULE_PATHNAME', 'gundb_view_digest';
COMMENT ON FUNCTION gundb.view_digest(regclass) IS
    'A hash of the rows of a view: equal at two sites that define it alike and hold the same events. Columns that are not the view''s own do not count. Reads and sorts the view. Needs SELECT on its table.';

-- --------------------------------------------------------------------------------------------------------------------
-- Conflicts shown
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.conflicts(view regclass, key text DEFAULT NULL)
    RETURNS TABLE (key text, "column" text, winner gundb.dot, winner_value text, other gundb.dot, other_value text)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_conflicts';
COMMENT ON FUNCTION gundb.conflicts(regclass, text) IS
    'The conflicts of a view''s lww columns, of one key or of all: values that the winner won over though neither author knew of the other''s write. Closed by a write that has seen both. A function of the events. Folds the stream, or the key''s events. Needs SELECT on the view''s table and on the stream''s.';

CREATE FUNCTION gundb.id_conflicts(stream text) RETURNS TABLE (id uuid, dots gundb.dot[])
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What gundb puts into meta is not part of what was said.
    RETURN QUERY EXECUTE format(
        'SELECT e.id, array_agg(gundb.dot(e.site, gundb.stream_id(%1$L), e.lane, e.seq) ORDER BY e.hlc, e.site, e.lane, e.seq)
           FROM ONLY %2$s e
          WHERE e.id IN (SELECT r.id FROM ONLY %2$s r GROUP BY r.id HAVING count(*) > 1)
          GROUP BY e.id
         HAVING count(DISTINCT (e.type, e.key, e.data::text, (e.meta - ''actor'')::text)) > 1',
        stream, gundb.stream_regclass(stream));
END
$$;
COMMENT ON FUNCTION gundb.id_conflicts(text) IS
    'Ids under which a stream''s events say different things, accepted at sites, or in runs, that did not know of each other; the first dot is the one that counts. Reads the index on id. Needs SELECT on the stream''s table.';

CREATE VIEW gundb.conflict AS
    SELECT 'lww' AS kind, s.name AS stream, d.relation AS view, c.key, c."column",
           c.winner, c.winner_value, c.other, c.other_value, NULL::uuid AS id, NULL::gundb.dot[] AS dots
      FROM gundb.view_definition d JOIN gundb.stream_table s ON s.name = d.stream, LATERAL gundb.conflicts(d.relation) c
     WHERE pg_catalog.has_table_privilege(d.relation, 'SELECT') AND NOT pg_catalog.row_security_active(d.relation)
       AND pg_catalog.has_table_privilege(s.relid, 'SELECT') AND NOT pg_catalog.row_security_active(s.relid)
    UNION ALL
    SELECT 'id', s.name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, i.id, i.dots
      FROM gundb.stream_table s, LATERAL gundb.id_conflicts(s.name) i
     WHERE s.name <> 'gundb' AND pg_catalog.has_table_privilege(s.relid, 'SELECT') AND NOT pg_catalog.row_security_active(s.relid);
COMMENT ON VIEW gundb.conflict IS
    'Where sites that did not know of each other said different things, in the views and streams that the caller may read whole. kind lww: gundb.conflicts(view); kind id: gundb.id_conflicts(stream). Found anew each time, which folds the streams: ask the functions for less.';
GRANT SELECT ON gundb.conflict TO PUBLIC;

-- --------------------------------------------------------------------------------------------------------------------
-- Reverts
-- --------------------------------------------------------------------------------------------------------------------

CREATE TABLE gundb.reverting (
    stream text NOT NULL
);
COMMENT ON TABLE gundb.reverting IS 'Streams with views that hold reverts: elsewhere none are looked for. Copies of a row are harmless.';
SELECT pg_catalog.pg_extension_config_dump('gundb.reverting', '');

CREATE FUNCTION gundb.revert(stream text, ids uuid[]) RETURNS TABLE (dot gundb.dot, id uuid, reverts uuid)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_revert';
COMMENT ON FUNCTION gundb.revert(text, uuid[]) IS
    'Reverts events, all or none: appends for each a gundb.Reverted of its key, with its id in meta.reverts, and views are as if the event had not been, here and wherever the revert arrives. A revert can be reverted. An event that is unknown or reverted already is an error. Needs SELECT and INSERT on the stream''s table.';
CREATE FUNCTION gundb.revert(event anyelement) RETURNS gundb.dot
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_revert_event';
COMMENT ON FUNCTION gundb.revert(anyelement) IS
    'Reverts one event: a row of a stream''s table or of gundb.event, or a dot. Many at once are faster by their ids. Returns the dot of the revert.';
