-- ====================================================================================================================
-- gundb: looking back
--
-- A row is a function of its events, so what a view was is the fold of the events that were known then: nothing is
-- stored for it.
-- ====================================================================================================================

-- What came from others is known from the epoch on that covers it.
CREATE INDEX epoch_since ON gundb.epoch (since, number) WHERE since IS NOT NULL;

CREATE FUNCTION gundb.clock_at("time" timestamptz) RETURNS gundb.clock
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
