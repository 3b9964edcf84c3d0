-- Looking back: clock_at, view_at, view_history, view_digest.
--
-- The events of other sites, and of this one's earlier run, stand here as a dump brings them.
\i include/attempt.sql
SET TimeZone = 'UTC';

CREATE TABLE moves () INHERITS (gundb.event);
ALTER TABLE moves ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON moves (id, site, ((lane::bigint) >> 16));
CREATE INDEX ON moves (key, hlc) WHERE key IS NOT NULL;
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves');
ALTER TABLE moves ENABLE ALWAYS TRIGGER zz_gundb_stamp;

-- Paris and Tokyo write on the first of January without knowing of each other. This site, Rome, begins on the second,
-- when it holds what Paris has; on the third it gets what Tokyo has.
SELECT gundb.begin_restore();
\set paris '11111111-1111-1111-1111-111111111111'
\set tokyo '22222222-2222-2222-2222-222222222222'
\set rome '33333333-3333-3333-3333-333333333333'
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data)
SELECT site::uuid, lane::gundb.lane, seq, hlc::gundb.hlc, hlc::gundb.hlc, epoch, md5(site || lane || seq)::uuid, md5(site || lane || seq)::gundb.chain, gen_random_uuid(), type, key, data::jsonb
FROM (VALUES
    (:'paris', '000000000001-0', 1, '2020-01-01T01:00:00.000Z', 0, 'Received', 'apple', '{"qty": 5, "place": "Paris", "label": "red"}'),
    (:'paris', '000000000001-0', 2, '2020-01-01T02:00:00.000Z', 0, 'Received', 'pear', '{"qty": 1, "place": "Paris"}'),
    (:'tokyo', '000000000002-0', 1, '2020-01-01T03:00:00.000Z', 0, 'Received', 'apple', '{"qty": 7, "place": "Tokyo", "label": "green"}'),
    (:'tokyo', '000000000002-0', 2, '2020-01-01T04:00:00.000Z', 0, 'Discarded', 'pear', '{}'),
    (:'rome', '000000000003-0', 1, '2020-01-02T12:00:00.000Z', 0, 'Received', 'apple', '{"qty": 0.50, "label": "ripe"}'),
    (:'rome', '000000000003-1', 1, '2020-01-02T13:00:00.000Z', 0, 'Discarded', 'pear', '{}'),
    (:'rome', '000000000003-0', 2, '2020-01-03T12:00:00.000Z', 1, 'Unlabelled', 'apple', '{"label": "green"}'),
    (:'rome', '000000000003-0', 3, '2020-01-03T12:00:00.000Z-0001', 1, 'Received', 'apple', '{"qty": 1, "place": "Rome"}')) AS v (site, lane, seq, hlc, epoch, type, key, data);
INSERT INTO gundb.own_run VALUES (:'rome', 3, NULL, '2020-01-02T00:00:00.000Z');
INSERT INTO gundb.epoch (site, run, number, clock, since) VALUES (:'paris', 1, 0, '{}', NULL), (:'tokyo', 2, 0, '{}', NULL),
    (:'rome', 3, 0, (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, seq)) FROM moves WHERE site = :'paris'), '2020-01-02T00:00:00.000Z'),
    (:'rome', 3, 1, (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, seq)) FROM moves WHERE site <> :'rome'), '2020-01-03T00:00:00.000Z');
SELECT gundb.end_restore();
SELECT gundb.site_id() = :'rome' AS rome;

-- ---------------------------------------------------------------------------------------------------------------------
-- clock_at
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION covered(clock gundb.clock) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE site WHEN '11111111-1111-1111-1111-111111111111' THEN 'paris' WHEN '22222222-2222-2222-2222-222222222222' THEN 'tokyo' ELSE 'rome' END
                      || substr(lane::text, 13) || '/' || seq, ' ' ORDER BY site, lane) FROM gundb.clock_entries(clock) $$;
SELECT at, covered(gundb.clock_at(at)) FROM unnest(ARRAY['-infinity', '0001-01-01', '1969-12-31', '2020-01-01 12:00', '2020-01-01 23:59:59.999999', '2020-01-02 00:00', '2020-01-02 11:59:59.999999',
    '2020-01-02 12:00', '2020-01-02 12:00:00.0009', '2020-01-02 18:00', '2020-01-03 00:00', '2020-01-03 12:00', '2020-06-01', '9999-12-31', '20000-01-01', 'infinity', NULL]::timestamptz[]) AS at;
SELECT gundb.clock_at('infinity') = gundb.site_clock() AS end_of_time, gundb.clock_at(now() + interval '1 day') = gundb.site_clock() AS tomorrow, gundb.clock_at(clock_timestamp()) = gundb.site_clock() AS now,
       gundb.clock_at(at => '-infinity') = '{}' AS beginning;
SELECT bool_and(gundb.clock_at(a) <= gundb.clock_at(b)) AS grows FROM generate_series('2019-12-31'::timestamptz, '2020-01-05', '6 hours') AS a, generate_series('2019-12-31'::timestamptz, '2020-01-05', '6 hours') AS b WHERE a <= b;

-- ---------------------------------------------------------------------------------------------------------------------
-- view_at
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_view('stock', 'moves', '{"qty": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "place": {"fold": "lww", "value": "place"},
    "labels": {"fold": "set", "add": {"Received": "label"}, "remove": {"Unlabelled": "label"}}}', delete => ARRAY['Discarded']);
-- A view of plain folds takes another way through the events; one of two columns shows how keys are spelt.
SELECT gundb.create_view('plain', 'moves', '{"qty": {"fold": "sum", "value": "qty"}, "times": {"fold": "count"}}', types => ARRAY['Received']);
SELECT gundb.create_view('pairs', 'moves', '{"n": {"fold": "count"}}', key => '@key, qty::numeric as qty');
SELECT * FROM stock ORDER BY key;
SELECT * FROM gundb.check_view('stock');
SELECT at, (v).* FROM unnest(ARRAY['2020-01-01', '2020-01-02', '2020-01-02 12:00', '2020-01-02 13:00', '2020-01-03', '2020-01-03 12:00', 'infinity']::timestamptz[]) AS at, LATERAL gundb.view_at(NULL::stock, at) AS v ORDER BY at, v.key;
-- Of one key; of a key that has no row, or no event.
SELECT * FROM gundb.view_at(NULL::stock, at => '2020-01-02 12:00', key => 'apple');
SELECT count(*) FROM gundb.view_at(NULL::stock, at => '2020-01-02 13:00', key => 'pear');
SELECT count(*) FROM gundb.view_at(NULL::stock, key => 'plum');
SELECT * FROM gundb.view_at(NULL::plain, key => 'apple');
SELECT * FROM gundb.view_at(NULL::pairs, key => 'apple, 0.5');
SELECT * FROM gundb.view_at(NULL::pairs) ORDER BY key, qty;
-- By a clock: a view that only Tokyo has written to.
SELECT * FROM gundb.view_at(NULL::stock, clock => (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, seq)) FROM moves WHERE site = :'tokyo'));
SELECT count(*) FROM gundb.view_at(NULL::stock, clock => '{}');
-- What is now, by every way. By the index where the view's key is the event's.
CREATE FUNCTION pg_temp.same(view text, VARIADIC arguments text[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE differ bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT SELECT * FROM gundb.view_at(NULL::%1$s, %2$s)) UNION ALL (SELECT * FROM gundb.view_at(NULL::%1$s, %2$s) EXCEPT TABLE %1$s)) AS d', view, array_to_string(arguments, ', ')) INTO differ;
    RETURN differ = 0;
END $$;
SELECT view, pg_temp.same(view, 'NULL') AS now, pg_temp.same(view, 'clock => gundb.site_clock()') AS by_clock, pg_temp.same(view, $$at => 'infinity'$$) AS by_time FROM unnest(ARRAY['stock', 'plain', 'pairs']) AS view;
INSERT INTO moves (type, key, data) SELECT (ARRAY['Received', 'Sold', 'Unlabelled', 'Discarded'])[1 + n % 4], 'k' || n % 7, jsonb_build_object('qty', n, 'place', n, 'label', n % 3) FROM generate_series(1, 500) AS n;
SELECT view, pg_temp.same(view, 'NULL') AS now, pg_temp.same(view, 'clock => gundb.site_clock()') AS by_clock, pg_temp.same(view, $$at => 'infinity'$$) AS by_time FROM unnest(ARRAY['stock', 'plain', 'pairs']) AS view;
SELECT bool_and(v = s) AS by_key FROM stock s, LATERAL gundb.view_at(NULL::stock, key => s.key) AS v;
-- As the transaction sees it: what it did, and nothing that was committed since its snapshot.
BEGIN;
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": 100}');
SELECT qty FROM gundb.view_at(NULL::stock, key => 'apple');
ROLLBACK;
SELECT qty FROM gundb.view_at(NULL::stock, key => 'apple');
-- What the view could not fold is left out here too.
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": "many"}');
SELECT qty FROM gundb.view_at(NULL::stock, key => 'apple');
SELECT pg_temp.same('stock', 'NULL');
-- Columns of the user's are NULL; a column that was dropped is no trouble.
ALTER TABLE stock ADD COLUMN gone integer, ADD COLUMN note text DEFAULT 'x', ADD COLUMN half numeric GENERATED ALWAYS AS (qty / 2) STORED;
ALTER TABLE stock DROP COLUMN gone;
SELECT * FROM gundb.view_at(NULL::stock, at => '2020-01-02 12:00') ORDER BY key;
SELECT * FROM gundb.view_at(NULL::stock, key => 'apple');
ALTER TABLE stock DROP COLUMN note, DROP COLUMN half;
-- Every type of column and of key, whatever the session prints.
SELECT gundb.create_stream('things');
SELECT gundb.create_view('every', 'things', '{"n": {"fold": "sum", "value": "n"}, "whole": {"fold": "max", "value": "w", "type": "bigint"}, "at": {"fold": "max", "value": "at", "type": "timestamptz"},
    "day": {"fold": "min", "value": "day", "type": "date"}, "yes": {"fold": "lww", "value": "yes", "type": "boolean"}, "u": {"fold": "max", "value": "u", "type": "uuid"}, "j": {"fold": "lww", "value": "j", "type": "jsonb"},
    "mv": {"fold": "mv", "value": "s"}, "map": {"fold": "map", "key": "k", "value": "v"}, "hits": {"fold": "merge", "value": "hits", "type": "gcounter"}, "on": {"fold": "flag", "value": "yes"}}',
    key => 'at::timestamptz as since, day::date as of');
INSERT INTO things (type, data) VALUES ('A', '{"n": 1.50, "w": 7, "at": "2026-11-23T01:00:00.5+01:00", "day": "2026-02-28", "yes": true, "u": "018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f", "j": [1.10, "\"x\""], "s": "a \"b\", {c}\\", "k": "p", "v": null, "hits": {"gcounter": {"0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000000000000a7": 100}}}'),
    ('A', '{"at": "2026-11-23T01:00:00.5+01:00", "day": "2026-02-28", "s": null, "k": "p", "v": "x"}');
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Tokyo';
SELECT (SELECT v FROM gundb.view_at(NULL::every) AS v)::text = (SELECT e FROM every e)::text AS same;
SELECT count(*) FROM gundb.view_at(NULL::every, key => '2026-11-23T00:00:00.5Z, 2026-02-28');
SELECT count(*) FROM gundb.view_at(NULL::every, key => '2026-11-23T01:00:00.500+01:00, 2026-02-28');
SELECT jsonb_pretty("row") AS "row" FROM gundb.view_history('every', '2026-11-23T00:00:00.5Z, 2026-02-28') ORDER BY hlc LIMIT 1;
SELECT gundb.view_digest('every') AS digest \gset
RESET DateStyle;
SET TimeZone = 'UTC';
SELECT (SELECT v FROM gundb.view_at(NULL::every) AS v)::text = (SELECT e FROM every e)::text AS same;
SELECT gundb.view_digest('every') = :'digest' AS same_digest;

-- ---------------------------------------------------------------------------------------------------------------------
-- view_history
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.dot_name(dot) AS dot, hlc, type, id IS NOT NULL AS id, "row" FROM gundb.view_history('stock', 'apple') ORDER BY hlc;
-- Tokyo discarded the pear without having seen it, Rome having seen it.
SELECT gundb.dot_name(dot) AS dot, type, "row" FROM gundb.view_history('stock', 'pear');
SELECT count(*) FROM gundb.view_history('stock', 'plum');
SELECT type, "row" FROM gundb.view_history('pairs', 'apple, 5');
-- The last state is the row; there is no state twice in a row.
SELECT bool_and((SELECT h."row" FROM gundb.view_history('stock', k.key) AS h ORDER BY h.hlc DESC LIMIT 1) IS NOT DISTINCT FROM (SELECT to_jsonb(s) FROM stock s WHERE s.key = k.key)) AS last
FROM (SELECT DISTINCT key FROM moves) AS k WHERE key IS NOT NULL;
SELECT count(*) AS states, bool_and("row" IS DISTINCT FROM before) AS differ FROM (SELECT "row", lag("row") OVER (ORDER BY hlc) AS before FROM gundb.view_history('stock', 'k1')) AS h;
-- ---------------------------------------------------------------------------------------------------------------------
-- view_digest
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.view_digest('stock') AS digest \gset
ALTER TABLE stock ADD COLUMN note text DEFAULT 'x';
CLUSTER stock USING stock_pkey;
SELECT gundb.rebuild_view('stock') > 0 AS rebuilt, gundb.view_digest('stock') = :'digest' AS same_rebuilt;
ALTER TABLE stock DROP COLUMN note;
SELECT gundb.create_view('again', 'moves', '{"qty": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "place": {"fold": "lww", "value": "place"},
    "labels": {"fold": "set", "add": {"Received": "label"}, "remove": {"Unlabelled": "label"}}}', delete => ARRAY['Discarded']);
SELECT gundb.view_digest('again') = :'digest' AS same_definition, gundb.view_digest('plain') = :'digest' AS another;
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": 0}');
SELECT gundb.view_digest('stock') = :'digest' AS same_row;
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": 0.1}');
SELECT gundb.view_digest('stock') = :'digest' AS another_row, gundb.view_digest('stock') = gundb.view_digest('again') AS both;
SELECT gundb.create_view('empty', 'moves', '{}', key => 'nothing');
SELECT gundb.view_digest('empty');

-- ---------------------------------------------------------------------------------------------------------------------
-- What is refused
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TYPE pair AS (a integer, b integer);
SELECT statement, a.* FROM unnest(ARRAY['SELECT gundb.view_at(NULL::integer)', 'SELECT gundb.view_at(NULL::stock[])', 'SELECT gundb.view_at(NULL::moves)', 'SELECT gundb.view_at(NULL::pair)', 'SELECT gundb.view_at(NULL)',
    'SELECT gundb.view_at(NULL::stock, now(), gundb.site_clock())', 'SELECT gundb.view_at(NULL::timed)',
    $$SELECT gundb.view_at(NULL::stock, clock => ('{"11111111-1111-1111-1111-111111111111": {"' || gundb.stream_id('moves') || '": {"000000000001-0": 3}}}')::gundb.clock)$$,
    $$SELECT count(*) FROM gundb.view_at(NULL::stock, clock => ('{"11111111-1111-1111-1111-111111111111": {"' || gundb.stream_id('elsewhere') || '": {"000000000001-0": 3}}}')::gundb.clock)$$,
    $$SELECT count(*) FROM gundb.view_at(NULL::every, key => 'yesterday')$$, $$SELECT count(*) FROM gundb.view_at(NULL::every, key => 'yesterday, 2026-02-28')$$,
    $$SELECT count(*) FROM gundb.view_history('every', '2026-11-23T00:00:00.5Z, 2026-02-28, 2026-02-28')$$, $$SELECT count(*) FROM gundb.conflicts('every', '')$$, $$SELECT gundb.view_history('moves', 'x')$$, $$SELECT gundb.view_history('stock', NULL)$$, $$SELECT gundb.view_history(NULL, 'x')$$,
    $$SELECT gundb.view_digest('moves')$$, $$SELECT gundb.view_digest(NULL)$$]) AS statement, pg_temp.attempt(statement) AS a;
SELECT gundb.create_view('timed', 'things', '{"n": {"fold": "count"}}', key => 'at::timestamptz as at');
SELECT * FROM pg_temp.attempt($$SELECT gundb.view_at(NULL::timed, key => 'yesterday')$$);
SELECT * FROM gundb.view_at(NULL::timed, key => '2026-11-23T01:00:00.5+01:00');

-- Rights: SELECT on the view shows its past; what shows events takes SELECT on the stream too; row security refuses.
CREATE ROLE gundb_looker;
CREATE FUNCTION pg_temp.looks() RETURNS TABLE (statement text, state text, answer text, hint text) LANGUAGE sql AS $$
    SELECT s, a.state, CASE WHEN a.state <> '00000' THEN a.answer END, a.hint FROM unnest(ARRAY['SELECT count(*) FROM gundb.view_at(NULL::stock)', $q$SELECT count(*) FROM gundb.view_at(NULL::stock, key => 'apple')$q$,
        $q$SELECT count(*) FROM gundb.view_history('stock', 'apple')$q$, $q$SELECT gundb.view_digest('stock')$q$]) AS s, pg_temp.attempt(s) AS a $$;
SET ROLE gundb_looker;
SELECT * FROM pg_temp.looks();
RESET ROLE;
GRANT SELECT (qty) ON stock TO gundb_looker;
SET ROLE gundb_looker;
SELECT statement, state FROM pg_temp.looks();
RESET ROLE;
GRANT SELECT ON stock TO gundb_looker;
SET ROLE gundb_looker;
SELECT * FROM pg_temp.looks();
SELECT covered(gundb.clock_at('2020-01-02'));
RESET ROLE;
GRANT SELECT ON moves TO gundb_looker;
SET ROLE gundb_looker;
SELECT statement, state FROM pg_temp.looks();
RESET ROLE;
ALTER TABLE stock ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_apples ON stock USING (key = 'apple');
SET ROLE gundb_looker;
SELECT * FROM pg_temp.looks();
RESET ROLE;
SELECT statement, state FROM pg_temp.looks();
ALTER TABLE stock DISABLE ROW LEVEL SECURITY;
ALTER TABLE moves ENABLE ROW LEVEL SECURITY;
SET ROLE gundb_looker;
SELECT statement, state FROM pg_temp.looks();
RESET ROLE;
DROP OWNED BY gundb_looker;
DROP ROLE gundb_looker;
