-- Peers: what is configured, by whom, and what is said of it.
\i include/attempt.sql

SELECT gundb.create_stream('moves');
SELECT gundb.set_site_name('paris');

-- ---------------------------------------------------------------------------------------------------------------------
-- Adding, altering, dropping
-- ---------------------------------------------------------------------------------------------------------------------

-- Nobody listens there; nothing here waits for it.
SELECT gundb.add_peer('tokyo', 'postgres://gundb@127.0.0.1:1/shop?connect_timeout=1');
SELECT gundb.add_peer('lima', 'postgres://gundb@127.0.0.1:1/shop', push => '{*, !audit*}', pull => '{}', accept => 'own', options => '{"bundle_bytes": 65536, "compression": 0}');
SELECT name, url, push, pull, accept, options, paused_since FROM gundb.peer ORDER BY name;
SELECT gundb.alter_peer('lima', push => '{moves}');
SELECT gundb.alter_peer('lima', url => 'file:///var/spool/gundb', accept => 'any', options => '{}');
SELECT gundb.alter_peer('lima');
SELECT name, url, push, pull, accept, options FROM gundb.peer WHERE name = 'lima';
SELECT gundb.pause_peer('lima'), gundb.pause_peer('tokyo', 'moving house');
SELECT peer, role, url, state, last_error, push, pull, accept FROM gundb.peer_status ORDER BY peer;
SELECT gundb.resume_peer('lima');
SELECT name, paused_reason, paused_since IS NOT NULL AS paused FROM gundb.peer ORDER BY name;
SELECT gundb.set_peer_secret('tokyo', 'sesame'), gundb.set_peer_secret('tokyo', 'open sesame');
SELECT * FROM gundb.peer_secret;
SELECT gundb.set_peer_secret('tokyo', NULL);
SELECT * FROM gundb.peer_secret;
SELECT gundb.set_peer_secret('lima', 'sesame');
SELECT gundb.drop_peer('lima');
SELECT name FROM gundb.peer;
SELECT * FROM gundb.peer_secret;

-- Bad input.
SELECT a.* FROM (VALUES (1, $$SELECT gundb.add_peer('tokyo', 'postgres://u@h/d')$$), (2, $$SELECT gundb.add_peer(NULL, 'postgres://u@h/d')$$), (3, $$SELECT gundb.add_peer('p', NULL)$$),
    (4, $$SELECT gundb.add_peer('', 'postgres://u@h/d')$$), (5, $$SELECT gundb.add_peer('a/b', 'postgres://u@h/d')$$), (6, $$SELECT gundb.add_peer(repeat('x', 64), 'postgres://u@h/d')$$),
    (7, $$SELECT gundb.add_peer('00000000-0000-4000-8000-000000000001', 'postgres://u@h/d')$$),
    (8, $$SELECT gundb.add_peer('p', 'tokyo.example')$$), (9, $$SELECT gundb.add_peer('p', 'postgre://h/d')$$), (10, $$SELECT gundb.add_peer('p', 'http://h/d')$$), (11, $$SELECT gundb.add_peer('p', 'postgres:h')$$),
    (12, $$SELECT gundb.add_peer('p', 'postgres://')$$), (13, $$SELECT gundb.add_peer('p', E'postgres://u@h/d\n')$$),
    (14, $$SELECT gundb.add_peer('p', 'postgres://u:sesame@h/d')$$), (15, $$SELECT gundb.add_peer('p', 'postgres://u@h/d?sslmode=require&password=sesame')$$),
    (16, $$SELECT gundb.add_peer('p', 'postgres://u@h/d?%70assword=sesame')$$), (17, $$SELECT gundb.add_peer('p', 'postgres://u@h/d?sslpassword=sesame')$$),
    (18, $$SELECT gundb.alter_peer('tokyo', url => 'postgres://u:sesame@h/d')$$),
    (19, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', push => '{!}')$$), (20, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', push => NULL)$$), (21, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', pull => '{a, NULL}')$$),
    (22, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', accept => 'all')$$), (23, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', options => '{"bundle_byte": 1}')$$),
    (24, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', options => '{"zzz": 1}')$$), (25, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', options => '[]')$$), (26, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', options => '{"compression": 20}')$$),
    (27, $$SELECT gundb.alter_peer('tokio')$$), (28, $$SELECT gundb.drop_peer('zzz')$$), (29, $$SELECT gundb.pause_peer('Tokyo')$$), (30, $$SELECT gundb.resume_peer(NULL)$$), (31, $$SELECT gundb.set_peer_secret('zzz', 'x')$$), (32, $$SELECT gundb.set_peer_secret('tokyo', '')$$),
    (33, $$SELECT gundb.sync_now('zzz')$$), (34, $$SELECT gundb.sync_now('tokyo')$$), (35, $$SELECT gundb.sync_now('tokyo', '-1 s')$$),
    (36, $$SELECT gundb.add_peer('p', 'postgres://h/d')$$), (37, $$SELECT gundb.add_peer('p', 'postgres://u@h')$$), (38, $$SELECT gundb.add_peer('p', 'postgres://u@h/d?sslmod=require')$$),
    (39, $$SELECT gundb.add_peer('p', 'postgres://u@h/d?sslmode=verify-full')$$), (40, $$SELECT gundb.add_peer('p', 'file:')$$), (41, $$SELECT gundb.add_peer('p', 'grpc://u:sesame@h')$$),
    (42, $$SELECT gundb.add_peer('p', 'postgres://u@h/d', options => '{"bundle_bytes": 1048577}')$$), (43, $$SELECT gundb.compare('zzz')$$), (44, $$SELECT gundb.compare('tokyo')$$), (45, $$SELECT gundb.compare('tokyo', '-1 s')$$)) AS v (n, statement), gundb.site_name() AS s, pg_temp.attempt(statement) AS a ORDER BY n;
SELECT count(*) FROM gundb.peer;
-- What others dial is taken, and it is said who.
SELECT gundb.add_peer('spool', 'file:///var/spool/gundb');
SELECT state, last_error FROM gundb.peer_status WHERE peer = 'spool';
SELECT gundb.compare('spool');
-- Who carries for it speaks as this site, and says how it goes.
SELECT name, url, accept, options FROM gundb.served_peers();
SELECT a.* FROM (VALUES (1, $$SELECT gundb.session_greet('tokyo')$$), (2, $$SELECT gundb.session_greet('spol')$$), (3, $$SELECT gundb.courier_export('tokyo', NULL, '{}', 1)$$), (4, $$SELECT gundb.courier_import('spool', '\x00')$$), (5, $$SELECT gundb.courier_export('spool', '\x00', '{}', 1)$$),
    (6, $$SELECT gundb.note_peer('spool', 'ill')$$), (7, $$SELECT gundb.note_peer('spool', hello => '\x00')$$), (8, $$SELECT gundb.note_peer('zzz')$$), (9, $$SELECT gundb.grant_daemon('nobody at all')$$), (10, $$SELECT gundb.grant_daemon(NULL)$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
SELECT length(gundb.session_greet('spool')) > 0 AS greets;
SELECT gundb.session_hello('\x00');
SELECT gundb.session_pull();
SELECT count(*) > 0 AS exports FROM gundb.courier_export('spool', NULL, '{}', 1000000);
SELECT string_agg(name, ' ' ORDER BY name) FROM gundb.known_streams() AS name;
SELECT gundb.note_peer('spool', 'waiting', 'no road', bytes_sent => 7);
SELECT state, last_error, bytes_sent FROM gundb.peer_status WHERE peer = 'spool';
SELECT gundb.pause_peer('spool');
SELECT gundb.session_greet('spool');
SELECT count(*) FROM gundb.served_peers();
SELECT gundb.drop_peer('spool');
-- Nothing is left to be said of a peer that nobody reaches.
SELECT gundb.resume_peer('tokyo');
SELECT gundb.sync_now('tokyo', '0.2 s');
BEGIN;
INSERT INTO moves (type) VALUES ('A');
SELECT gundb.sync_now('tokyo');
ROLLBACK;

-- Once there was a peer, what was written may be elsewhere.
SELECT gundb.drop_peer('tokyo');
SELECT gundb.reset();

-- ---------------------------------------------------------------------------------------------------------------------
-- Roles that may dial in
-- ---------------------------------------------------------------------------------------------------------------------

CREATE ROLE "a peer's role" LOGIN;
CREATE ROLE gundb_stranger LOGIN;
SELECT gundb.grant_peer('a peer''s role');
SELECT gundb.grant_peer('a peer''s role', pull => '{moves}', accept => 'any');
SELECT role, push, pull, accept FROM gundb.peer_grant;
-- Who may dial in is not dropped by mistake.
DROP ROLE "a peer's role";
-- push and pull as this site sees them.
SELECT peer, role, state, push, pull, accept FROM gundb.peer_status;
SELECT a.* FROM (VALUES (1, $$SELECT gundb.grant_peer('gundb_strange')$$), (2, $$SELECT gundb.grant_peer('zzz zzz zzz')$$), (3, $$SELECT gundb.grant_peer(NULL)$$), (4, $$SELECT gundb.grant_peer('gundb_stranger', '{!}')$$),
    (5, $$SELECT gundb.grant_peer('gundb_stranger', accept => 'all')$$), (6, $$SELECT gundb.revoke_peer('gundb_stranger')$$), (7, $$SELECT gundb.revoke_peer('zzz zzz zzz')$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;

-- Sessions: the role comes first, then what is said.
SELECT a.* FROM (VALUES (1, $$SELECT gundb.session_hello('\x00')$$), (2, $$SELECT gundb.session_push('\x00')$$), (3, $$SELECT gundb.session_pull()$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
SET SESSION AUTHORIZATION gundb_stranger;
SELECT gundb.session_hello('\x00');
SELECT gundb.session_push('\x00');
SELECT gundb.session_pull();
RESET SESSION AUTHORIZATION;
-- A membership is not enough, nor is SET ROLE.
GRANT "a peer's role" TO gundb_stranger;
SET SESSION AUTHORIZATION gundb_stranger;
SET ROLE "a peer's role";
SELECT gundb.session_hello('\x00');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION "a peer's role";
SELECT gundb.session_hello('\x00');
SELECT gundb.session_hello('gunb');
SELECT gundb.session_hello(NULL) IS NULL;
SELECT gundb.session_push('\x00');
SELECT gundb.session_pull();
SELECT * FROM gundb.peer;
SELECT * FROM gundb.peer_secret;
SELECT gundb.add_peer('p', 'postgres://u@h/d');
RESET SESSION AUTHORIZATION;
SELECT gundb.revoke_peer('a peer''s role');
SET SESSION AUTHORIZATION "a peer's role";
SELECT gundb.session_hello('\x00');
RESET SESSION AUTHORIZATION;
REVOKE "a peer's role" FROM gundb_stranger;

-- ---------------------------------------------------------------------------------------------------------------------
-- Waiting, seeing
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (type) VALUES ('A');
SELECT gundb.site_clock() AS clock \gset
SELECT gundb.wait_for(:'clock');
SELECT gundb.wait_for('{}', timeout => '0');
SELECT gundb.wait_for(gundb.clock_of(gundb.dot(gundb.site_id(), gundb.stream_id('moves'), '000000000001-0', 1)), timeout => '0.1 s');
SELECT a.* FROM (VALUES (1, $$SELECT gundb.wait_for(NULL)$$), (2, $$SELECT gundb.wait_for('{}', timeout => NULL)$$), (3, $$SELECT gundb.wait_for('{}', 'zzz')$$), (4, $$SELECT gundb.wait_for('{}', timeout => '-1 s')$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
BEGIN;
INSERT INTO moves (type) VALUES ('B');
SELECT gundb.wait_for('{}');
ROLLBACK;
SELECT * FROM gundb.lag;
SELECT * FROM gundb.peer_lag();
SELECT lanes > 0 AS lanes, runs > 0 AS runs, copies FROM gundb.clock_figures();
SELECT "check", status, message FROM gundb.health WHERE "check" IN ('peers', 'skew', 'pending', 'copies', 'adoption') ORDER BY "check";

-- In a publication FOR ALL TABLES too, rows of these can be changed. (The parent of all streams is empty, and stays so.)
SELECT c.relname FROM pg_class c
 WHERE c.relnamespace = 'gundb'::regnamespace AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident = 'd'
   AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary);

-- ---------------------------------------------------------------------------------------------------------------------
-- A new identity
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.site_id() AS before \gset
SELECT count(*) AS events FROM moves \gset
BEGIN;
SELECT gundb.new_identity('rolled back') <> :'before' AS another;
ROLLBACK;
SELECT gundb.site_id() = :'before' AS same, gundb.site_name();
INSERT INTO moves (type) VALUES ('As before');
SELECT gundb.new_identity('rome') AS after \gset
SELECT gundb.site_id() = :'after' AS now_another, gundb.site_name();
INSERT INTO moves (type) VALUES ('By the new one');
SELECT type, CASE site WHEN :'before' THEN 'before' WHEN :'after' THEN 'after' END AS site FROM moves ORDER BY hlc;
SELECT name, own FROM gundb.site ORDER BY name;
SELECT count(*) FROM gundb.verify();
SELECT a.* FROM (VALUES (1, $$SELECT gundb.new_identity(NULL)$$), (2, $$SELECT gundb.new_identity('')$$), (3, $$SELECT gundb.new_identity('a/b')$$)) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
BEGIN;
INSERT INTO moves (type) VALUES ('C');
SELECT gundb.new_identity('milan');
ROLLBACK;

-- A stream that was dropped is not taken from peers any more, until it is declared again.
SELECT gundb.drop_stream('moves');
SELECT name FROM gundb.left_stream;
SELECT gundb.create_stream('moves');
SELECT name FROM gundb.left_stream;
DROP ROLE "a peer's role", gundb_stranger;
