-- A stream's table takes INSERT and COPY as any table does, and gives each row its place.
\i include/attempt.sql
SET TimeZone = 'UTC';

SELECT gundb.create_stream('moves');

-- ---------------------------------------------------------------------------------------------------------------------
-- INSERT
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (type) VALUES ('A');
INSERT INTO moves (type, key, data, meta, id) VALUES ('B', 'k', '{"n": 1}', '{"by": "ann"}', '00000000-0000-0000-0000-00000000000b')
    RETURNING seq, type, key, data, meta, id;
-- What an ORM emits: every column, NULL where it has no value.
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data, meta)
    VALUES (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'C', NULL, '{}', NULL)
    RETURNING seq, site = gundb.site_id() AS own, hlc = xact AS first_of_its_transaction, chain IS NOT NULL AS chained, data, meta;
INSERT INTO moves (type, data, meta) VALUES ('D', DEFAULT, DEFAULT), ('E', '{"n": 2}', '{}') RETURNING seq, data, meta;
INSERT INTO moves (type, data) SELECT 'F', jsonb_build_object('n', n) FROM generate_series(1, 3) AS n RETURNING seq, data;
-- From itself: ids are new, places too.
INSERT INTO moves (type, key, data, meta) SELECT 'G', key, data, meta FROM moves;
WITH added AS (INSERT INTO moves (type) VALUES ('H') RETURNING *)
    INSERT INTO moves (type, data) SELECT 'I', jsonb_build_object('after', seq) FROM added RETURNING seq, data;
PREPARE add (text, jsonb) AS INSERT INTO moves (type, data) VALUES ($1, $2) RETURNING seq;
EXECUTE add ('J', '{}');
EXECUTE add ('J', NULL);
EXECUTE add ('J', '[]');
DEALLOCATE add;
MERGE INTO moves USING (VALUES ('K', '00000000-0000-0000-0000-00000000000b'::uuid), ('L', '00000000-0000-0000-0000-00000000000c')) AS n (type, id) ON moves.id = n.id
    WHEN NOT MATCHED THEN INSERT (type, id) VALUES (n.type, n.id);
CREATE VIEW received AS SELECT type, data FROM moves WHERE type = 'Received';
INSERT INTO received VALUES ('Received', '{"by": "a view"}');
INSERT INTO moves (type) VALUES ('größe'), (repeat('x', 255));
SELECT length, a.* FROM unnest(ARRAY[0, 256, 1000000]) AS length, pg_temp.attempt(format('INSERT INTO moves (type) VALUES (repeat(''x'', %s))', length)) AS a;
SELECT seq, left(type, 10) AS type, data FROM moves ORDER BY seq;
-- Stamps grow in the lane; each statement of its own is a transaction of its own.
SELECT bool_and(hlc > before) AS ordered, bool_and((hlc = xact) = (xact IS DISTINCT FROM xact_before)) AS first_stamp_names_it
FROM (SELECT hlc, xact, lag(hlc) OVER w AS before, lag(xact) OVER w AS xact_before FROM moves WINDOW w AS (ORDER BY seq)) AS m WHERE before IS NOT NULL;
-- A generated id is of version 7, a given one is kept.
SELECT bool_and(substr(id::text, 15, 1) = '7') AS version_7 FROM moves WHERE type NOT IN ('B', 'L');

-- What is refused.
SELECT statement, a.state, a.answer, a.hint FROM (VALUES
    ('INSERT INTO moves DEFAULT VALUES'), ('INSERT INTO moves (type) VALUES (NULL)'), ('INSERT INTO moves (type, data) VALUES (''A'', NULL)'),
    ('INSERT INTO moves (type, meta) VALUES (''A'', ''[]'')'), ('INSERT INTO moves (type, id) VALUES (''A'', ''00000000-0000-0000-0000-00000000000b'')'),
    ('INSERT INTO moves (type, data) VALUES (''A'', ''{'')'), ('INSERT INTO gundb.event (type) VALUES (''A'')'),
    ('INSERT INTO gundb.event SELECT * FROM moves')) AS v (statement), pg_temp.attempt(statement) AS a;
-- Coordinates are gundb's to give.
SELECT name, a.state, a.answer FROM (VALUES ('site', quote_literal(gundb.site_id())), ('lane', '''9f3c01ab77e2-3'''), ('seq', '1'), ('hlc', 'gundb.hlc_now()'),
    ('xact', 'gundb.hlc_now()'), ('epoch', '0'), ('chain', '''00112233445566778899aabbccddeeff'''), ('salt', 'gen_random_uuid()')) AS v (name, value),
    pg_temp.attempt(format('INSERT INTO moves (type, %I) VALUES (''A'', %s)', name, value)) AS a;
SELECT hint FROM pg_temp.attempt('INSERT INTO moves (type, seq) VALUES (''A'', 1)');
SELECT max(seq), count(*) FROM moves;

-- ---------------------------------------------------------------------------------------------------------------------
-- ON CONFLICT
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('once');
INSERT INTO once (type, id) VALUES ('A', '00000000-0000-0000-0000-000000000001') ON CONFLICT DO NOTHING RETURNING seq;
INSERT INTO once (type, id) VALUES ('B', '00000000-0000-0000-0000-000000000001') ON CONFLICT DO NOTHING RETURNING seq;
-- Rows that are dropped leave no gap, wherever they stand.
INSERT INTO once (type, id) SELECT 'C', ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM unnest(ARRAY[1, 2, 2, 1, 3, 3, 4]) AS n ON CONFLICT DO NOTHING RETURNING seq;
INSERT INTO once (type) VALUES ('D') RETURNING seq;
-- A unique index of one's own.
CREATE UNIQUE INDEX ON once ((data->>'order'));
BEGIN;
INSERT INTO once (type, data) VALUES ('E', '{"order": 1}') RETURNING seq;
INSERT INTO once (type, data) VALUES ('F', '{"order": 1}'), ('F', '{"order": 2}'), ('F', '{"order": 2}') ON CONFLICT DO NOTHING RETURNING seq;
INSERT INTO once (type, data) VALUES ('G', '{"order": 2}'), ('G', '{"order": 3}') ON CONFLICT ((data->>'order')) DO NOTHING RETURNING seq;
INSERT INTO once (type) VALUES ('H') RETURNING seq;
COMMIT;
SELECT state FROM pg_temp.attempt('INSERT INTO once (type, data) VALUES (''I'', ''{"order": 3}'')');
-- By append, where it is an error that says so.
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('once', 'I', '{"order": 3}')$$);
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('once', 'I', '{"order": 3}', id => '00000000-0000-0000-0000-000000000009')$$);
-- Through a view, in a WITH, in a function.
CREATE VIEW view_of_once AS SELECT type, id FROM once;
BEGIN;
INSERT INTO view_of_once VALUES ('J', '00000000-0000-0000-0000-000000000001'), ('J', '00000000-0000-0000-0000-000000000005') ON CONFLICT DO NOTHING;
WITH added AS (INSERT INTO once (type, id) VALUES ('K', '00000000-0000-0000-0000-000000000001'), ('K', '00000000-0000-0000-0000-000000000006') ON CONFLICT DO NOTHING RETURNING seq)
    INSERT INTO moves (type, data) SELECT 'Added', to_jsonb(seq) FROM added RETURNING data;
CREATE FUNCTION add_once() RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO once (type, id) VALUES ('L', '00000000-0000-0000-0000-000000000001'), ('L', '00000000-0000-0000-0000-000000000007') ON CONFLICT DO NOTHING RETURNING seq $$;
SELECT add_once();
INSERT INTO once (type) VALUES ('M') RETURNING seq;
COMMIT;
-- DO UPDATE would change an event: refused, with and without a row that it would touch.
SELECT state FROM pg_temp.attempt('INSERT INTO once (type, data) VALUES (''N'', ''{"order": 1}'') ON CONFLICT ((data->>''order'')) DO UPDATE SET type = ''Other''');
BEGIN;
INSERT INTO once (type) VALUES ('O');
SELECT state IS NOT NULL AS answered FROM pg_temp.attempt(
    'INSERT INTO once (type, data) VALUES (''P'', ''{"order": 1}'') ON CONFLICT ((data->>''order'')) DO UPDATE SET type = ''Other'' WHERE false');
INSERT INTO once (type) VALUES ('Q');
COMMIT;
SELECT count(*) = max(seq) AS no_gap FROM once;
SELECT count(*) FROM gundb.verify('once');

-- ---------------------------------------------------------------------------------------------------------------------
-- COPY
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('loaded');
COPY loaded (type, key, data) FROM STDIN;
A	k	{"n": 1}
B	\N	{"n": 2}
\.
\copy loaded (type, data, meta) FROM PROGRAM 'printf "%s\n" type,data,meta "C,\"{\"\"n\"\": 3}\"," "\"D \"\"quoted\"\"\",{},\"{\"\"by\"\": \"\"csv\"\"}\""' (FORMAT csv, HEADER)
COPY loaded (type, data) FROM STDIN WHERE type <> 'Skipped';
E	{}
Skipped	{}
F	{}
\.
SELECT seq, type, key, data, meta FROM loaded ORDER BY seq;
SELECT count(DISTINCT xact) AS transactions, count(DISTINCT hlc) AS stamps FROM loaded;
-- All columns, as COPY TO wrote them: coordinates cannot be supplied.
COPY loaded FROM STDIN;
11111111-1111-1111-1111-111111111111	9f3c01ab77e2-3	1	2026-11-23T00:41:07.123Z-0005	2026-11-23T00:41:07.123Z-0005	0	00000000-0000-0000-0000-000000000001	00112233445566778899aabbccddeeff	22222222-2222-2222-2222-222222222222	A	\N	{}	{}
\.
-- A bad line refuses the load.
\set VERBOSITY sqlstate
COPY loaded (type, data) FROM STDIN;
G	{}
H	\N
\.
COPY loaded (type, id) FROM STDIN;
G	00000000-0000-0000-0000-000000000001
H	00000000-0000-0000-0000-000000000001
\.
\set VERBOSITY default
-- Binary, there and back.
CREATE TEMP TABLE plain AS SELECT type, key, data, meta FROM loaded;
SELECT count(*) FROM plain;
\copy plain TO PROGRAM 'psql -X -q -c "COPY loaded (type, key, data, meta) FROM STDIN (FORMAT binary)"' (FORMAT binary)
SELECT count(*), max(seq) FROM loaded;
SELECT count(*) FROM gundb.verify('loaded');

-- ---------------------------------------------------------------------------------------------------------------------
-- Triggers of one's own
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('watched');
CREATE FUNCTION before_watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.type = 'Dropped' THEN RETURN NULL; END IF;
    IF new.type = 'Doubled' THEN INSERT INTO watched (type) VALUES ('Double'); END IF;
    IF new.type = 'Placed' THEN new.seq := 7; END IF;
    new.meta := coalesce(new.meta, '{}') || '{"seen": true}';
    RETURN new;
END $$;
CREATE TRIGGER before_watched BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION before_watched();
-- What it changes is in the event; what it drops leaves no gap; what it appends comes first.
INSERT INTO watched (type) VALUES ('A'), ('Dropped'), ('Doubled'), ('Dropped'), ('B') RETURNING type, seq, meta;
SELECT type, seq FROM watched ORDER BY seq;
SELECT a.state, a.answer FROM (VALUES ($$SELECT gundb.append('watched', 'Dropped')$$),
    ($$SELECT gundb.append('watched', 'Dropped', id => '00000000-0000-0000-0000-000000000001')$$),
    ($$INSERT INTO watched (type) VALUES ('Placed')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT gundb.seq_of(dot) AS seq, (SELECT type FROM gundb.read('watched') AS r WHERE r.dot = a.dot) IS NULL AS not_yet_seen FROM gundb.append('watched', 'Doubled') AS a;
SELECT type, seq FROM watched ORDER BY seq;
-- One that would run after the stamp is refused, whatever it does; once it is renamed, all is well.
CREATE TRIGGER zzz_late BEFORE INSERT OR UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION before_watched();
SELECT * FROM pg_temp.attempt('INSERT INTO watched (type) VALUES (''C'')');
-- It harms its own stream alone: the others, and what speaks of all, go on.
SELECT gundb.seq_of(dot) > 0 AS appended FROM gundb.append('moves', 'M');
SELECT a.state FROM (VALUES ('SELECT count(*) FROM gundb.read(''moves'')'), ('SELECT count(*) FROM gundb.stream'), ('SELECT count(*) FROM gundb.health'),
    ('SELECT gundb.site_clock()'), ('SELECT count(*) FROM gundb.verify(''moves'')'), ('SELECT gundb.digest()')) AS v (statement), pg_temp.attempt(statement) AS a;
ALTER TRIGGER zzz_late ON watched RENAME TO early;
INSERT INTO watched (type) VALUES ('C') RETURNING type, seq;
DROP TRIGGER early ON watched;
DROP TRIGGER before_watched ON watched;
-- AFTER triggers see the event whole, and may append elsewhere: the same transaction.
SELECT gundb.create_stream('echo');
CREATE FUNCTION after_watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM gundb.append('echo', 'Seen', jsonb_build_object('seq', new.seq, 'type', new.type));
    RETURN NULL;
END $$;
CREATE TRIGGER after_watched AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION after_watched();
INSERT INTO watched (type) VALUES ('D'), ('E');
SELECT seq, data FROM echo ORDER BY seq;
SELECT count(DISTINCT xact) FROM (SELECT xact FROM echo UNION ALL SELECT xact FROM watched WHERE type IN ('D', 'E')) AS together;
-- append gives back the event that it was asked for, not one that a trigger added.
DROP TRIGGER after_watched ON watched;
CREATE OR REPLACE FUNCTION after_watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF new.type = 'Outer' THEN INSERT INTO watched (type) VALUES ('Inner'); END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON watched DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION after_watched();
CREATE TRIGGER after_watched AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION after_watched();
SELECT id AS outer_id, gundb.seq_of(dot) AS seq FROM gundb.append('watched', 'Outer') \gset
SELECT type FROM watched WHERE id = :'outer_id' AND seq = :seq;
SELECT type FROM watched WHERE seq >= :seq ORDER BY seq;
-- Statement triggers, and transition tables.
CREATE FUNCTION count_watched() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE '% rows, places %', (SELECT count(*) FROM added), (SELECT bool_and(seq IS NOT NULL AND chain IS NOT NULL) FROM added);
    RETURN NULL;
END $$;
CREATE TRIGGER count_watched AFTER INSERT ON watched REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_watched();
INSERT INTO watched (type) VALUES ('F'), ('G'), ('H');
SELECT count(*) FROM gundb.verify();

-- ---------------------------------------------------------------------------------------------------------------------
-- Transactions, savepoints, blocks with EXCEPTION
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('steps');
BEGIN;
INSERT INTO steps (type) VALUES ('A');
SAVEPOINT a;
INSERT INTO steps (type) VALUES ('B'), ('B');
SAVEPOINT b;
INSERT INTO steps (type) VALUES ('C');
ROLLBACK TO a;
INSERT INTO steps (type) VALUES ('D');
RELEASE a;
SAVEPOINT c;
SELECT 1 / 0;
ROLLBACK TO c;
INSERT INTO steps (type) VALUES ('E');
COMMIT;
BEGIN;
INSERT INTO steps (type) VALUES ('F');
ROLLBACK;
BEGIN;
SAVEPOINT a;
INSERT INTO steps (type) VALUES ('G');
ROLLBACK TO a;
INSERT INTO steps (type) VALUES ('H');
COMMIT;
SELECT seq, type, dense_rank() OVER (ORDER BY xact) AS transaction FROM steps ORDER BY seq;
-- Every second one fails, in a block of its own.
DO $$
BEGIN
    FOR n IN 1 .. 1000 LOOP
        BEGIN
            INSERT INTO steps (type, data) VALUES ('Loop', to_jsonb(n));
            IF n % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SELECT count(*), count(DISTINCT xact) AS transactions, max(seq) - min(seq) + 1 AS places FROM steps WHERE type = 'Loop';
SELECT count(*) FROM gundb.verify('steps');
-- A transaction with an event cannot be prepared; one without can.
BEGIN;
INSERT INTO steps (type) VALUES ('Prepared');
\set VERBOSITY sqlstate
PREPARE TRANSACTION 'insert';
\set VERBOSITY default
SELECT count(*) FROM steps WHERE type = 'Prepared';

-- session_replication_role does not get round the stamp, nor round the guards.
SET session_replication_role = replica;
INSERT INTO steps (type) VALUES ('Replica') RETURNING seq = (SELECT count(*) + 1 FROM steps) AS next;
SELECT statement, a.state FROM (VALUES ('UPDATE steps SET type = ''x'''), ('DELETE FROM steps'), ('TRUNCATE steps'), ('INSERT INTO gundb.event (type) VALUES (''x'')'),
    ('INSERT INTO steps (type, seq) VALUES (''x'', 1)'), ('TRUNCATE gundb.event')) AS v (statement), pg_temp.attempt(statement) AS a;
RESET session_replication_role;
SELECT count(*) FROM gundb.verify();
