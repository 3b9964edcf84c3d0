\set ECHO none
-- Events of other sites, for tests. test_apply is there in builds with debug assertions only.
--
-- A delivery is {"transactions": [{"site", "run", "xact", "events": [{"stream", "lane", "seq", "hlc", "epoch", "id",
-- "type", "key", "data", "meta", "salt", "chain"}]}], "epochs": [{"site", "run", "number", "clock"}]}; documents and
-- clocks stand in it as texts.
CREATE FUNCTION test_apply(delivery jsonb) RETURNS TABLE (outcome text, reason text)
    LANGUAGE c VOLATILE AS '$libdir/gundb', 'gundb_test_apply';
CREATE FUNCTION test_apply_in_parts(delivery jsonb, events bigint) RETURNS TABLE (outcome text, reason text)
    LANGUAGE c VOLATILE AS '$libdir/gundb', 'gundb_test_apply_in_parts';
CREATE FUNCTION test_chains(delivery jsonb) RETURNS TABLE (place bigint, chain text)
    LANGUAGE c STABLE AS '$libdir/gundb', 'gundb_test_chains';

-- Site number n, its lane number l in its run r, and the dot of an event there.
CREATE FUNCTION site(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid$$;
CREATE FUNCTION lane(r integer, l integer DEFAULT 0) RETURNS gundb.lane LANGUAGE sql IMMUTABLE
    AS $$SELECT (lpad(to_hex(r), 12, '0') || '-' || l)::gundb.lane$$;
CREATE FUNCTION dot(n integer, seq bigint, l integer DEFAULT 0, r integer DEFAULT 1, stream text DEFAULT 'moves') RETURNS gundb.dot LANGUAGE sql IMMUTABLE
    AS $$SELECT gundb.dot(site(n), gundb.stream_id(stream), lane(r, l), seq)$$;
CREATE FUNCTION stamp(ms bigint) RETURNS gundb.hlc LANGUAGE sql IMMUTABLE
    AS $$SELECT (to_char('2026-01-01 00:00:00'::timestamp + ms * interval '1 ms', 'YYYY-MM-DD"T"HH24:MI:SS.MS') || 'Z')::gundb.hlc$$;

-- An epoch of site n that has seen these dots.
CREATE FUNCTION epoch(n integer, number bigint, seen gundb.dot[], r integer DEFAULT 1) RETURNS jsonb LANGUAGE sql IMMUTABLE
    AS $$SELECT jsonb_build_object('site', site(n), 'run', r, 'number', number,
                                   'clock', (SELECT coalesce(gundb.clock_of(d), '{}')::text FROM unnest(seen) AS d))$$;

-- A delivery of events in short: objects with site, ms (the stamp), type, and optionally run, lane, xact (ms), epoch,
-- id, key, data, meta, stream. Each lane begins with its first event here. Epoch 0 has seen nothing.
CREATE FUNCTION delivery(events jsonb, epochs jsonb[] DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    made jsonb;
    next record;
BEGIN
    CREATE TEMP TABLE written ON COMMIT DROP AS
    SELECT o, site((e->>'site')::integer) AS site, coalesce((e->>'run')::integer, 1) AS run,
           coalesce((e->>'lane')::integer, 0) AS lane, coalesce(e->>'stream', 'moves') AS stream,
           (e->>'ms')::bigint AS ms, coalesce((e->>'xact')::bigint, (e->>'ms')::bigint) AS xact, e
      FROM jsonb_array_elements(events) WITH ORDINALITY AS a (e, o);
    SELECT jsonb_build_object(
               'transactions', jsonb_agg(jsonb_build_object('site', site, 'run', run, 'xact', stamp(xact)::text, 'events', all_events) ORDER BY first),
               'epochs', (SELECT jsonb_agg(DISTINCT jsonb_build_object('site', site, 'run', run, 'number', 0, 'clock', '{}')) FROM written)
                         || to_jsonb(epochs))
      INTO made
      FROM (SELECT site, run, xact, min(o) AS first, jsonb_agg(event ORDER BY o) AS all_events
              FROM (SELECT w.*, jsonb_build_object(
                        'stream', gundb.stream_id(stream), 'lane', lane(run, lane)::text,
                        'seq', row_number() OVER (PARTITION BY site, run, lane, stream ORDER BY o),
                        'hlc', stamp(ms)::text, 'epoch', coalesce((e->>'epoch')::bigint, 0),
                        'id', coalesce(e->>'id', md5(site::text || run || ms)::uuid::text), 'type', e->>'type', 'key', e->>'key',
                        'data', coalesce(e->'data', '{}')::text, 'meta', coalesce(e->'meta', '{}')::text, 'salt', md5(ms::text)::uuid,
                        'chain', repeat('0', 32)) AS event
                      FROM written w) AS with_event
             GROUP BY site, run, xact) AS t;
    DROP TABLE written;
    RETURN chained(made);
END
$$;

-- A delivery with the right chains.
CREATE FUNCTION chained(delivery jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    next record;
BEGIN
    FOR next IN
        SELECT p.t, p.e, c.chain
          FROM (SELECT t.o - 1 AS t, e.o - 1 AS e, row_number() OVER (ORDER BY t.o, e.o) AS place
                  FROM jsonb_array_elements(delivery->'transactions') WITH ORDINALITY AS t (x, o),
                       LATERAL jsonb_array_elements(t.x->'events') WITH ORDINALITY AS e (y, o)) AS p
          JOIN test_chains(delivery) AS c USING (place)
    LOOP
        delivery := jsonb_set(delivery, ARRAY['transactions', next.t::text, 'events', next.e::text, 'chain'], to_jsonb(next.chain));
    END LOOP;
    RETURN delivery;
END
$$;

-- The transactions of a delivery from place a to b, counted from 1, with all its epochs.
CREATE FUNCTION part(delivery jsonb, a integer, b integer DEFAULT NULL) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_set(delivery, '{transactions}', coalesce((
        SELECT jsonb_agg(t ORDER BY o) FROM jsonb_array_elements(delivery->'transactions') WITH ORDINALITY AS x (t, o)
         WHERE o BETWEEN part.a AND coalesce(part.b, part.a)), '[]'::jsonb))
$$;

-- All that is held of some streams, and all epochs: transactions in an order in which they may be applied.
CREATE FUNCTION test_export(streams text[]) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object(
        'transactions', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('site', site, 'run', run, 'xact', xact::text, 'events', events)
                                      ORDER BY greatest, site), '[]'::jsonb)
              FROM (SELECT site, run, xact, max(hlc) AS greatest, jsonb_agg(event ORDER BY hlc) AS events
                      FROM (SELECT site, (lane::bigint >> 16) + 140737488355328 AS run, xact, hlc, jsonb_build_object(
                                'stream', gundb.stream_id(s.name), 'lane', lane::text, 'seq', seq, 'hlc', hlc::text, 'epoch', epoch,
                                'id', id, 'type', type, 'key', key, 'data', data::text, 'meta', meta::text, 'salt', salt,
                                'chain', chain::text) AS event
                              FROM gundb.event e JOIN gundb.stream_table s ON s.relid = e.tableoid
                             WHERE s.name = ANY (streams)) AS e
                     GROUP BY site, run, xact) AS t),
        'epochs', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('site', site, 'run', run, 'number', number, 'clock', clock::text)), '[]'::jsonb)
              FROM (SELECT DISTINCT ON (site, run, number) * FROM gundb.epoch) AS e))
$$;
\set ECHO all
