-- Streams: declaring, naming, renaming, moving, dropping, detaching.
\i include/attempt.sql
SET TimeZone = 'UTC';

-- A stream is a table in the current schema, named like the stream.
SELECT gundb.create_stream('moves');
\d moves
SELECT obj_description('moves'::regclass);
INSERT INTO moves (type) VALUES ('First');
SELECT name, stream = gundb.stream_id('moves') AS of_its_name, "table", closed, rows, bytes > 0 AS has_size, bytes_a_day = bytes AS all_of_today
FROM gundb.stream WHERE name = 'moves';

-- Declared again: a notice, the same table. The arguments by name.
SELECT gundb.create_stream(name => 'moves', as_table => NULL, closed => false);
SELECT gundb.create_stream('moves', as_table => 'public.moves');
SELECT gundb.create_stream('moves', closed => NULL);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_stream('moves', closed => true)$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_stream('moves', as_table => 'elsewhere')$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_stream(NULL)$$);
-- What a rollback undoes, it undoes altogether.
BEGIN;
SELECT gundb.create_stream('brief');
INSERT INTO brief (type) VALUES ('A');
ROLLBACK;
SELECT count(*) FROM gundb.stream WHERE name = 'brief';
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.append('brief', 'A')$$);

-- ---------------------------------------------------------------------------------------------------------------------
-- Names
-- ---------------------------------------------------------------------------------------------------------------------

-- A name is any text of 1 to 57 bytes, but for control characters, outer spaces, a leading ! and *.
SELECT left(name, 20) AS name, octet_length(name) AS bytes, a.state, a.answer, a.hint
FROM unnest(ARRAY['', ' ', ' a', 'a ', E'a\tb', E'a\nb', '!a', 'a*', repeat('x', 58), repeat('é', 29), 'gundb']) AS name,
    pg_temp.attempt(format('SELECT gundb.create_stream(%L)', name)) AS a;
CREATE SCHEMA odd;
SET search_path = odd, public;
CREATE TABLE names (n int GENERATED ALWAYS AS IDENTITY, name text PRIMARY KEY);
INSERT INTO names (name) VALUES ('Moves'), ('with space'), ('with.dot'), ('with"quote'), ('with''quote'), (E'with\\backslash'), ('a/b'),
    ('50%'), ('$1'), ('select'), ('größe'), ('名前'), ('🎉'), ('a''; DROP TABLE names; --'), (repeat('x', 57)), (repeat('é', 28));
-- Each is a stream of its own: it takes events by table and by function, and gives them back.
SELECT n, name, a.state, a.answer = format('%I', name) AS table_of_that_name
FROM names, pg_temp.attempt(format('SELECT gundb.create_stream(%L)', name)) AS a ORDER BY n;
SELECT count(*) FROM names, pg_temp.attempt(format('INSERT INTO %I (type, key) VALUES (''Inserted'', ''k'')', name)) AS a WHERE a.state = '00000';
SELECT count(*) FROM names, pg_temp.attempt(format('SELECT gundb.append(%L, ''Appended'', key => ''k'')', name)) AS a WHERE a.state = '00000';
SELECT name, (SELECT array_agg(type) FROM gundb.history(name, 'k')) AS history, (SELECT count(*) FROM gundb.read(name)) AS read,
       (SELECT count(*) FROM gundb.verify(name)) AS damaged, gundb.stream_regclass(name)
FROM names ORDER BY n;
SELECT bool_and(gundb.dot_named(gundb.dot_name(dot)) = dot) AS named FROM names, gundb.read(name) WHERE name <> 'a/b';
SELECT gundb.dot_named(gundb.dot_name(dot)) = dot AS named FROM gundb.read('a/b');
SELECT count(*) FROM names, pg_temp.attempt(format('SELECT gundb.drop_stream(%L)', name)) AS a WHERE a.state = '00000';
SELECT count(*) FROM gundb.stream WHERE "table"::text LIKE 'odd.%';
RESET search_path;
-- Two streams' names may differ by case alone.
SELECT gundb.create_stream('Moves');
SELECT gundb.stream_id('Moves') <> gundb.stream_id('moves') AS different;
SELECT gundb.drop_stream('Moves');

-- ---------------------------------------------------------------------------------------------------------------------
-- Where the table stands
-- ---------------------------------------------------------------------------------------------------------------------

-- as_table is read as SQL reads a name: folded unless quoted.
SELECT gundb.create_stream('one', as_table => 'odd.One_Table');
SELECT gundb.create_stream('two', as_table => 'odd."Two Tables"');
SELECT gundb.create_stream('three', as_table => 'three_rows');
SELECT name, "table" FROM gundb.stream WHERE name IN ('one', 'two', 'three') ORDER BY name;
SELECT left(place, 20) AS place, a.state, a.answer, a.hint
FROM unnest(ARRAY['', '.', 'a.b.c', 'nowhere.t', 'a b', '"', 'public.moves', repeat('x', 64), 'public.' || repeat('é', 32)]) AS place,
    pg_temp.attempt(format('SELECT gundb.create_stream(''four'', as_table => %L)', place)) AS a;
SET search_path = nowhere;
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_stream('four')$$);
-- A temporary table ends with its session; a stream does not.
SET search_path = pg_temp, public;
SELECT state <> '00000' AS refused FROM pg_temp.attempt($$SELECT gundb.create_stream('four')$$);
RESET search_path;

-- A stream stays the same stream whatever becomes of its table's name.
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('one', 'A');
ALTER TABLE odd.one_table RENAME TO other;
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('one', 'B');
ALTER TABLE odd.other SET SCHEMA public;
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('one', 'C');
-- Another table of the old name gets nothing of it.
CREATE TABLE odd.one_table (LIKE other);
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('one', 'D');
SELECT type, seq FROM other ORDER BY seq;
SELECT count(*) FROM odd.one_table;
SELECT "table", rows FROM gundb.stream WHERE name = 'one';
SELECT gundb.create_stream('one');
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('two', 'Z');
ALTER SCHEMA odd RENAME TO even;
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('two', 'A');
CREATE SCHEMA odd;
CREATE TABLE odd."Two Tables" (LIKE other);
SELECT gundb.seq_of(dot) AS seq FROM gundb.append('two', 'B');
SELECT type, seq FROM even."Two Tables" ORDER BY seq;
SELECT count(*) FROM gundb.verify('one') UNION ALL SELECT count(*) FROM gundb.verify('two');

-- Columns, indexes and storage may change under it.
ALTER TABLE moves ADD COLUMN note text DEFAULT 'none', ADD COLUMN sku text GENERATED ALWAYS AS (data->>'sku') STORED;
INSERT INTO moves (type, data, note) VALUES ('Second', '{"sku": "A-1"}', 'mine');
CREATE INDEX ON moves (sku);
REINDEX TABLE moves;
CLUSTER moves USING moves_hlc_idx;
VACUUM FULL moves;
INSERT INTO moves (type) SELECT 'Third' RETURNING seq, note, sku;
SELECT seq, type, note, sku FROM moves ORDER BY seq;
SELECT count(*) FROM gundb.verify('moves');
-- Not those that gundb needs.
SELECT state, answer FROM unnest(ARRAY['ALTER TABLE moves DROP COLUMN seq', 'ALTER TABLE moves RENAME COLUMN seq TO place',
    'ALTER TABLE moves ALTER COLUMN data TYPE text']) AS statement, pg_temp.attempt(statement);
SELECT state, answer FROM unnest(ARRAY['ALTER TABLE moves DROP CONSTRAINT moves_pkey', 'DROP INDEX moves_pkey', 'DROP INDEX moves_id_site_expr_idx',
    'DROP INDEX moves_id_site_expr_idx CASCADE']) AS statement, pg_temp.attempt(statement);
REINDEX TABLE CONCURRENTLY other;
DROP INDEX moves_sku_idx;
DROP INDEX moves_hlc_idx;
CREATE INDEX ON moves (hlc);
INSERT INTO moves (type) VALUES ('Fourth') RETURNING seq;
SELECT count(*) FROM gundb.verify('moves');
-- A trigger of gundb's that is enabled fires always.
ALTER TABLE moves DISABLE TRIGGER ALL;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'moves'::regclass AND NOT tgisinternal ORDER BY tgname;
ALTER TABLE moves ENABLE TRIGGER USER;
ALTER TABLE moves ENABLE TRIGGER gundb_guard, ENABLE REPLICA TRIGGER zz_gundb_stamp;
SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'moves'::regclass AND NOT tgisinternal ORDER BY tgname;
-- A stream's table stays a child of gundb.event, its stamp stays its stamp.
BEGIN;
SELECT statement, state <> '00000' AS refused FROM unnest(ARRAY['DROP TRIGGER zz_gundb_stamp ON moves', 'ALTER TABLE moves NO INHERIT gundb.event',
    'ALTER TRIGGER zz_gundb_stamp ON moves RENAME TO later', 'CREATE OR REPLACE TRIGGER zz_gundb_stamp BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp(''other'')'])
    AS statement, pg_temp.attempt(statement);
ROLLBACK;

-- ---------------------------------------------------------------------------------------------------------------------
-- The end of a stream
-- ---------------------------------------------------------------------------------------------------------------------

-- Nothing takes a stream with it unasked.
SET client_min_messages = warning;
SELECT state FROM pg_temp.attempt('DROP EXTENSION gundb CASCADE');
SELECT statement, a.state, a.answer FROM unnest(ARRAY['DROP TABLE moves', 'DROP TABLE moves CASCADE', 'DROP TABLE gundb.event CASCADE',
    'DROP SCHEMA even CASCADE', 'DROP EXTENSION gundb',
    'TRUNCATE moves', 'TRUNCATE moves CASCADE', 'TRUNCATE gundb.event', 'DELETE FROM moves', 'DELETE FROM gundb.event',
    'UPDATE moves SET type = ''Other''', 'UPDATE moves SET note = ''other''', 'UPDATE gundb.event SET key = NULL',
    'INSERT INTO gundb.event (type) VALUES (''A'')', 'SELECT gundb.drop_stream(''gundb'')', 'SELECT gundb.detach_stream(''gundb'')'])
    AS statement, pg_temp.attempt(statement) AS a;
RESET client_min_messages;
SELECT hint FROM pg_temp.attempt('DROP TABLE moves');
SELECT name, rows FROM gundb.stream WHERE name <> 'gundb' ORDER BY name;
-- Nothing to change is nothing to refuse.
SELECT state FROM pg_temp.attempt('DELETE FROM moves WHERE false') UNION ALL SELECT state FROM pg_temp.attempt('UPDATE moves SET type = type WHERE false');

-- What depends on the table holds it.
CREATE VIEW totals AS SELECT type, count(*) FROM moves GROUP BY type;
SELECT state, answer, detail FROM pg_temp.attempt($$SELECT gundb.drop_stream('moves')$$);
DROP VIEW totals;
-- And a drop that failed left the guard up.
SELECT state FROM pg_temp.attempt('DROP TABLE moves');

-- drop_stream, and the same name again: no dot of the old one is ever issued again.
CREATE TEMP TABLE issued AS SELECT dot FROM gundb.read('moves');
SELECT gundb.drop_stream(name => 'moves');
SELECT to_regclass('moves');
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('moves', 'A')$$);
SELECT gundb.create_stream('moves');
INSERT INTO moves (type) VALUES ('Anew') RETURNING seq;
-- All in one transaction.
BEGIN;
INSERT INTO moves (type) VALUES ('Old');
INSERT INTO issued SELECT dot FROM gundb.read('moves');
SELECT gundb.drop_stream('moves');
SELECT gundb.create_stream('moves');
INSERT INTO moves (type) VALUES ('New') RETURNING seq;
COMMIT;
SELECT type, dot = ANY (SELECT dot FROM issued) AS again FROM gundb.read('moves');
-- Undone.
BEGIN;
SELECT gundb.drop_stream('moves');
ROLLBACK;
INSERT INTO moves (type) VALUES ('Newer');
SELECT type FROM moves ORDER BY hlc;
SELECT count(*) FROM gundb.verify();
SELECT statement, a.* FROM unnest(ARRAY['SELECT gundb.drop_stream(''move'')', 'SELECT gundb.drop_stream(NULL)', 'SELECT gundb.detach_stream(NULL)',
    'SELECT gundb.drop_stream('''')', 'SELECT gundb.detach_stream(''thre'')']) AS statement, pg_temp.attempt(statement) AS a;

-- detach_stream leaves a plain table, whose coordinates are text.
BEGIN;
INSERT INTO moves (type, key, data) VALUES ('Last', 'k', '{"a": 1}');
SELECT gundb.detach_stream(name => 'moves');
\d moves
UPDATE moves SET data = '{}' WHERE type = 'Last';
DELETE FROM moves WHERE type = 'New';
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type) SELECT site, lane, 99, hlc, xact, epoch, gen_random_uuid(), chain, salt, 'By hand' FROM moves LIMIT 1;
SELECT type FROM moves ORDER BY hlc, type;
ROLLBACK;
SELECT type FROM moves ORDER BY hlc;
SELECT gundb.detach_stream('moves');
SELECT count(*) FROM gundb.stream WHERE name = 'moves';
SELECT state, answer, hint FROM pg_temp.attempt($$SELECT gundb.append('moves', 'A')$$);
-- The name is free for a new stream, in another table.
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.create_stream('moves')$$);
SELECT gundb.create_stream('moves', as_table => 'moves2');
INSERT INTO moves2 (type) VALUES ('A');
SELECT bool_and(m.lane <> n.lane::text OR m.seq <> n.seq) AS no_dot_twice FROM moves m, moves2 n;
DROP TABLE moves;
