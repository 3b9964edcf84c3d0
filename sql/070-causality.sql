-- ====================================================================================================================
-- gundb: causality, digests, proofs
-- ====================================================================================================================

CREATE FUNCTION gundb.context(event anyelement) RETURNS gundb.clock
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_context';
COMMENT ON FUNCTION gundb.context(anyelement) IS
    'What the author of an event had seen: a row of a stream''s table, of gundb.event, or a dot. Needs SELECT on the stream''s table.';
CREATE FUNCTION gundb.happened_before(a anyelement, b anyelement) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_happened_before';
COMMENT ON FUNCTION gundb.happened_before(anyelement, anyelement) IS
    'Whether event a is in the context of event b; rows of one table, or dots. Not transitive across sites while transactions stay open.';
CREATE FUNCTION gundb.concurrent(a anyelement, b anyelement) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_concurrent';
COMMENT ON FUNCTION gundb.concurrent(anyelement, anyelement) IS
    'Whether neither event is in the other''s context; rows of one table, or dots.';
CREATE FUNCTION gundb.causal_sort(dots gundb.dot[], contexts gundb.clock[] DEFAULT NULL)
    RETURNS TABLE (place bigint, dot gundb.dot)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_causal_sort';
COMMENT ON FUNCTION gundb.causal_sort(gundb.dot[], gundb.clock[]) IS
    'The events in an order in which none comes before what is in its context; ties by dot. contexts: instead of the stored ones, for events held elsewhere. A cycle is GD012.';

CREATE FUNCTION gundb.dot_name(dot gundb.dot) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_dot_name';
COMMENT ON FUNCTION gundb.dot_name(gundb.dot) IS 'A dot with names: site/stream/lane/seq. GD011, with the uuids, if several sites bear the name.';
CREATE FUNCTION gundb.dot_named(name text) RETURNS gundb.dot
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_dot_named';
COMMENT ON FUNCTION gundb.dot_named(text) IS 'The dot of a name that dot_name printed. GD011, with the uuids, if several sites bear the site''s name.';

CREATE FUNCTION gundb.digest(stream text DEFAULT NULL, clock gundb.clock DEFAULT NULL) RETURNS uuid
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_digest';
COMMENT ON FUNCTION gundb.digest(text, gundb.clock) IS
    'A hash of what is held of a stream, or of all: equal at two sites exactly when they hold the same events. With a clock: of what it covers, GD007 if not all of that is held. Costs lanes, not events.';
CREATE FUNCTION gundb.verify(stream text DEFAULT NULL)
    RETURNS TABLE (stream text, site uuid, lane gundb.lane, seq bigint, problem text)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_verify';
COMMENT ON FUNCTION gundb.verify(text) IS
    'Recomputes the chains of a stream, or of all that the caller may read, and returns the first damaged or missing event of each lane; no rows: all is well. Reads every event.';
