-- Administration: restore, the site, health, verify, reset, uninstall.
\i include/attempt.sql

-- Until something is appended, this site has no uuid; asking for it draws one.
SELECT count(*) FROM gundb.site;
SELECT run, restoring FROM gundb.status();
BEGIN READ ONLY;
SELECT state FROM pg_temp.attempt('SELECT gundb.site_id()');
COMMIT;

-- ---------------------------------------------------------------------------------------------------------------------
-- begin_restore, end_restore: before the first append, rows are loaded with their coordinates
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE loaded () INHERITS (gundb.event);
ALTER TABLE loaded ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON loaded (id, site, ((lane::bigint) >> 16));
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION gundb.stamp('loaded');
CREATE TRIGGER gundb_guard BEFORE UPDATE OR DELETE ON loaded FOR EACH ROW EXECUTE FUNCTION gundb.guard();
CREATE TRIGGER gundb_guard_truncate BEFORE TRUNCATE ON loaded FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard();
ALTER TABLE loaded ENABLE ALWAYS TRIGGER zz_gundb_stamp, ENABLE ALWAYS TRIGGER gundb_guard, ENABLE ALWAYS TRIGGER gundb_guard_truncate;
SELECT status FROM gundb.health WHERE "check" = 'restore';
SELECT gundb.begin_restore();
SELECT gundb.begin_restore();
SELECT status, message, what_to_do FROM gundb.health WHERE "check" = 'restore';
-- All coordinates or none.
\set VERBOSITY sqlstate
COPY loaded (site, lane, seq, hlc, chain, type) FROM STDIN;
11111111-1111-1111-1111-111111111111	000000000001-0	1	2020-01-01T00:00:00.000Z-0000	00112233445566778899aabbccddeeff	A
\.
\set VERBOSITY default
COPY loaded (site, lane, seq, hlc, xact, epoch, id, chain, salt, type) FROM STDIN;
11111111-1111-1111-1111-111111111111	000000000001-0	1	2020-01-01T00:00:00.000Z-0000	2020-01-01T00:00:00.000Z-0000	0	00000000-0000-0000-0000-000000000001	00112233445566778899aabbccddeeff	22222222-2222-2222-2222-222222222222	A
\.
INSERT INTO gundb.epoch (site, run, number, clock) SELECT site, 1, 0, '{}' FROM loaded;
SELECT gundb.end_restore();
SELECT state FROM pg_temp.attempt($$INSERT INTO loaded (site, type) VALUES ('11111111-1111-1111-1111-111111111111', 'B')$$);
SELECT restoring FROM gundb.status();
-- What was loaded is older than what is appended from now on, whatever its stamp.
SELECT gundb.begin_restore();
INSERT INTO loaded (site, lane, seq, hlc, xact, epoch, id, chain, salt, type)
    SELECT site, lane, 2, (now() + interval '1 minute')::gundb.hlc, (now() + interval '1 minute')::gundb.hlc, 0, gen_random_uuid(), chain, salt, 'From a clock that was fast' FROM loaded;
-- The first append ends it, whatever was tried and undone before.
SELECT duplicate FROM gundb.append('loaded', 'Own');
SELECT restoring FROM gundb.status();
SELECT state FROM pg_temp.attempt($$INSERT INTO loaded (site, lane, seq, hlc, xact, epoch, id, chain, salt, type) SELECT site, lane, seq + 1, hlc, xact, epoch, gen_random_uuid(), chain, salt, 'Forged' FROM loaded WHERE type = 'Own'$$);
SELECT bool_and(o.hlc > l.hlc) AS later, bool_and(gundb.happened_before(l, o)) AS after FROM loaded o, loaded l WHERE o.type = 'Own' AND l.type <> 'Own';
SELECT * FROM pg_temp.attempt('SELECT gundb.begin_restore()');

-- ---------------------------------------------------------------------------------------------------------------------
-- The site
-- ---------------------------------------------------------------------------------------------------------------------

SELECT site = gundb.site_id() AS this, name = gundb.site_name() AS named, name = left(replace(gundb.site_id()::text, '-', ''), 8) AS by_uuid, own, runs, since <= now() + interval '2 minutes' AS since FROM gundb.site WHERE own;
SELECT gundb.set_site_name('paris');
SELECT gundb.set_site_name(name => 'paris');
SELECT gundb.site_name(), (SELECT name FROM gundb.site WHERE own);
SELECT count(*) FROM gundb.read('gundb', types => ARRAY['SiteNamed']);
SELECT gundb.set_site_name('Paris, "2e" étage');
SELECT gundb.site_name();
BEGIN;
SELECT gundb.set_site_name('rome');
SELECT gundb.site_name();
ROLLBACK;
SELECT gundb.site_name();
SELECT left(name, 10) AS name, a.state, a.hint FROM unnest(ARRAY['', 'a/b', E'a\nb', repeat('x', 63), repeat('x', 64), repeat('é', 32), NULL]) AS name, pg_temp.attempt(format('SELECT gundb.set_site_name(%L)', name)) AS a;
-- A uuid would be taken for a site's id.
SELECT state <> '00000' AS refused FROM pg_temp.attempt($$SELECT gundb.set_site_name('11111111-1111-1111-1111-111111111111')$$);
SELECT gundb.set_site_name('paris');
-- The clock moves on with every look.
SELECT gundb.hlc_now() < gundb.hlc_now() AS ascending, abs(extract(epoch FROM gundb.hlc_now()::timestamptz - clock_timestamp())) < 600 AS near;

-- ---------------------------------------------------------------------------------------------------------------------
-- Health
-- ---------------------------------------------------------------------------------------------------------------------

DO $$ BEGIN FOR n IN 1 .. 200 LOOP EXIT WHEN (SELECT worker FROM gundb.status()); PERFORM pg_sleep(0.1); END LOOP; END $$;
SELECT "check", status IN ('OK', 'WARNING', 'CRITICAL') AS known, (status = 'OK') = (what_to_do IS NULL) AS says_what_to_do, message <> '' AS message FROM gundb.health;
SELECT "check", status FROM gundb.health WHERE "check" IN ('worker', 'version', 'lanes', 'restore', 'triggers', 'disk');
SELECT gundb.create_stream('moves');
ALTER TABLE moves DISABLE TRIGGER gundb_guard;
SELECT status, message, what_to_do FROM gundb.health WHERE "check" = 'triggers';
ALTER TABLE moves ENABLE ALWAYS TRIGGER gundb_guard;
-- What a restore leaves, the worker mends: triggers that fire, but not in every session.
SELECT status FROM gundb.health WHERE "check" = 'triggers';

-- ---------------------------------------------------------------------------------------------------------------------
-- verify: what a disk or a hand has damaged
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (type, key, data, meta) SELECT 'N', 'k' || n, jsonb_build_object('n', n), '{}' FROM generate_series(1, 2500) AS n;
SELECT count(*) FROM gundb.verify('moves');
SELECT count(*) FROM gundb.verify(stream => 'moves');
-- Each kind of damage, by a superuser's hand, is found, and the event named.
CREATE FUNCTION damage(what text, statement text) RETURNS TABLE (damage text, stream text, own boolean, seq bigint, problem text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        ALTER TABLE moves DISABLE TRIGGER ALL;
        EXECUTE statement;
        RETURN QUERY SELECT what, v.stream, v.site = gundb.site_id(), v.seq, regexp_replace(v.problem, '[0-9a-f]{32}', '…', 'g') FROM gundb.verify('moves') AS v;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'P9999';
    EXCEPTION WHEN SQLSTATE 'P9999' THEN NULL;
    END;
END $$;
SELECT d.* FROM (VALUES ('data', $$UPDATE moves SET data = '{"n": 18}' WHERE seq = 17$$), ('type', $$UPDATE moves SET type = 'M' WHERE seq = 17$$), ('key', $$UPDATE moves SET key = NULL WHERE seq = 17$$),
    ('meta', $$UPDATE moves SET meta = '{"by": "eve"}' WHERE seq = 1$$), ('id', $$UPDATE moves SET id = gen_random_uuid() WHERE seq = 2500$$), ('hlc', $$UPDATE moves SET hlc = '2020-01-01T00:00:00.000Z' WHERE seq = 1001$$),
    ('xact', $$UPDATE moves SET xact = '2020-01-01T00:00:00.000Z' WHERE seq = 1000$$), ('epoch', $$UPDATE moves SET epoch = 7 WHERE seq = 17$$), ('chain', $$UPDATE moves SET chain = '00112233445566778899aabbccddeeff' WHERE seq = 17$$),
    ('salt', $$UPDATE moves SET salt = gen_random_uuid() WHERE seq = 17$$), ('gone', $$DELETE FROM moves WHERE seq = 17$$), ('first gone', $$DELETE FROM moves WHERE seq < 17$$),
    ('seq', $$UPDATE moves SET seq = 9999 WHERE seq = 2500$$), ('many', $$UPDATE moves SET data = '{}' WHERE seq > 2000$$),
    ('swapped', $$UPDATE moves SET data = jsonb_build_object('n', 35 - (data->>'n')::int) WHERE seq IN (17, 18)$$),
    ('nothing', $$UPDATE moves SET data = data$$)) AS v (what, statement), damage(what, statement) AS d;
SELECT count(*) FROM gundb.verify('moves');
SELECT hint FROM pg_temp.attempt($$SELECT gundb.verify('move')$$);

-- ---------------------------------------------------------------------------------------------------------------------
-- reset: for test suites
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('paid');
SELECT gundb.define_event('paid', 'Paid', '{"required": ["amount"]}');
SELECT gundb.create_consumer('mailer', 'moves');
SELECT count(*) FROM gundb.consume('mailer', 10000);
CREATE TEMP TABLE issued AS SELECT dot::text FROM gundb.read('moves', max => NULL);
BEGIN;
INSERT INTO moves (type) VALUES ('Before');
SELECT gundb.reset();
INSERT INTO moves (type) VALUES ('Within');
SELECT type, seq FROM moves;
COMMIT;
INSERT INTO moves (type) VALUES ('After');
SELECT type FROM gundb.read();
SELECT count(*) AS issued_again FROM gundb.read('moves') AS r JOIN issued AS i ON i.dot = r.dot::text;
SELECT type FROM gundb.consume('mailer');
SELECT name, rows FROM gundb.stream WHERE name <> 'gundb' ORDER BY name;
-- Names, streams and types stay, and so does the site.
SELECT gundb.site_name();
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('paid', 'Paid')$$);
SELECT count(*) FROM gundb.verify();
-- Undone, nothing has happened.
BEGIN;
SELECT gundb.reset();
ROLLBACK;
INSERT INTO moves (type) VALUES ('Later');
SELECT array_agg(type ORDER BY hlc) FROM moves;
SELECT bool_and(gundb.happened_before(a, b)) FROM moves a, moves b WHERE a.type = 'After' AND b.type = 'Later';
SELECT count(*) FROM gundb.verify();

-- ---------------------------------------------------------------------------------------------------------------------
-- uninstall
-- ---------------------------------------------------------------------------------------------------------------------

SELECT state FROM pg_temp.attempt('DROP EXTENSION gundb');
SELECT state FROM pg_temp.attempt('SELECT gundb.uninstall(NULL)');
-- Streams become plain tables, or go.
BEGIN;
SELECT gundb.uninstall(keep_tables => false);
SELECT to_regclass('moves'), to_regclass('paid');
SELECT count(*) FROM gundb.stream;
DROP EXTENSION gundb;
SELECT to_regnamespace('gundb');
ROLLBACK;
SELECT array_agg(type ORDER BY hlc) FROM moves;
SELECT duplicate FROM gundb.append('moves', 'Still here');
SELECT gundb.uninstall();
DROP EXTENSION gundb;
SELECT array_agg(type ORDER BY hlc) FROM moves;
UPDATE moves SET type = 'Changed';
DROP TABLE paid;
-- And again, in the same session.
CREATE EXTENSION gundb;
SELECT gundb.create_stream('paid');
SELECT gundb.create_stream('sold');
BEGIN;
INSERT INTO paid (type) VALUES ('Paid');
INSERT INTO sold (type) VALUES ('Sold');
COMMIT;
SELECT gundb.create_consumer('mailer');
SELECT type FROM gundb.consume('mailer');
SELECT type FROM gundb.read();
SELECT count(*) FROM gundb.verify();
SELECT gundb.uninstall(false);
DROP EXTENSION gundb;
