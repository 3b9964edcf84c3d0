-- Conflicts shown: what won over something that its author did not know of; one id with two contents.
--
-- The events of other sites stand here as a dump brings them.
\i include/attempt.sql

CREATE TABLE moves () INHERITS (gundb.event);
ALTER TABLE moves ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON moves (id, site, ((lane::bigint) >> 16));
CREATE INDEX ON moves (key, hlc) WHERE key IS NOT NULL;
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves');
ALTER TABLE moves ENABLE ALWAYS TRIGGER zz_gundb_stamp;

-- Paris and Tokyo write without knowing of each other; then Oslo, which has seen both, writes one of the keys; and Lima,
-- which has seen Paris alone, another.
SELECT gundb.begin_restore();
CREATE TEMP TABLE site AS SELECT name, n, (repeat(n::text, 8) || '-1111-1111-1111-111111111111')::uuid AS site FROM (VALUES ('paris', 1), ('tokyo', 2), ('oslo', 3), ('lima', 4)) AS v (name, n);
CREATE FUNCTION pg_temp.named(dot gundb.dot) RETURNS text LANGUAGE sql AS $$ SELECT name || '/' || gundb.seq_of(dot) FROM site WHERE site = gundb.site_of(dot) $$;
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data)
SELECT site, ('00000000000' || n || '-0')::gundb.lane, seq, hlc::gundb.hlc, hlc::gundb.hlc, 0, coalesce(id, md5(name || seq))::uuid, md5(name || seq)::gundb.chain, gen_random_uuid(), 'Placed', key, data::jsonb
FROM (VALUES ('paris', 1, '2020-01-01T01:00:00.000Z', 'open', '{"place": "Paris", "qty": 1}', NULL), ('paris', 2, '2020-01-01T02:00:00.000Z', 'closed', '{"place": "Paris"}', NULL),
             ('paris', 3, '2020-01-01T03:00:00.000Z', 'half', '{"place": "Paris"}', NULL), ('paris', 4, '2020-01-01T04:00:00.000Z', 'agreed', '{"place": "Rome"}', NULL),
             ('paris', 5, '2020-01-01T05:00:00.000Z', 'twice', '{"place": "Paris"}', '00000000-0000-0000-0000-000000000001'), ('paris', 6, '2020-01-01T06:00:00.000Z', 'same', '{"place": "Paris"}', '00000000-0000-0000-0000-000000000002'),
             ('tokyo', 1, '2020-01-01T01:00:00.001Z', 'open', '{"place": "Tokyo", "qty": 2}', NULL), ('tokyo', 2, '2020-01-01T02:00:00.001Z', 'closed', '{"place": "Tokyo"}', NULL),
             ('tokyo', 3, '2020-01-01T03:00:00.001Z', 'half', '{"place": "Tokyo"}', NULL), ('tokyo', 4, '2020-01-01T04:00:00.001Z', 'agreed', '{"place": "Rome"}', NULL),
             ('tokyo', 5, '2020-01-01T05:00:00.001Z', 'twice', '{"place": "Tokyo"}', '00000000-0000-0000-0000-000000000001'), ('tokyo', 6, '2020-01-01T06:00:00.001Z', 'same', '{"place": "Paris"}', '00000000-0000-0000-0000-000000000002'),
             ('oslo', 1, '2020-01-02T00:00:00.000Z', 'closed', '{"place": "Oslo"}', NULL), ('lima', 1, '2020-01-02T00:00:00.000Z', 'half', '{"place": null}', NULL)) AS v (name, seq, hlc, key, data, id) JOIN site USING (name);
INSERT INTO gundb.epoch (site, run, number, clock) SELECT site, n, 0, coalesce((SELECT gundb.clock_of(gundb.dot(m.site, gundb.stream_id('moves'), lane, seq)) FROM moves m JOIN site s USING (site)
    WHERE s.name = 'paris' AND site.name IN ('oslo', 'lima') OR s.name = 'tokyo' AND site.name = 'oslo'), '{}') FROM site;
SELECT gundb.end_restore();
SELECT gundb.create_view('stock', 'moves', '{"qty": {"fold": "sum", "value": "qty"}, "place": {"fold": "lww", "value": "place"}, "size": {"fold": "lww", "value": "qty", "type": "numeric"}}');
SELECT gundb.create_view('counts', 'moves', '{"n": {"fold": "count"}}');
SELECT key, place, size FROM stock ORDER BY key;

SELECT key, "column", pg_temp.named(winner) AS winner, winner_value, pg_temp.named(other) AS other, other_value FROM gundb.conflicts('stock') ORDER BY key, "column";
SELECT "column", winner_value, other_value FROM gundb.conflicts('stock', key => 'open') ORDER BY "column";
SELECT count(*) FROM gundb.conflicts(view => 'stock', key => 'closed');
SELECT count(*) FROM gundb.conflicts('counts');
SELECT id, (SELECT string_agg(pg_temp.named(dot), ' ') FROM unnest(dots) AS dot) AS dots FROM gundb.id_conflicts('moves');
SELECT kind, stream, view, key, "column", winner_value, other_value, id FROM gundb.conflict ORDER BY kind, key, "column";
-- A write here has seen all that is here, and closes what is open.
INSERT INTO moves (type, key, data) VALUES ('Placed', 'open', '{"place": "here"}');
SELECT "column", winner_value, other_value FROM gundb.conflicts('stock', 'open');
INSERT INTO moves (type, key, data) VALUES ('Placed', 'open', '{"qty": 2}');
SELECT count(*) FROM gundb.conflicts('stock', 'open');
-- A stream without an id twice, and one of nothing.
SELECT gundb.create_stream('other');
INSERT INTO other (type) VALUES ('A');
SELECT count(*) FROM gundb.id_conflicts('other');

-- Shown to those who may read all of it.
CREATE ROLE gundb_looker;
SET ROLE gundb_looker;
SELECT count(*) FROM gundb.conflict;
SELECT statement, a.state, a.answer FROM unnest(ARRAY[$$SELECT count(*) FROM gundb.conflicts('stock')$$, $$SELECT count(*) FROM gundb.id_conflicts('moves')$$]) AS statement, pg_temp.attempt(statement) AS a;
RESET ROLE;
GRANT SELECT ON moves TO gundb_looker;
SET ROLE gundb_looker;
SELECT kind, count(*) FROM gundb.conflict GROUP BY kind;
RESET ROLE;
GRANT SELECT ON stock TO gundb_looker;
SET ROLE gundb_looker;
SELECT kind, count(*) FROM gundb.conflict GROUP BY kind ORDER BY kind;
RESET ROLE;
ALTER TABLE moves ENABLE ROW LEVEL SECURITY;
SET ROLE gundb_looker;
SELECT count(*) FROM gundb.conflict;
SELECT statement, a.state, a.answer FROM unnest(ARRAY[$$SELECT count(*) FROM gundb.conflicts('stock')$$, $$SELECT count(*) FROM gundb.id_conflicts('moves')$$]) AS statement, pg_temp.attempt(statement) AS a;
RESET ROLE;
SELECT a.state, a.answer FROM unnest(ARRAY[$$SELECT gundb.conflicts('moves')$$, $$SELECT gundb.conflicts(NULL)$$, $$SELECT gundb.id_conflicts('nothing')$$, $$SELECT gundb.id_conflicts(NULL)$$]) AS statement, pg_temp.attempt(statement) AS a;
DROP OWNED BY gundb_looker;
DROP ROLE gundb_looker;
