-- ====================================================================================================================
-- gundb: reading
-- ====================================================================================================================

GRANT SELECT ON gundb.span TO PUBLIC;

CREATE FUNCTION gundb.read(
    stream text DEFAULT NULL, after gundb.clock DEFAULT '{}', max integer DEFAULT 1000, types text[] DEFAULT NULL,
    key text DEFAULT NULL
) RETURNS TABLE (
    stream text, dot gundb.dot, hlc gundb.hlc, xact gundb.hlc, id uuid, type text, key text, data jsonb, meta jsonb,
    next gundb.clock
)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'gundb_read';
COMMENT ON FUNCTION gundb.read(text, gundb.clock, integer, text[], text) IS
    'A page of events after a clock, of one stream or of all that the caller may read: whole transactions in the order of their greatest stamp, total order inside. max is exceeded only by one larger transaction. next, the clock after the row''s whole transaction, is what to pass as after.';

CREATE FUNCTION gundb.site_clock() RETURNS gundb.clock
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_site_clock';
COMMENT ON FUNCTION gundb.site_clock() IS
    'What this site holds, as this transaction sees it: covers a dot exactly when the event is here. Two index probes a lane.';

CREATE FUNCTION gundb.history(stream text, key text)
    RETURNS TABLE (dot gundb.dot, hlc gundb.hlc, id uuid, type text, data jsonb, meta jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF stream IS NULL OR key IS NULL THEN
        RAISE EXCEPTION 'arguments "stream" and "key" must not be null' USING ERRCODE = '22004';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT gundb.dot(e.site, gundb.stream_id(%1$L), e.lane, e.seq), e.hlc, e.id, e.type, e.data, e.meta
           FROM ONLY %2$s e WHERE e.key = $1 ORDER BY e.hlc, e.site, e.lane, e.seq',
        stream, gundb.stream_regclass(stream)) USING key;
END
$$;
COMMENT ON FUNCTION gundb.history(text, text) IS 'The events of one key, in total order. Needs SELECT on the stream''s table.';

CREATE FUNCTION gundb.stream_regclass(stream text) RETURNS regclass
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_regclass';
COMMENT ON FUNCTION gundb.stream_regclass(text) IS 'The table of a stream; GD008 if there is none.';

CREATE FUNCTION gundb.stream_rows(stream text) RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_rows';
COMMENT ON FUNCTION gundb.stream_rows(text) IS 'How many events a stream holds: exact, two index probes a lane.';
CREATE FUNCTION gundb.stream_rows_since(stream text, since gundb.hlc) RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_rows_since';
COMMENT ON FUNCTION gundb.stream_rows_since(text, gundb.hlc) IS 'How many events of a stream have this stamp or a later one: each lane is halved.';
CREATE FUNCTION gundb.events_after(stream text, clock gundb.clock) RETURNS bigint
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_events_after';
COMMENT ON FUNCTION gundb.events_after(text, gundb.clock) IS 'How many events of a stream, or of all, a clock does not cover.';

CREATE VIEW gundb.stream AS
    SELECT t.name,
           gundb.stream_id(t.name) AS stream,
           t.relid::regclass AS "table",
           coalesce((SELECT d.data->'closed' = 'true' FROM gundb.definitions() d
                      WHERE d.type = 'StreamDeclared' AND d.key = t.name
                      ORDER BY d.hlc DESC, d.site DESC, d.lane DESC, d.seq DESC LIMIT 1), false) AS closed,
           r.rows,
           s.bytes,
           CASE WHEN r.rows > 0 THEN (s.bytes::numeric * r.today / r.rows)::bigint ELSE 0 END AS bytes_a_day
      FROM gundb.stream_table t
     CROSS JOIN LATERAL (SELECT pg_catalog.pg_total_relation_size(t.relid) AS bytes) s
     CROSS JOIN LATERAL (SELECT gundb.stream_rows(t.name) AS rows,
                                gundb.stream_rows_since(t.name, (pg_catalog.now() - interval '1 day')::gundb.hlc) AS today) r;
COMMENT ON VIEW gundb.stream IS 'The streams that have a table here.';
COMMENT ON COLUMN gundb.stream.rows IS 'Events, exactly.';
COMMENT ON COLUMN gundb.stream.bytes IS 'Size with indexes, in bytes.';
COMMENT ON COLUMN gundb.stream.bytes_a_day IS 'What the events of the last 24 hours take, at the stream''s mean size, in bytes.';
GRANT SELECT ON gundb.stream TO PUBLIC;

-- --------------------------------------------------------------------------------------------------------------------
-- Consumers
-- --------------------------------------------------------------------------------------------------------------------

CREATE TABLE gundb.consumer_state (
    name     text        PRIMARY KEY,
    stream   text,
    types    text[],
    position gundb.clock NOT NULL,
    owner    regrole     NOT NULL,
    created  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    moved    timestamptz
);
COMMENT ON TABLE gundb.consumer_state IS 'The consumers, and the clock up to which each has read.';
SELECT pg_catalog.pg_extension_config_dump('gundb.consumer_state', '');

CREATE FUNCTION gundb.consumers()
    RETURNS TABLE (name text, stream text, types text[], "position" gundb.clock, owner name, lag bigint, moved timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT c.name, c.stream, c.types, c.position, pg_get_userbyid(c.owner::oid), gundb.events_after(c.stream, c.position), c.moved
            FROM gundb.consumer_state c $$;
COMMENT ON FUNCTION gundb.consumers() IS 'The consumers with their lag.';
CREATE VIEW gundb.consumer AS SELECT * FROM gundb.consumers();
COMMENT ON VIEW gundb.consumer IS 'The consumers. lag: events that the position does not cover yet, filtered types included.';
GRANT SELECT ON gundb.consumer TO PUBLIC;

CREATE FUNCTION gundb.create_consumer(
    name text, stream text DEFAULT NULL, types text[] DEFAULT NULL, start text DEFAULT 'beginning',
    after gundb.clock DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_create_consumer';
COMMENT ON FUNCTION gundb.create_consumer(text, text, text[], text, gundb.clock) IS
    'Makes a durable reader of a stream, or of all that its owner may read, that starts at the beginning, the end, or after a clock. The caller owns it.';
CREATE FUNCTION gundb.consume(name text, max integer DEFAULT 100, wait interval DEFAULT '0') RETURNS TABLE (
    stream text, dot gundb.dot, hlc gundb.hlc, xact gundb.hlc, id uuid, type text, key text, data jsonb, meta jsonb,
    next gundb.clock
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'gundb_consume';
COMMENT ON FUNCTION gundb.consume(text, integer, interval) IS
    'The consumer''s next events, whole transactions; its position moves in this transaction, so rolling back gives them again. wait: how long to wait for news where there is none (READ COMMITTED only). A second caller waits for the first.';
CREATE FUNCTION gundb.seek_consumer(name text, start text DEFAULT 'beginning', after gundb.clock DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_seek_consumer';
COMMENT ON FUNCTION gundb.seek_consumer(text, text, gundb.clock) IS 'Moves a consumer to the beginning, the end, or a clock.';
CREATE FUNCTION gundb.drop_consumer(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_drop_consumer';
COMMENT ON FUNCTION gundb.drop_consumer(text) IS 'Drops a consumer.';
