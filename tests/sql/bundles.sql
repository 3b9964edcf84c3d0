-- Bundles that are carried: exported, inspected, imported; and what is no bundle.
\i include/attempt.sql
\i include/apply.sql

SELECT gundb.set_site_name('paris');
SELECT gundb.create_stream('moves');
SELECT gundb.create_stream('paid');
SELECT gundb.define_event('moves', 'Received', NULL);
INSERT INTO moves (type, key, data) SELECT 'Received', 'k' || n % 3, jsonb_build_object('n', n, 'text', repeat('é', n)) FROM generate_series(1, 20) AS n;
BEGIN;
INSERT INTO moves (type, data) VALUES ('Sold', '{}');
INSERT INTO paid (type, data, meta) VALUES ('Paid', '{"a": 1.50, "b": [null, true]}', '{"by": "me"}');
COMMIT;

-- What it exported itself it knows.
CREATE TABLE exported AS SELECT b FROM gundb.export_bundle() AS b;
SELECT count(*) FROM exported;
SELECT i.* FROM exported, gundb.import_bundle(b) AS i;
SELECT j->'site' = to_jsonb(gundb.site_id()) AS site, j->'run' IS NOT NULL AS run, j->'from', j->'part', j->'transactions' AS transactions, j->'events' AS events, j->'system' AS system, jsonb_array_length(j->'streams') AS streams
FROM exported, gundb.inspect_bundle(b) AS j;
SELECT s->'events' AS events, s->'types' AS types FROM exported, gundb.inspect_bundle(b) AS j, jsonb_array_elements(j->'streams') AS s
WHERE s->>'stream' = gundb.stream_id('moves')::text;
-- Some streams, and what is not known already.
SELECT j->'events' AS events, j->'system' AS system FROM gundb.export_bundle('{paid}') AS b, gundb.inspect_bundle(b) AS j;
SELECT j->'events' AS events FROM gundb.export_bundle('{m*}') AS b, gundb.inspect_bundle(b) AS j;
SELECT count(*) FROM gundb.export_bundle(since => gundb.site_clock());
SELECT gundb.site_clock() AS clock \gset
INSERT INTO moves (type) VALUES ('Late');
SELECT j->'events' AS events, (j->'from'->>'clock')::gundb.clock = :'clock' AS builds_on_it FROM gundb.export_bundle(since => :'clock') AS b, gundb.inspect_bundle(b) AS j;
SELECT a.* FROM (VALUES (1, $$SELECT gundb.export_bundle('{move}')$$), (2, $$SELECT gundb.export_bundle('{!}')$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;

-- Larger than one bundle: several, each building on those before; a transaction that is larger goes in parts.
INSERT INTO moves (type, data) SELECT 'Large', jsonb_build_object('text', repeat(md5(n::text), 4000)) FROM generate_series(1, 30) AS n;
SELECT j->'part' AS part, j->'events' AS events FROM gundb.export_bundle(since => :'clock') WITH ORDINALITY AS e (b, o), gundb.inspect_bundle(b) AS j ORDER BY o;

-- Rubbish.
SELECT b AS bundle FROM exported \gset
SELECT a.state, a.answer, a.detail FROM (VALUES (1, $$SELECT gundb.import_bundle('')$$), (2, $$SELECT gundb.import_bundle('\x00')$$), (3, $$SELECT gundb.import_bundle(repeat('x', 100000)::bytea)$$), (4, $$SELECT gundb.import_bundle(NULL)$$),
    (5, $$SELECT gundb.inspect_bundle('gunb')$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
CREATE FUNCTION pg_temp.import(b bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM gundb.import_bundle(b);
    RETURN 'imported';
EXCEPTION WHEN SQLSTATE '22P03' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN detail;
END $$;
-- Truncated anywhere, with a byte more, of another version, of another kind.
SELECT pg_temp.import(substr(b, 1, n)) AS outcome, count(*) > 0 AS some FROM exported, generate_series(0, length(b) - 1, 7) AS n GROUP BY 1 ORDER BY 1;
SELECT pg_temp.import(b || '\x00') FROM exported;
SELECT pg_temp.import(set_byte(b, 4, 2)) FROM exported;
SELECT pg_temp.import(set_byte(b, 5, 2)) FROM exported;
-- Any byte flipped.
SELECT count(*) FILTER (WHERE outcome = 'imported') AS imported, count(*) > 100 AS many
FROM (SELECT pg_temp.import(set_byte(b, n, 255 - get_byte(b, n))) AS outcome FROM exported, generate_series(0, length(b) - 1, 3) AS n) AS x;
SELECT * FROM gundb.inbox;
SELECT count(*) FROM gundb.verify();

-- A bundle that comes before what it builds on is kept; so are the parts of a transaction; out of order, and twice.
CREATE TABLE carried AS SELECT o, b FROM gundb.export_bundle() WITH ORDINALITY AS e (b, o);
SELECT count(*) > 4 AS several FROM carried;
SELECT gundb.digest('moves') AS digest, gundb.digest('paid') AS paid, count(*) AS events FROM moves \gset
SELECT gundb.drop_stream('moves'), gundb.drop_stream('paid');
-- Nobody has the streams: what comes waits for them.
SELECT i.* FROM carried, gundb.import_bundle(b) AS i WHERE o = 1;
SELECT kind, count(*) FROM gundb.pending GROUP BY kind;
SELECT gundb.create_stream('moves'), gundb.create_stream('paid');
DO $$ BEGIN
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM gundb.pending);
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT kind, count(*) FROM gundb.pending GROUP BY kind;
SELECT o, i.* FROM (SELECT o, b FROM carried UNION ALL SELECT o, b FROM carried) AS c, LATERAL gundb.import_bundle(b) AS i WHERE o = 3;
SELECT kind, count(*) FROM gundb.pending GROUP BY kind;
SELECT sum(i.new) AS new FROM (SELECT b FROM carried ORDER BY o DESC) AS c, LATERAL gundb.import_bundle(b) AS i;
SELECT count(*) = :events AS events, gundb.digest('moves') = :'digest' AS moves, gundb.digest('paid') = :'paid' AS paid FROM moves;
SELECT count(*) FROM gundb.pending;
SELECT sum(i.new) AS new, sum(i.known) > 50 AS known, sum(i.pending) AS pending FROM carried, gundb.import_bundle(b) AS i;
SELECT count(*) FROM gundb.inbox;
SELECT count(*) FROM gundb.verify();
