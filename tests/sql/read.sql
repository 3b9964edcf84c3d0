-- Reading: pages of whole transactions, by clock; one stream or all; by type and key; the history of a key.
\i include/attempt.sql

SELECT gundb.create_stream('moves');
SELECT gundb.create_stream('paid');
-- Nothing there: no rows.
SELECT count(*) FROM gundb.read();
SELECT count(*) FROM gundb.read('moves');

INSERT INTO moves (type, key) VALUES ('A', 'x');
BEGIN;
INSERT INTO paid (type, key) VALUES ('B', 'x');
INSERT INTO moves (type, key) VALUES ('C', 'y'), ('D', 'x');
INSERT INTO paid (type) VALUES ('E');
COMMIT;
INSERT INTO moves (type, key) VALUES ('F', 'y');
BEGIN;
INSERT INTO paid (type, key) VALUES ('G', 'x');
COMMIT;
INSERT INTO moves (type) SELECT 'H' FROM generate_series(1, 3);

-- In total order; transactions whole.
SELECT stream, type, key, gundb.seq_of(dot) AS seq, dense_rank() OVER (ORDER BY xact) AS transaction FROM gundb.read();
SELECT type, stream = 'moves' AND gundb.stream_of(dot) = gundb.stream_id('moves') AS of_stream, gundb.seq_of(dot) AS seq FROM gundb.read('moves');
SELECT bool_and(hlc > before) AS ordered FROM (SELECT hlc, lag(hlc) OVER () AS before FROM gundb.read()) AS r WHERE before IS NOT NULL;
-- What is read is what is there.
SELECT count(*) AS same FROM gundb.read('moves') AS r JOIN moves AS m USING (hlc, xact, id, type, data, meta)
WHERE r.key IS NOT DISTINCT FROM m.key AND r.dot = gundb.dot(m.site, gundb.stream_id('moves'), m.lane, m.seq);

-- Pages. A transaction that is larger than max comes whole, alone.
CREATE FUNCTION pg_temp.pages(stream text, max int, types text[] DEFAULT NULL, key text DEFAULT NULL) RETURNS TABLE (page int, events text)
LANGUAGE plpgsql AS $$
DECLARE position gundb.clock := '{}';
BEGIN
    FOR n IN 1 .. 1000 LOOP
        page := n;
        -- The last row's next leads to the next page.
        SELECT string_agg(r.type, '' ORDER BY r.place), (array_agg(r.next ORDER BY r.place DESC))[1] INTO events, position
          FROM gundb.read(pages.stream, position, pages.max, pages.types, pages.key) WITH ORDINALITY
               AS r (stream, dot, hlc, xact, id, type, key, data, meta, next, place);
        EXIT WHEN events IS NULL;
        RETURN NEXT;
    END LOOP;
END $$;
SELECT max, array_agg(events ORDER BY page) AS pages FROM unnest(ARRAY[1, 2, 3, 4, 5, 6, 8, 100, NULL]) AS max, pg_temp.pages(NULL, max) GROUP BY max ORDER BY max;
SELECT max, array_agg(events ORDER BY page) AS pages FROM unnest(ARRAY[1, 2, 3, 100]) AS max, pg_temp.pages('moves', max) GROUP BY max ORDER BY max;
SELECT max, array_agg(events ORDER BY page) AS pages FROM unnest(ARRAY[1, 2, 100]) AS max, pg_temp.pages('paid', max) GROUP BY max ORDER BY max;
-- Of one transaction every row has the same next; it covers it, and nothing later.
SELECT bool_and(next @> dot) AS covers, count(DISTINCT next::text) AS positions, count(DISTINCT xact) AS transactions FROM gundb.read();
SELECT type, (SELECT count(*) FROM gundb.read(after => r.next)) AS left_over FROM gundb.read() AS r;
-- By type, by key, both; filters narrow what is shown and not what a transaction is.
SELECT array_agg(type) FROM gundb.read(types => ARRAY['A', 'G', 'no such']);
SELECT array_agg(type) FROM gundb.read(key => 'x');
SELECT array_agg(type) FROM gundb.read('moves', types => ARRAY['C', 'D', 'F'], key => 'y');
SELECT count(*) FROM gundb.read(types => '{}');
SELECT count(*) FROM gundb.read(key => '');
SELECT max, array_agg(events ORDER BY page) AS pages FROM unnest(ARRAY[1, 2, 3]) AS max, pg_temp.pages(NULL, max, types => ARRAY['A', 'E', 'F', 'H']) GROUP BY max ORDER BY max;
SELECT max, array_agg(events ORDER BY page) AS pages FROM unnest(ARRAY[1, 2]) AS max, pg_temp.pages(NULL, max, key => 'x') GROUP BY max ORDER BY max;
-- All arguments by name; NULL for each is as if it were not given, or without a bound.
SELECT count(*) FROM gundb.read(stream => 'moves', after => '{}', max => 1000, types => NULL, key => NULL);
SELECT count(*) FROM gundb.read(NULL, NULL, NULL, NULL, NULL);
SELECT statement, a.* FROM (VALUES ($$SELECT gundb.read('move')$$), ($$SELECT gundb.read(max => 0)$$), ($$SELECT gundb.read(max => -1)$$), ($$SELECT gundb.read(types => ARRAY['A', NULL])$$),
    ($$SELECT gundb.read(after => 'x')$$)) AS v (statement), pg_temp.attempt(statement) AS a;

-- After a clock that covers what is not here, too: what it covers is not given.
SELECT count(*) FROM gundb.read(after => gundb.site_clock());
SELECT count(*) FROM gundb.read(after => gundb.site_clock() || '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}');
SELECT count(*) FROM gundb.read('moves', after => (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, 9223372036854775807)) FROM moves));
-- The system stream is read by its name only.
SELECT array_agg(DISTINCT stream) FROM gundb.read();
SELECT type, key FROM gundb.read('gundb');
-- A transaction sees what it did.
BEGIN;
INSERT INTO moves (type) VALUES ('I');
SELECT type FROM gundb.read('moves', after => (SELECT gundb.clock_of(dot) FROM gundb.read('moves') WHERE type <> 'I'));
ROLLBACK;
-- An open cursor does not.
BEGIN;
DECLARE c CURSOR FOR SELECT count(*) FROM gundb.read('moves');
INSERT INTO moves (type) VALUES ('J');
FETCH c;
ROLLBACK;

-- site_clock covers exactly what is held.
SELECT bool_and(gundb.site_clock() @> dot) AS held, bool_or(gundb.site_clock() @> gundb.dot(gundb.site_of(dot), gundb.stream_of(dot), gundb.lane_of(dot), 100)) AS not_held FROM gundb.read();
SELECT gundb.site_clock() = (SELECT gundb.clock_of(dot) FROM (SELECT dot FROM gundb.read() UNION ALL SELECT dot FROM gundb.read('gundb')) AS r) AS exact;
SELECT (SELECT (array_agg(next ORDER BY n DESC))[1] FROM gundb.read() WITH ORDINALITY AS r (s, d, h, x, i, t, k, a, m, next, n)) <= gundb.site_clock() AS within;

-- history: a key's events, in total order.
SELECT type, gundb.seq_of(dot) AS seq FROM gundb.history('moves', 'x');
SELECT type FROM gundb.history(stream => 'moves', key => 'y');
SELECT count(*) FROM gundb.history('moves', 'no such key');
SELECT a.state FROM (VALUES ($$SELECT gundb.history('move', 'x')$$), ($$SELECT gundb.history(NULL, 'x')$$), ($$SELECT gundb.history('moves', NULL)$$)) AS v (statement), pg_temp.attempt(statement) AS a;

-- gundb.event reads all streams, definitions too.
SELECT tableoid::regclass, count(*) FROM gundb.event GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM ONLY gundb.event;
-- By time, with the index.
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT type FROM moves WHERE hlc >= '2026-01-01 00:00:00+00'::timestamptz::gundb.hlc ORDER BY hlc;
EXPLAIN (COSTS off) SELECT type FROM moves WHERE key = 'x' ORDER BY hlc;
COMMIT;
SELECT count(*) FROM moves WHERE hlc BETWEEN (now() - interval '1 hour')::gundb.hlc AND (now() + interval '1 hour')::gundb.hlc;
SELECT bool_and(hlc::timestamptz BETWEEN now() - interval '1 hour' AND now() + interval '1 hour') AS recent, bool_and(hlc::timestamptz::gundb.hlc <= hlc) AS floor FROM moves;

-- Long lanes: more rows than are fetched at once, transactions across the border.
SELECT gundb.create_stream('long');
DO $$
BEGIN
    FOR n IN 1 .. 100 LOOP
        INSERT INTO long (type, data) SELECT 'N', to_jsonb(n) FROM generate_series(1, n % 7 + 1);
        COMMIT;
    END LOOP;
END $$;
INSERT INTO long (type) SELECT 'Many' FROM generate_series(1, 2000);
SELECT count(*), count(DISTINCT dot) FROM gundb.read('long', max => 100000);
SELECT sum(length(events)) = (SELECT sum(length(type)) FROM long) AS all_once, max(page) > 10 AS several FROM pg_temp.pages('long', 10);
SELECT count(*) FROM gundb.read('long', max => 10, types => ARRAY['Many']);
SELECT gundb.stream_rows('long'), gundb.stream_rows_since('long', (SELECT min(hlc) FROM long WHERE type = 'Many')), gundb.events_after('long', '{}'),
       gundb.events_after(NULL, gundb.site_clock()), gundb.stream_rows_since('long', '9999-12-31T23:59:59.999Z-ffff');
