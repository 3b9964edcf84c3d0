-- Privileges are PostgreSQL's own: SELECT and INSERT on a stream's table, row security, EXECUTE for administrators.
\i include/attempt.sql

CREATE ROLE gundb_admin;      -- grant_admin
CREATE ROLE gundb_reader;     -- SELECT only
CREATE ROLE gundb_writer;     -- INSERT only
CREATE ROLE gundb_nobody;
SELECT gundb.grant_admin('gundb_admin');
SELECT gundb.grant_admin(role => 'gundb_admin');
CREATE SCHEMA shop AUTHORIZATION gundb_admin;

-- An administrator declares, and owns what it declared.
SET ROLE gundb_admin;
SELECT gundb.create_stream('moves', 'shop.moves');
SELECT gundb.define_event('moves', 'Checked', '{"required": ["n"]}');
INSERT INTO shop.moves (type, key) VALUES ('First', 'k');
GRANT USAGE ON SCHEMA shop TO gundb_reader, gundb_writer;
GRANT SELECT ON shop.moves TO gundb_reader;
GRANT INSERT ON shop.moves TO gundb_writer;
RESET ROLE;
SELECT relowner::regrole FROM pg_class WHERE oid = 'shop.moves'::regclass;
SELECT gundb.create_stream('secret');
INSERT INTO secret (type, key) VALUES ('Hidden', 'k');
SET ROLE gundb_admin;
SELECT gundb.create_stream('viewed', 'shop.viewed');
SELECT gundb.create_view('shop.counts', 'viewed', '{"n": {"fold": "count"}}');
GRANT SELECT ON shop.counts TO gundb_reader;
RESET ROLE;

-- ---------------------------------------------------------------------------------------------------------------------
-- Who may what
-- ---------------------------------------------------------------------------------------------------------------------

-- answer(role, statement): the SQLSTATE that the role gets, with everything undone.
CREATE FUNCTION pg_temp.answer(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE statement;
    RAISE EXCEPTION 'done' USING ERRCODE = 'P9999';
EXCEPTION WHEN SQLSTATE 'P9999' THEN RETURN 'yes';
    WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE TEMP TABLE statements (n int GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO statements (statement) VALUES
    ('SELECT * FROM shop.moves'),
    ('SELECT * FROM gundb.read(''moves'')'),
    ('SELECT * FROM gundb.history(''moves'', ''k'')'),
    ('SELECT * FROM gundb.verify(''moves'')'),
    ('SELECT gundb.create_consumer(''c'', ''moves'')'),
    ('SELECT gundb.context(e) FROM shop.moves e'),
    ('SELECT gundb.clock_at(now())'),
    ('SELECT * FROM gundb.view_at(NULL::shop.counts, at => now())'),
    ('SELECT * FROM gundb.view_history(''shop.counts'', ''k'')'),
    ('SELECT gundb.view_digest(''shop.counts'')'),
    ('SELECT * FROM gundb.conflicts(''shop.counts'')'),
    ('SELECT * FROM gundb.id_conflicts(''viewed'')'),
    ('SELECT * FROM gundb.conflict'),
    ('INSERT INTO shop.moves (type) VALUES (''A'')'),
    ('INSERT INTO shop.moves (type) VALUES (''A'') ON CONFLICT DO NOTHING'),
    ('INSERT INTO shop.moves (type) VALUES (''A'') RETURNING seq'),
    ('SELECT gundb.append(''moves'', ''A'')'),
    ('SELECT gundb.append(''moves'', ''A'', key => ''k'', expected_version => 1)'),
    ('SELECT gundb.append(''moves'', ''A'', id => ''00000000-0000-0000-0000-000000000001'')'),
    ('SELECT gundb.append(''moves'', ''Checked'', ''{"n": 1}'')'),
    ('SELECT gundb.append(''moves'', ''A'', depends_on => gundb.site_clock())'),
    ('SELECT gundb.append_batch(''moves'', ''[{"type": "A"}]'')'),
    ('SELECT gundb.revert(''moves'', (SELECT array_agg(id) FROM shop.moves))'),
    ('SELECT gundb.revert(e) FROM shop.moves e'),
    ('SELECT * FROM gundb.reverting'),
    ('UPDATE shop.moves SET type = ''A'''),
    ('DELETE FROM shop.moves'),
    ('TRUNCATE shop.moves'),
    ('DROP TABLE shop.moves'),
    ('SELECT gundb.drop_stream(''moves'')'),
    ('SELECT gundb.detach_stream(''moves'')'),
    ('SELECT gundb.drop_stream(''secret'')'),
    ('SELECT gundb.define_event(''moves'', ''A'', NULL)'),
    ('SELECT gundb.create_stream(''new'', ''shop.new'')'),
    ('SELECT gundb.create_stream(''new'', ''public.new'')'),
    ('SELECT gundb.create_stream(''new'', ''gundb.new'')'),
    ('SELECT gundb.set_site_name(''paris'')'),
    ('SELECT * FROM gundb.read(''secret'')'),
    ('SELECT gundb.append(''secret'', ''A'')'),
    ('SELECT * FROM gundb.event'),
    ('INSERT INTO gundb.event (type) VALUES (''A'')'),
    ('SELECT * FROM gundb.definition'),
    ('SELECT * FROM gundb.read(''gundb'')'),
    ('INSERT INTO gundb.definition (type) VALUES (''A'')'),
    ('SELECT gundb.append(''gundb'', ''SiteNamed'', ''{"name": "x"}'', key => gundb.site_id()::text)'),
    ('SELECT count(*) FROM gundb.read()'),
    ('SELECT count(*) FROM gundb.verify()'),
    ('SELECT gundb.digest()'),
    ('SELECT gundb.site_clock(), gundb.site_id(), gundb.site_name(), gundb.hlc_now()'),
    ('SELECT * FROM gundb.stream'),
    ('SELECT * FROM gundb.site'),
    ('SELECT * FROM gundb.event_type'),
    ('SELECT * FROM gundb.consumer'),
    ('SELECT * FROM gundb.health'),
    ('SELECT * FROM gundb.status()'),
    ('SELECT gundb.reset()'),
    ('SELECT gundb.uninstall()'),
    ('SELECT gundb.begin_restore()'),
    ('SELECT gundb.end_restore()'),
    ('SELECT gundb.grant_admin(current_user)'),
    ('SELECT gundb.add_peer(''p'', ''postgres://h/d'')'), ('SELECT gundb.alter_peer(''p'')'), ('SELECT gundb.drop_peer(''p'')'), ('SELECT gundb.pause_peer(''p'')'),
    ('SELECT gundb.resume_peer(''p'')'), ('SELECT gundb.set_peer_secret(''p'', ''s'')'), ('SELECT gundb.sync_now(''p'')'),
    ('SELECT gundb.grant_peer(current_user)'), ('SELECT gundb.revoke_peer(current_user)'), ('SELECT gundb.new_identity(''n'')'),
    ('SELECT gundb.session_hello('''')'), ('SELECT gundb.session_push('''')'), ('SELECT gundb.session_pull()'),
    ('SELECT gundb.export_bundle()'), ('SELECT gundb.import_bundle('''')'), ('SELECT gundb.inspect_bundle('''')'),
    ('SELECT gundb.served_peers()'), ('SELECT gundb.session_greet(''p'')'), ('SELECT gundb.note_peer(''p'')'), ('SELECT gundb.known_streams()'),
    ('SELECT gundb.courier_export(''p'', NULL, ''{}'', 1)'), ('SELECT gundb.courier_import(''p'', '''')'), ('SELECT gundb.grant_daemon(current_user)'),
    ('SELECT gundb.wait_for(''{}'')'), ('SELECT * FROM gundb.peer_status'), ('SELECT * FROM gundb.lag'), ('SELECT * FROM gundb.peer_lag()'),
    ('SELECT * FROM gundb.peer_states()'), ('SELECT * FROM gundb.clock_figures()'),
    ('SELECT * FROM gundb.peer'), ('SELECT * FROM gundb.peer_secret'), ('SELECT * FROM gundb.peer_state'), ('SELECT * FROM gundb.inbox'), ('SELECT * FROM gundb.known_links'),
    ('SELECT * FROM gundb.definer'), ('SELECT * FROM gundb.left_stream'), ('SELECT * FROM gundb.adoption'), ('SELECT * FROM gundb.peering'),
    ('SELECT * FROM gundb.own_run'), ('SELECT * FROM gundb.epoch'), ('SELECT * FROM gundb.consumer_state'), ('SELECT * FROM gundb.hlc_mark'),
    ('SELECT gundb.check_view(''shop.counts'')'), ('SELECT gundb.rebuild_view(''shop.counts'')'), ('SELECT gundb.retry_pending(''shop.counts'')'),
    ('SELECT gundb.alter_view(''shop.counts'', ''{"m": {"fold": "count"}}'')'), ('SELECT gundb.drop_view(''shop.counts'')'),
    ('SELECT * FROM gundb.definitions()'), ('SELECT * FROM gundb.consumers()'), ('SELECT gundb.events_after(''moves'', ''{}'')'), ('SELECT gundb.events_after(''secret'', ''{}'')'),
    ('SELECT gundb.compare(''p'')'),
    ('SELECT gundb.accept_pending()'), ('SELECT * FROM gundb.staged'), ('SELECT * FROM gundb.refused'), ('SELECT * FROM gundb.view_late'),
    ('SELECT * FROM gundb.pending'), ('SELECT * FROM gundb.view_pending'), ('SELECT * FROM gundb.view'),
    ('INSERT INTO gundb.span SELECT * FROM gundb.span'), ('DELETE FROM gundb.own_run'), ('SELECT setval(''gundb.hlc_mark'', 0)');
SELECT statement, pg_temp.answer('gundb_nobody', statement) AS nobody, pg_temp.answer('gundb_reader', statement) AS reader,
       pg_temp.answer('gundb_writer', statement) AS writer, pg_temp.answer('gundb_admin', statement) AS admin
FROM statements ORDER BY n;
-- Who may call which function: of those that are not everybody's, by role. Of everybody's, those that are not immutable and stand in no statement above: of values, and of what its owner alone can name.
CREATE ROLE gundb_peer;
CREATE ROLE gundb_daemon;
SELECT gundb.grant_peer('gundb_peer'), gundb.grant_daemon('gundb_daemon');
CREATE TEMP VIEW functions AS SELECT p.oid, p.oid::regprocedure AS function, p.proname, p.provolatile, p.prorettype, has_function_privilege('gundb_nobody', p.oid, 'EXECUTE') AS is_everybodys
    FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb';
SELECT function, has_function_privilege('gundb_writer', oid, 'EXECUTE') AS writer, has_function_privilege('gundb_peer', oid, 'EXECUTE') AS peer,
       has_function_privilege('gundb_daemon', oid, 'EXECUTE') AS daemon, has_function_privilege('gundb_admin', oid, 'EXECUTE') AS admin FROM functions WHERE NOT is_everybodys ORDER BY function::text;
SELECT function, provolatile AS kind FROM functions f WHERE is_everybodys AND provolatile <> 'i' AND prorettype <> 'trigger'::regtype
    AND NOT EXISTS (SELECT FROM statements WHERE statement LIKE '%gundb.' || proname || '(%') ORDER BY function::text;
DROP OWNED BY gundb_peer, gundb_daemon;
DROP ROLE gundb_peer, gundb_daemon;

SET ROLE gundb_admin;
SELECT gundb.drop_view('shop.counts');
SELECT gundb.drop_stream('viewed');
RESET ROLE;
-- What waits is shown to whom it concerns: a view's owner; a monitor sees all, as the extension's owner does.
CREATE ROLE gundb_monitor IN ROLE pg_monitor;
CREATE ROLE gundb_member IN ROLE gundb_admin;
CREATE FUNCTION pg_temp.waits(role text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    PERFORM set_config('role', role, true);
    SELECT string_agg(concat_ws(' ', kind, view, key), ', ' ORDER BY kind, view::text) INTO found FROM gundb.pending;
    PERFORM set_config('role', 'none', true);
    RETURN found;
END
$$;
SET ROLE gundb_admin;
SELECT gundb.create_stream('waiting', 'shop.waiting');
SELECT gundb.create_view('shop.waits', 'waiting', '{"n": {"fold": "sum", "value": "n"}}');
INSERT INTO shop.waiting (type, key, data) VALUES ('A', 'k', '{"n": "many"}');
RESET ROLE;
SELECT gundb.create_view('waits_too', 'secret', '{"n": {"fold": "sum", "value": "n"}}');
INSERT INTO secret (type, key, data) VALUES ('A', 'hidden', '{"n": "many"}');
INSERT INTO gundb.view_late (view, key, shown, dot, again, reason, sqlstate)
SELECT p.view, '\x00', 'late', p.dot, false, 'busy', '55P03' FROM gundb.view_pending p JOIN gundb.view_definition d ON d.number = p.view WHERE d.relation = 'waits_too'::regclass;
INSERT INTO gundb.refused SELECT dot, repeat('0', 32)::gundb.chain, 'fork', 'planted', now(), 1, '{}' FROM gundb.view_pending LIMIT 1;
SELECT role, pg_temp.waits(role) FROM unnest('{gundb_nobody, gundb_reader, gundb_writer, gundb_admin, gundb_member, gundb_monitor, postgres}'::text[]) AS role;
DELETE FROM gundb.refused;
DELETE FROM gundb.view_late;
SELECT gundb.drop_view('waits_too'), gundb.drop_view('shop.waits');
SELECT gundb.drop_stream('waiting');
-- Reading all is reading what one may read.
SET ROLE gundb_reader;
SELECT stream, type FROM gundb.read();
RESET ROLE;
SET ROLE gundb_writer;
SELECT stream, type FROM gundb.read();
SELECT answer, hint FROM pg_temp.attempt($$SELECT gundb.read('moves')$$);
SELECT answer FROM pg_temp.attempt($$SELECT * FROM gundb.history('moves', 'k')$$);
-- The one who may only insert gets the coordinates of what it appended, and of what it appended before.
SELECT gundb.seq_of(dot) AS seq, version, duplicate FROM gundb.append('moves', 'Once', key => 'k', id => '00000000-0000-0000-0000-000000000001', expected_version => 1);
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('moves', 'Once', key => 'k', id => '00000000-0000-0000-0000-000000000001');
RESET ROLE;
-- The list of functions that are not everybody's.
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'gundb' WHERE NOT has_function_privilege('gundb_nobody', p.oid, 'EXECUTE') ORDER BY p.oid::regprocedure::text;

-- A consumer is its maker's, and its role's.
SET ROLE gundb_reader;
SELECT gundb.create_consumer('mine', 'moves');
SELECT count(*) FROM gundb.consume('mine');
RESET ROLE;
GRANT SELECT ON shop.moves TO gundb_nobody;
GRANT USAGE ON SCHEMA shop TO gundb_nobody;
SET ROLE gundb_nobody;
SELECT a.state FROM (VALUES ($$SELECT gundb.consume('mine')$$), ($$SELECT gundb.seek_consumer('mine')$$), ($$SELECT gundb.drop_consumer('mine')$$), ($$SELECT gundb.create_consumer('mine')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
RESET ROLE;
-- It follows its owner through a rename, and needs the right to read each time.
ALTER ROLE gundb_reader RENAME TO gundb_renamed;
SELECT pg_temp.answer('gundb_renamed', $$SELECT gundb.consume('mine')$$);
ALTER ROLE gundb_renamed RENAME TO gundb_reader;
REVOKE SELECT ON shop.moves FROM gundb_reader;
SELECT pg_temp.answer('gundb_reader', $$SELECT gundb.consume('mine')$$);
GRANT SELECT ON shop.moves TO gundb_reader;
REVOKE SELECT ON shop.moves FROM gundb_nobody;

-- ---------------------------------------------------------------------------------------------------------------------
-- Row security
-- ---------------------------------------------------------------------------------------------------------------------

SET ROLE gundb_admin;
SELECT gundb.create_stream('notes', 'shop.notes');
INSERT INTO shop.notes (type, key) SELECT 'Note', CASE n % 3 WHEN 0 THEN 'gundb_reader' WHEN 1 THEN 'gundb_writer' ELSE 'other' END FROM generate_series(1, 600) AS n;
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON shop.notes FOR SELECT TO gundb_reader USING (key = current_user);
CREATE POLICY own_writes ON shop.notes FOR INSERT TO gundb_writer WITH CHECK (key = current_user);
GRANT SELECT ON shop.notes TO gundb_reader;
GRANT INSERT ON shop.notes TO gundb_writer;
RESET ROLE;
-- The reader sees its own, by every way.
SET ROLE gundb_reader;
SELECT (SELECT count(*) FROM shop.notes) AS by_select, (SELECT count(*) FROM gundb.read('notes')) AS by_read, (SELECT count(*) FROM gundb.history('notes', 'other')) AS history;
SELECT gundb.create_consumer('notes', 'notes');
SELECT count(*), count(DISTINCT key), bool_and(key = current_user) FROM gundb.consume('notes', 1000);
SELECT count(*) FROM gundb.consume('notes');
RESET ROLE;
-- The writer writes its own, by every way, and learns nothing of others' ids.
SET ROLE gundb_writer;
SELECT statement, a.state FROM (VALUES ('INSERT INTO shop.notes (type, key) VALUES (''Note'', current_user)'), ('INSERT INTO shop.notes (type, key) VALUES (''Note'', ''other'')'), ('INSERT INTO shop.notes (type) VALUES (''Note'')'),
    ($$SELECT gundb.append('notes', 'Note', key => current_user)$$), ($$SELECT gundb.append('notes', 'Note', key => 'other')$$), ($$SELECT gundb.append_batch('notes', '[{"type": "Note", "key": "gundb_writer"}]')$$),
    ($$SELECT gundb.append_batch('notes', '[{"type": "Note", "key": "gundb_writer"}, {"type": "Note", "key": "other"}]')$$),
    ($$SELECT gundb.append('notes', 'Note', key => current_user, expected_version => 203)$$)) AS v (statement), pg_temp.attempt(statement) AS a;
COPY shop.notes (type, key) FROM STDIN;
Note	other
\.
RESET ROLE;
SELECT key, count(*) FROM shop.notes GROUP BY key ORDER BY key;
SELECT count(*) FROM gundb.verify('notes');

-- ---------------------------------------------------------------------------------------------------------------------
-- SECURITY DEFINER, and hostile search paths
-- ---------------------------------------------------------------------------------------------------------------------

-- A function lends its owner's rights.
CREATE FUNCTION shop.receive(sku text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT gundb.seq_of(dot) FROM gundb.append('moves', 'Received', jsonb_build_object('sku', sku)) $$;
ALTER FUNCTION shop.receive OWNER TO gundb_admin;
GRANT USAGE ON SCHEMA shop TO gundb_nobody;
SET ROLE gundb_nobody;
SELECT shop.receive('A-1') > 0 AS received;
RESET ROLE;
-- What an administrator plants in a schema of its own, ahead of pg_catalog, changes nothing but what it may do anyway.
CREATE SCHEMA evil AUTHORIZATION gundb_admin;
CREATE SCHEMA guarded;
CREATE FUNCTION evil.own_table(oid, oid) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 OPERATOR(pg_catalog.=) 'shop.moves'::regclass::oid $$;
CREATE FUNCTION evil.own_schema(name, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT $1 OPERATOR(pg_catalog.=) 'evil'::name $$;
CREATE FUNCTION evil.never(name, name) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT false $$;
CREATE FUNCTION evil.any_text(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.own_table);
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = text, FUNCTION = evil.own_schema);
CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.never);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.any_text);
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION pg_temp.attacked(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE outcome text;
BEGIN
    PERFORM set_config('search_path', 'evil, pg_catalog', true);
    outcome := pg_temp.answer(role, statement);
    PERFORM set_config('search_path', 'public', true);
    RETURN outcome;
END $$;
SELECT what, pg_temp.attacked('gundb_admin', statement) AS attacked, pg_temp.answer('gundb_admin', statement) AS plain
FROM (VALUES ('drop another''s stream', $$SELECT gundb.drop_stream('secret')$$), ('detach another''s stream', $$SELECT gundb.detach_stream('secret')$$),
    ('create in another''s schema', $$SELECT gundb.create_stream('sneaked', 'guarded.sneaked')$$), ('read another''s stream', $$SELECT gundb.read('secret')$$),
    ('append to another''s stream', $$SELECT gundb.append('secret', 'A')$$), ('drop a stream''s table', $$DROP TABLE shop.moves$$),
    ('use another''s consumer', $$SELECT gundb.consume('mine')$$)) AS v (what, statement);
-- What a stream's owner hangs on its table runs as the owner or the caller, and never as a superuser who did not call.
SET ROLE gundb_admin;
CREATE FUNCTION shop.hung_on(what text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('is_superuser')::boolean OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE WARNING '% runs as a superuser', what;
    END IF;
    RETURN true;
END $$;
SET SESSION AUTHORIZATION gundb_admin;
ALTER TABLE shop.moves ADD CONSTRAINT checked CHECK (lane IS NOT NULL AND shop.hung_on('a constraint'));
CREATE INDEX ON shop.moves (type) WHERE shop.hung_on('an index''s predicate');
CREATE INDEX ON shop.moves ((shop.hung_on('an indexed expression')));
CREATE FUNCTION shop.hung_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM shop.hung_on(TG_NAME); RETURN new; END $$;
CREATE TRIGGER before_trigger BEFORE INSERT ON shop.moves FOR EACH ROW EXECUTE FUNCTION shop.hung_on();
CREATE TRIGGER after_trigger AFTER INSERT ON shop.moves FOR EACH ROW EXECUTE FUNCTION shop.hung_on();
SELECT duplicate FROM gundb.append('moves', 'A', key => 'k2', expected_version => 0, id => '00000000-0000-0000-0000-000000000002');
SELECT duplicate FROM gundb.append('moves', 'A', key => 'k2', id => '00000000-0000-0000-0000-000000000002');
SELECT duplicate FROM gundb.append('moves', 'Checked', '{"n": 1}', depends_on => gundb.site_clock());
SELECT count(*) FROM gundb.history('moves', 'k2');
SELECT rows > 0 AS rows FROM gundb.stream WHERE name = 'moves';
SELECT count(*) > 0 AS read FROM gundb.read('moves');
BEGIN;
SELECT gundb.detach_stream('moves');
ROLLBACK;
BEGIN;
SELECT gundb.drop_stream('moves');
ROLLBACK;
RESET SESSION AUTHORIZATION;
RESET ROLE;

-- REVOKE takes the administration back.
SELECT a.state, a.answer FROM (VALUES ('SELECT gundb.grant_admin(''no such role'')'), ('SELECT gundb.grant_admin(NULL)')) AS v (statement), pg_temp.attempt(statement) AS a;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA gundb FROM gundb_admin;
SELECT pg_temp.answer('gundb_admin', $$SELECT gundb.create_stream('new', 'shop.new')$$);
-- It keeps its tables, and the streams in them cannot be dropped by the way.
SELECT pg_temp.answer('gundb_admin', $$SELECT gundb.drop_stream('moves')$$), pg_temp.answer('gundb_admin', 'DROP TABLE shop.moves');
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
RESET client_min_messages;
\set VERBOSITY sqlstate
DROP OWNED BY gundb_admin;
\set VERBOSITY default
SELECT name FROM gundb.stream WHERE name <> 'gundb' ORDER BY name;
REASSIGN OWNED BY gundb_admin TO CURRENT_USER;
SELECT duplicate FROM gundb.append('secret', 'After');
DROP OWNED BY gundb_admin, gundb_reader, gundb_writer, gundb_nobody;
DROP ROLE gundb_admin, gundb_reader, gundb_writer, gundb_nobody;
