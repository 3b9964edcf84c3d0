-- Every error of docs/errors.md that one session can provoke: its SQLSTATE, what it says, what to do.
\i include/attempt.sql
SET TimeZone = 'UTC';
\set clock_elsewhere '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}'
\set dot_elsewhere '11111111-1111-1111-1111-111111111111/33333333-3333-3333-3333-333333333333/9f3c01ab77e2-3/3'

-- 25006: the site's id must first be drawn, and a read-only transaction cannot.
BEGIN READ ONLY;
SELECT state FROM pg_temp.attempt('SELECT gundb.site_id()');
SELECT state FROM pg_temp.attempt('SELECT gundb.set_site_name(''paris'')');
COMMIT;

SELECT gundb.create_stream('moves');
SELECT gundb.create_stream('ledger', closed => true);
SELECT gundb.define_event('ledger', 'Booked', '{"required": ["amount"]}');
SELECT gundb.create_consumer('mailer', 'moves');
INSERT INTO moves (type, key, id) VALUES ('A', 'k', '00000000-0000-0000-0000-000000000001');
\x
-- ---------------------------------------------------------------------------------------------------------------------
-- gundb's own
-- ---------------------------------------------------------------------------------------------------------------------
SELECT * FROM pg_temp.attempt('UPDATE moves SET type = ''B''');
SELECT * FROM pg_temp.attempt('DELETE FROM moves');
SELECT * FROM pg_temp.attempt('TRUNCATE moves');
SELECT * FROM pg_temp.attempt('DROP TABLE moves');
SELECT * FROM pg_temp.attempt('INSERT INTO moves (type, seq) VALUES (''A'', 1)');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''ledger'', ''Booked'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''ledger'', ''Boked'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''ledger'', ''Something else'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''moves'', ''A'', key => ''k'', expected_version => 7)');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''moves'', ''B'', id => ''00000000-0000-0000-0000-000000000001'')');
SELECT * FROM pg_temp.attempt(format('SELECT gundb.append(''moves'', ''B'', depends_on => %L)', :'clock_elsewhere'));
SELECT state, answer, detail, hint <> '' AS has_hint FROM pg_temp.attempt(format('SELECT gundb.digest(clock => %L)', :'clock_elsewhere'));
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''mvoes'', ''A'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''something else'', ''A'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.consume(''mialer'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.consume(''something else'')');
SET gundb.max_event_size = '1kB';
SELECT * FROM pg_temp.attempt('INSERT INTO moves (type, data) VALUES (''A'', to_jsonb(repeat(''x'', 2000)))');
RESET gundb.max_event_size;
SELECT * FROM pg_temp.attempt(format('SELECT gundb.causal_sort(ARRAY[%L, %L]::gundb.dot[], ARRAY[gundb.clock_of(%2$L), gundb.clock_of(%1$L)])', :'dot_elsewhere',
    '22222222-2222-2222-2222-222222222222/33333333-3333-3333-3333-333333333333/9f3c01ab77e2-3/3'));
-- ---------------------------------------------------------------------------------------------------------------------
-- PostgreSQL's
-- ---------------------------------------------------------------------------------------------------------------------
SELECT * FROM pg_temp.attempt('SELECT gundb.define_event(''moves'', ''A'', ''{}'', upcast => ''lower(text)''::regprocedure)');
SELECT * FROM pg_temp.attempt('SELECT gundb.append(''moves'', NULL)');
SELECT * FROM pg_temp.attempt('SELECT ''1969-12-31 23:59:59+00''::timestamptz::gundb.hlc');
SELECT * FROM pg_temp.attempt('SELECT ''10000-01-01 00:00:00+00''::timestamptz::gundb.hlc');
SELECT * FROM pg_temp.attempt('SELECT gundb.define_event(''moves'', ''A'', ''{"type": "objekt"}'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.read(max => 0)');
SELECT * FROM pg_temp.attempt('SELECT gundb.append_batch(''moves'', ''[{"typ": "A"}]'')');
SELECT * FROM pg_temp.attempt('SELECT ''9f3c01ab77e2''::gundb.lane');
SELECT * FROM pg_temp.attempt('INSERT INTO moves (data) VALUES (''{}'')');
SELECT * FROM pg_temp.attempt('INSERT INTO moves (type, data) VALUES (''A'', NULL)');
SELECT * FROM pg_temp.attempt('INSERT INTO moves (type, id) VALUES (''A'', ''00000000-0000-0000-0000-000000000001'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.create_stream(''new'', ''nowhere.new'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.create_stream(''a*'')');
SELECT * FROM pg_temp.attempt(format('SELECT gundb.create_stream(%L)', repeat('x', 58)));
SELECT * FROM pg_temp.attempt('SELECT gundb.create_stream(''gundb'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.set_site_name(''a/b'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.create_consumer('''')');
SELECT * FROM pg_temp.attempt(format('SELECT gundb.context(%L::gundb.dot)', :'dot_elsewhere'));
SELECT * FROM pg_temp.attempt('SELECT gundb.create_consumer(''mailer'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.create_stream(''moves'', closed => true)');
SELECT * FROM pg_temp.attempt('INSERT INTO gundb.event (type) VALUES (''A'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.drop_stream(''gundb'')');
SELECT * FROM pg_temp.attempt('SELECT gundb.stamp()');
SELECT * FROM pg_temp.attempt('SELECT gundb.begin_restore()');
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER zzz BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION late();
SELECT * FROM pg_temp.attempt('INSERT INTO moves (type) VALUES (''A'')');
DROP TRIGGER zzz ON moves;
\x
-- 0A000, at the end of a transaction.
BEGIN;
INSERT INTO moves (type) VALUES ('A');
PREPARE TRANSACTION 'errors';
-- 0A000, at CREATE EXTENSION in a database in another encoding.
CREATE DATABASE errors_latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
\set back :DBNAME
\c errors_latin
\set SHOW_CONTEXT never
CREATE EXTENSION gundb;
\set SHOW_CONTEXT errors
\c :back
DROP DATABASE errors_latin;
\i include/attempt.sql

-- ---------------------------------------------------------------------------------------------------------------------
-- Extreme input: a clear answer each, and the session goes on
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.nested(levels int) RETURNS text LANGUAGE sql AS $$ SELECT repeat('[', levels) || repeat(']', levels) $$;
SELECT levels, a.state, left(a.answer, 60) AS answer FROM unnest(ARRAY[1000, 1100, 100000]) AS levels,
    pg_temp.attempt(format('INSERT INTO moves (type, data) VALUES (''Deep'', %L)', pg_temp.nested(levels))) AS a;
SELECT levels, a.state FROM unnest(ARRAY[900, 1100]) AS levels, pg_temp.attempt(format('INSERT INTO moves (type, meta) VALUES (''Deep'', %L)', '{"a": ' || pg_temp.nested(levels) || '}')) AS a;
SELECT levels, a.state FROM unnest(ARRAY[100, 1100]) AS levels, pg_temp.attempt(format('SELECT gundb.define_event(''moves'', ''Deep'', %L)', repeat('{"not": ', levels) || 'true' || repeat('}', levels))) AS a;
-- Numbers.
SELECT what, a.state FROM (VALUES ('100,000 digits', repeat('9', 100000)), ('after the point', '0.' || repeat('9', 16000)), ('too many', repeat('9', 140000)), ('exponent', '1e130000'), ('too large an exponent', '1e200000'), ('tiny', '1e-16000'), ('minus zero', '-0')) AS v (what, number),
    pg_temp.attempt(format('INSERT INTO moves (type, data) VALUES (''Number'', %L)', number)) AS a;
-- Text.
SELECT what, a.state FROM (VALUES ('NUL', '"\u0000"'), ('surrogate', '"\ud83d"'), ('pair', '"\ud83d\ude00"'), ('control', '"\u0001\u001f\u007f"')) AS v (what, text),
    pg_temp.attempt(format('INSERT INTO moves (type, data) VALUES (''Text'', %L)', text)) AS a;
SELECT a.state FROM pg_temp.attempt($$INSERT INTO moves (type, key) VALUES ('A', convert_from('\xff', 'UTF8'))$$) AS a;
-- A key is indexed: a long one that does not compress is refused, with what to do.
SELECT length, a.state, a.hint LIKE '%key%' AS speaks_of_the_key FROM unnest(ARRAY[2000, 4000]) AS length, pg_temp.attempt(format('INSERT INTO moves (type, key) SELECT ''A'', left(string_agg(md5(n::text), ''''), %s) FROM generate_series(1, 200) AS n', length)) AS a;
-- Bounds.
SELECT a.state, a.answer FROM (VALUES ('SELECT gundb.read(max => 2147483647) IS NOT NULL'), ('SELECT gundb.read(max => 2147483648)'), ('SELECT gundb.read(max => -2147483648)'),
    ('SELECT gundb.append(''moves'', ''A'', key => ''b'', expected_version => 9223372036854775807)'), ('SELECT gundb.append(''moves'', ''A'', key => ''b'', expected_version => 9223372036854775808)'),
    ('SELECT gundb.define_event(''moves'', ''V'', ''{}'', 2147483647)'), ('SELECT gundb.consume(''mailer'', 2147483647) IS NOT NULL')) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT count(*) FROM gundb.verify();
