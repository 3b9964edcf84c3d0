-- Settings: gundb.stamp_actor, gundb.max_event_size, gundb.max_time_drift, gundb.max_databases.
\i include/attempt.sql

SELECT name, setting, unit, context, min_val, max_val FROM pg_settings WHERE name LIKE 'gundb.%' ORDER BY name;
SELECT name, value, a.state FROM (VALUES ('max_event_size', '0'), ('max_event_size', '1kB'), ('max_event_size', '256MB'), ('max_event_size', '257MB'), ('max_event_size', '-1'), ('max_event_size', 'x'),
    ('stamp_actor', 'yes'), ('stamp_actor', 'perhaps'), ('max_time_drift', '10s'), ('max_databases', '5'), ('no_such_setting', '1')) AS v (name, value),
    pg_temp.attempt(format('SET gundb.%I = %L', name, value)) AS a;
RESET ALL;
SET DateStyle = ISO;

SELECT gundb.create_stream('moves');

-- ---------------------------------------------------------------------------------------------------------------------
-- max_event_size: key, data and meta as printed text
-- ---------------------------------------------------------------------------------------------------------------------

SET gundb.max_event_size = '1kB';
-- Of each part.
SELECT part, length, a.state FROM (VALUES ('data', 1000), ('data', 1016), ('meta', 1000), ('meta', 1016), ('key', 1000), ('key', 1025)) AS v (part, length),
    pg_temp.attempt(format(CASE part WHEN 'key' THEN 'INSERT INTO moves (type, key) VALUES (''A'', repeat(''x'', %1$s))'
                                     ELSE 'INSERT INTO moves (type, %2$s) VALUES (''A'', jsonb_build_object(''x'', repeat(''x'', %1$s)))' END, length, part)) AS a;
-- And of all together.
SELECT length, a.state FROM unnest(ARRAY[300, 400]) AS length,
    pg_temp.attempt(format('INSERT INTO moves (type, key, data, meta) VALUES (''A'', repeat(''x'', %1$s), to_jsonb(repeat(''x'', %1$s)), jsonb_build_object(''x'', repeat(''x'', %1$s)))', length)) AS a;
SELECT * FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('A', jsonb_build_object('x', repeat('x', 2000)))$$);
-- Characters that print as several.
SELECT a.state FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('A', to_jsonb(repeat(E'\x01', 200)))$$) AS a;
-- By every way in.
SELECT a.state FROM (VALUES ($$SELECT gundb.append('moves', 'A', to_jsonb(repeat('x', 2000)))$$), ($$SELECT gundb.append('moves', 'A', meta => jsonb_build_object('x', repeat('x', 2000)))$$),
    ($$SELECT gundb.append_batch('moves', jsonb_build_array(jsonb_build_object('type', 'A', 'data', repeat('x', 2000))))$$)) AS v (statement), pg_temp.attempt(statement) AS a;
RESET gundb.max_event_size;
-- A small jsonb that prints large: an exponent.
SELECT a.state FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('A', '1e100000')$$) AS a;
SELECT pg_column_size('1e100000'::jsonb) < 100 AS small, length('1e100000'::jsonb::text) AS printed;
SELECT a.state, a.detail, a.hint FROM pg_temp.attempt($$INSERT INTO moves (type, data) SELECT 'A', jsonb_agg('1e131000'::jsonb) FROM generate_series(1, 1000)$$) AS a;
-- 100 MB.
SELECT a.state, a.answer FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('A', to_jsonb(repeat('x', 100000000)))$$) AS a;
-- What is stored stays, when the setting falls below it: it is read, verified, and found by its id.
INSERT INTO moves (type, id, data) VALUES ('Large', '00000000-0000-0000-0000-000000000001', to_jsonb(repeat('x', 5000)));
SET gundb.max_event_size = '1kB';
SELECT count(*) FROM gundb.verify('moves');
SELECT count(*) FROM gundb.read('moves', types => ARRAY['Large']);
RESET gundb.max_event_size;
SELECT duplicate FROM gundb.append('moves', 'Large', to_jsonb(repeat('x', 5000)), id => '00000000-0000-0000-0000-000000000001');

-- ---------------------------------------------------------------------------------------------------------------------
-- stamp_actor: who was logged in, in meta.actor
-- ---------------------------------------------------------------------------------------------------------------------

CREATE ROLE gundb_settings_ann;
CREATE ROLE gundb_settings_bob;
GRANT USAGE ON SCHEMA public TO gundb_settings_ann;
GRANT INSERT, SELECT ON moves TO gundb_settings_ann, gundb_settings_bob;
GRANT gundb_settings_bob TO gundb_settings_ann;
-- Off: meta says what it says.
INSERT INTO moves (type, meta) VALUES ('Off', '{"actor": "anybody"}') RETURNING meta;
SET gundb.stamp_actor = on;
SET SESSION AUTHORIZATION gundb_settings_ann;
INSERT INTO moves (type) VALUES ('On') RETURNING meta;
INSERT INTO moves (type, meta) VALUES ('On', NULL) RETURNING meta;
-- What was supplied is replaced, the rest is kept.
INSERT INTO moves (type, meta) VALUES ('On', '{"actor": "the boss", "via": "web"}') RETURNING meta;
SELECT a.state FROM unnest(ARRAY['[]', '"x"', 'null']) AS meta, pg_temp.attempt(format('INSERT INTO moves (type, meta) VALUES (''On'', %L)', meta)) AS a;
-- SET ROLE does not change who is logged in, nor can the setting be changed.
SET ROLE gundb_settings_bob;
INSERT INTO moves (type) VALUES ('On') RETURNING meta;
RESET ROLE;
SELECT a.state FROM unnest(ARRAY['SET gundb.stamp_actor = off', 'SET LOCAL gundb.stamp_actor = off', 'SELECT set_config(''gundb.stamp_actor'', ''off'', false)',
    'ALTER ROLE gundb_settings_ann SET gundb.stamp_actor = off']) AS statement, pg_temp.attempt(statement) AS a;
-- By every way in.
SELECT duplicate FROM gundb.append('moves', 'Appended', meta => '{"actor": "the boss"}');
SELECT count(*) FROM gundb.append_batch('moves', '[{"type": "Batch", "meta": {"actor": "the boss"}}]');
COPY moves (type, meta) FROM STDIN;
Copied	{"actor": "the boss"}
\.
RESET SESSION AUTHORIZATION;
SELECT type, meta FROM moves WHERE type IN ('Appended', 'Batch', 'Copied') ORDER BY seq;
-- Operators of one's own, first in the search path, do not forge it.
CREATE SCHEMA evil AUTHORIZATION gundb_settings_ann;
SET SESSION AUTHORIZATION gundb_settings_ann;
CREATE FUNCTION evil.forge(jsonb, jsonb) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT '{"actor": "the boss"}'::jsonb $$;
CREATE OPERATOR evil.|| (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.forge);
SET search_path = evil, pg_catalog, public;
INSERT INTO moves (type) VALUES ('Forged') RETURNING meta;
RESET search_path;
RESET SESSION AUTHORIZATION;
-- A trigger cannot either: it runs before the stamp.
CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.meta := '{"actor": "the boss"}'; RETURN new; END $$;
CREATE TRIGGER forge BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION forge();
INSERT INTO moves (type) VALUES ('Triggered') RETURNING meta = jsonb_build_object('actor', session_user) AS stamped;
DROP TRIGGER forge ON moves;
-- The idempotency key knows the event again, whoever appends it, and whether the setting is on.
SELECT duplicate FROM gundb.append('moves', 'Once', meta => '{"a": 1}', id => '00000000-0000-0000-0000-000000000002');
SELECT duplicate FROM gundb.append('moves', 'Once', meta => '{"a": 1}', id => '00000000-0000-0000-0000-000000000002');
RESET gundb.stamp_actor;
SELECT duplicate FROM gundb.append('moves', 'Once', meta => '{"a": 1}', id => '00000000-0000-0000-0000-000000000002');
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('moves', 'Once', meta => '{"a": 2}', id => '00000000-0000-0000-0000-000000000002')$$);
SELECT count(*) FROM gundb.verify('moves');

SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
DROP OWNED BY gundb_settings_ann, gundb_settings_bob;
DROP ROLE gundb_settings_ann, gundb_settings_bob;
