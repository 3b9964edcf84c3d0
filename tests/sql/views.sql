-- Views: made, maintained, rebuilt, checked, dropped.
\i include/attempt.sql
SET TimeZone = 'UTC';

-- ---------------------------------------------------------------------------------------------------------------------
-- The minute of the README
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('moves');
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-0", "qty": 7}');
SELECT gundb.create_view('stock', 'moves', key => 'sku', columns => '{
         "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}},
         "place":   {"fold": "lww", "value": "place"},
         "labels":  {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}}}');
\d stock
SELECT obj_description('stock'::regclass);
-- What was there is in it already; what is appended comes in its own transaction.
SELECT * FROM stock ORDER BY sku;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 3, "place": "dock 2"}');
SELECT count(*) FROM gundb.append('moves', 'Sold', '{"sku": "A-1", "qty": 1}');
SELECT count(*) FROM gundb.append_batch('moves', '[{"type": "Sold", "data": {"sku": "A-1", "qty": 0.50}}, {"type": "Labelled", "data": {"sku": "A-1", "label": "cold"}}]');
SELECT * FROM stock ORDER BY sku;
BEGIN;
INSERT INTO moves (type, data) VALUES ('Unlabelled', '{"sku": "A-1", "label": "cold"}'), ('Received', '{"sku": "A-2", "qty": 1}');
SELECT * FROM stock ORDER BY sku;
ROLLBACK;
SELECT * FROM stock ORDER BY sku;
\copy moves (type, data) FROM STDIN
Received	{"sku": "A-3", "qty": 10}
Sold	{"sku": "A-3", "qty": 4}
\.
INSERT INTO moves (type, data) SELECT 'Received', jsonb_build_object('sku', 'B-' || n % 3, 'qty', n) FROM generate_series(1, 3000) AS n;
SELECT * FROM stock ORDER BY sku;
SELECT view, stream, key, types, filter, delete, strict, rows, skipped, pending FROM gundb.view;
SELECT * FROM gundb.check_view('stock');
SELECT gundb.rebuild_view('stock');
SELECT * FROM gundb.check_view('stock');
SELECT * FROM stock ORDER BY sku;

-- ---------------------------------------------------------------------------------------------------------------------
-- Every fold
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('things');
SELECT gundb.create_view('every', 'things', '{
    "sum": {"fold": "sum", "value": "n"}, "whole": {"fold": "sum", "value": "w", "type": "bigint"}, "count": {"fold": "count"}, "of_n": {"fold": "count", "value": "n"},
    "least": {"fold": "min", "value": "n"}, "most": {"fold": "max", "value": "at", "type": "timestamptz"}, "avg": {"fold": "avg", "value": "n"},
    "last": {"fold": "lww", "value": "s"}, "first": {"fold": "fww", "value": "s"}, "by": {"fold": "lww", "value": "s", "by": "at"},
    "mv": {"fold": "mv", "value": "s"}, "set": {"fold": "set", "add": "add", "remove": "del"}, "rw_set": {"fold": "rw_set", "add": "no", "remove": "not", "type": "bigint"},
    "flag": {"fold": "flag", "value": {"On": true, "Off": false}}, "dw_flag": {"fold": "dw_flag", "value": {"On": true, "Off": false}},
    "map": {"fold": "map", "key": "k", "value": "v", "remove": "gone"},
    "uuid": {"fold": "max", "value": "u", "type": "uuid"}, "day": {"fold": "min", "value": "day", "type": "date"}, "yes": {"fold": "lww", "value": "yes", "type": "boolean"},
    "json": {"fold": "lww", "value": "j", "type": "jsonb"}, "constant": {"fold": "sum", "value": 1}}');
\d every
INSERT INTO things (type, key, data) VALUES
    ('A', 'one', '{"n": 1.50, "w": 7.0, "s": "x", "at": "2026-11-23T01:00:00+01:00", "add": 7, "no": 7, "k": "p", "v": {"a": [1, "\"q\""]}, "u": "018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f", "day": "2026-02-28", "yes": true, "j": [null, 1.10]}'),
    ('On', 'one', '{"n": 2, "w": "9007199254740993", "s": null, "at": "2026-11-22T00:00:00Z", "add": 8, "no": 8}');
SELECT * FROM every \gx
INSERT INTO things (type, key, data) VALUES
    ('Off', 'one', '{"n": -0.5e1, "s": "a\\b \"c\" {d}, ü", "at": "2026-11-21T00:00:00Z", "del": 7, "not": 7, "gone": "p", "k": "q", "v": null, "yes": false, "j": null}'),
    ('A', 'one', '{"add": 7, "k": "r", "v": "s"}'), ('A', 'two', '{}');
SELECT * FROM every ORDER BY key \gx
SELECT * FROM gundb.check_view('every');
SELECT gundb.rebuild_view('every');
SELECT * FROM gundb.check_view('every');

-- CRDT values that events carry.
SELECT gundb.create_view('merged', 'things', '{"hits": {"fold": "merge", "value": "hits", "type": "gcounter"}}', types => ARRAY['Hit']);
\d merged
INSERT INTO things (type, key, data) SELECT 'Hit', 'page', jsonb_build_object('hits', ('{}'::gundb.gcounter + n)::text) FROM generate_series(1, 5) AS n;
SELECT gundb.value(hits) FROM merged;
INSERT INTO things (type, key, data) VALUES ('Hit', 'page', '{"hits": {"gcounter": {"0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000000000000a7": 100}}}'), ('Hit', 'page', '{"hits": "{}"}'), ('Hit', 'page', '{"hits": 7}');
SELECT gundb.value(hits) FROM merged;
SELECT reason FROM gundb.pending WHERE view = 'merged'::regclass ORDER BY reason;
SELECT * FROM gundb.check_view('merged');
SELECT gundb.drop_view('merged');

-- ---------------------------------------------------------------------------------------------------------------------
-- Keys, types, filters, deletes
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_view('by_shop', 'moves', '{"n": {"fold": "count"}}', key => 'shop, sku::text as article, no::bigint', types => ARRAY['Counted'], filter => 'shop <> ''closed'' and no is not null');
\d by_shop
INSERT INTO moves (type, data) VALUES ('Counted', '{"shop": "a", "sku": 1, "no": 2}'), ('Counted', '{"shop": "a", "sku": "1", "no": "2"}'), ('Counted', '{"shop": "closed", "sku": 1, "no": 2}'),
    ('Counted', '{"shop": "a", "no": 2}'), ('Counted', '{"shop": "a", "sku": 1, "no": "two"}'), ('Other', '{"shop": "a", "sku": 1, "no": 2}');
SELECT * FROM by_shop;
SELECT skipped, pending FROM gundb.view WHERE view = 'by_shop'::regclass;
SELECT gundb.create_view('carts', 'things', '{"items": {"fold": "set", "add": "add", "remove": "del"}, "n": {"fold": "count"}}', types => ARRAY['Put', 'Taken'], delete => ARRAY['Emptied']);
INSERT INTO things (type, key, data) VALUES ('Put', 'c', '{"add": "milk"}'), ('Put', 'c', '{"add": "bread"}'), ('Taken', 'c', '{"del": "milk"}'), ('Put', 'd', '{"add": "tea"}');
SELECT * FROM carts ORDER BY key;
INSERT INTO things (type, key) VALUES ('Emptied', 'c'), ('Emptied', 'never');
SELECT * FROM carts ORDER BY key;
INSERT INTO things (type, key, data) VALUES ('Put', 'c', '{"add": "salt"}'), ('Emptied', 'd', '{}'), ('Put', 'd', '{"add": "oil"}');
SELECT * FROM carts ORDER BY key;
SELECT gundb.rebuild_view('carts');
SELECT * FROM carts ORDER BY key;
SELECT * FROM gundb.check_view('carts');

-- ---------------------------------------------------------------------------------------------------------------------
-- What cannot be folded waits, or is refused
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A-1", "qty": "many"}'), ('Sold', '{"sku": "A-1", "qty": 1}'), ('Received', jsonb_build_object('sku', repeat('x', 3000), 'qty', 1));
SELECT * FROM stock WHERE sku LIKE 'A-1';
SELECT kind, view, left(key, 20) AS key, dot IS NOT NULL AS dot, reason, sqlstate, since <= now() AS since, tries FROM gundb.pending ORDER BY reason;
SELECT gundb.retry_pending();
SELECT reason, tries FROM gundb.pending ORDER BY reason;
SELECT gundb.retry_pending('stock');
SELECT * FROM gundb.check_view('stock');
SELECT gundb.create_view('strictly', 'moves', '{"n": {"fold": "sum", "value": "amount"}}', key => 'account', strict => true);
SELECT * FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('Paid', '{"account": "x", "amount": "much"}')$$);
INSERT INTO moves (type, data) VALUES ('Paid', '{"account": "x", "amount": 1e10}');
SELECT * FROM strictly;
-- A sum that numeric cannot hold.
INSERT INTO things (type, key, data) VALUES ('A', 'big', '{"n": 9e131071}');
INSERT INTO things (type, key, data) VALUES ('A', 'big', '{"n": 9e131071}'), ('A', 'big', '{"n": 1}');
SELECT count, of_n FROM every WHERE key = 'big';
SELECT view, key, reason, sqlstate FROM gundb.pending WHERE view = 'every'::regclass;
INSERT INTO things (type, key, data) VALUES ('A', 'big', '{"n": -9e131071}');
SELECT gundb.retry_pending('every');
SELECT count, of_n FROM every WHERE key = 'big';
SELECT gundb.drop_view('strictly');

-- ---------------------------------------------------------------------------------------------------------------------
-- Maintenance alone writes
-- ---------------------------------------------------------------------------------------------------------------------

SELECT statement, a.state, a.answer FROM unnest(ARRAY['INSERT INTO stock (sku) VALUES (''x'')', 'UPDATE stock SET place = ''x''', 'DELETE FROM stock', 'TRUNCATE stock', 'DROP TABLE stock',
    'DROP TABLE stock CASCADE', 'DROP TRIGGER gundb_guard ON stock', 'SELECT gundb.drop_stream(''moves'')', 'SELECT gundb.detach_stream(''moves'')']) AS statement, pg_temp.attempt(statement) AS a;
SELECT hint FROM pg_temp.attempt('DELETE FROM stock') UNION ALL SELECT hint FROM pg_temp.attempt('DROP TABLE stock');
SET session_replication_role = replica;
SELECT state FROM pg_temp.attempt('DELETE FROM stock');
RESET session_replication_role;
-- Users index, join, reference and watch it.
CREATE INDEX ON stock (place);
CREATE TABLE watched (sku text, op text);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.watched VALUES (NEW.sku, TG_OP); RETURN NULL; END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION watch();
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "W", "qty": 1}'), ('Received', '{"sku": "W", "qty": 1}');
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "W", "qty": 1}');
SELECT * FROM watched;
-- A trigger on the view may append; it may not write to the view.
CREATE FUNCTION react() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.on_hand < 0 THEN PERFORM gundb.append('moves', 'Received', jsonb_build_object('sku', NEW.sku, 'qty', -NEW.on_hand)); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER react AFTER INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION react();
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "R", "qty": 5}');
SELECT * FROM stock WHERE sku = 'R';
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE public.stock SET place = 'here' WHERE sku = NEW.sku; RETURN NULL; END $$;
CREATE TRIGGER meddle AFTER INSERT ON stock FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT state, answer FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "M", "qty": 5}')$$);
DROP TRIGGER meddle ON stock;
DROP TRIGGER react ON stock;
DROP TRIGGER watch ON stock;
-- Events that a trigger or a function appends in between are taken once.
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.type = 'Received' THEN PERFORM gundb.append('moves', 'Echo', NEW.data); END IF; RETURN NEW;
END $$;
SELECT gundb.create_view('echoes', 'moves', '{"n": {"fold": "count"}, "last": {"fold": "lww", "value": "@type"}}', key => 'echo');
CREATE TRIGGER echo_before BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION echo();
CREATE TRIGGER echo_after AFTER INSERT ON moves FOR EACH ROW EXECUTE FUNCTION echo();
INSERT INTO moves (type, data) VALUES ('Received', '{"echo": "e"}'), ('Received', '{"echo": "e"}');
SELECT * FROM echoes;
SELECT count(*) FROM moves WHERE data ? 'echo';
SELECT * FROM gundb.check_view('echoes');
DROP TRIGGER echo_before ON moves;
DROP TRIGGER echo_after ON moves;
-- Savepoints.
BEGIN;
INSERT INTO moves (type, data) VALUES ('A', '{"echo": "s"}');
SAVEPOINT a;
INSERT INTO moves (type, data) VALUES ('B', '{"echo": "s"}');
ROLLBACK TO a;
INSERT INTO moves (type, data) VALUES ('C', '{"echo": "s"}');
SAVEPOINT b;
INSERT INTO moves (type, data) VALUES ('D', '{"echo": "s"}');
RELEASE b;
SELECT * FROM echoes WHERE echo = 's';
COMMIT;
SELECT * FROM gundb.check_view('echoes');
-- A view made in the transaction that appended.
BEGIN;
INSERT INTO moves (type, data) VALUES ('A', '{"mine": "m"}');
SELECT gundb.create_view('mine', 'moves', '{"n": {"fold": "count"}}', key => 'mine');
INSERT INTO moves (type, data) VALUES ('A', '{"mine": "m"}');
SELECT * FROM mine;
COMMIT;
SELECT * FROM gundb.check_view('mine');
-- ON CONFLICT DO NOTHING, a row that a trigger drops.
INSERT INTO moves (id, type, data) VALUES ('018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f', 'A', '{"mine": "m"}'), ('018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f', 'A', '{"mine": "m"}'), (NULL, 'A', '{"mine": "m"}') ON CONFLICT DO NOTHING;
SELECT * FROM mine;
SELECT * FROM gundb.check_view('mine');

-- ---------------------------------------------------------------------------------------------------------------------
-- Damage is found, and mended
-- ---------------------------------------------------------------------------------------------------------------------

SET session_replication_role = origin;
ALTER TABLE stock DISABLE TRIGGER gundb_guard;
UPDATE stock SET on_hand = 1000 WHERE sku = 'A-1';
DELETE FROM stock WHERE sku = 'A-0';
INSERT INTO stock (sku) VALUES ('never');
UPDATE gundb.view_state SET state = (SELECT state FROM gundb.view_state s JOIN gundb.view_definition d ON s.view = d.number AND d.relation = 'stock'::regclass AND s.key = '\x0203412d31')
 WHERE key = '\x0203412d33' AND view = (SELECT number FROM gundb.view_definition WHERE relation = 'stock'::regclass);
ALTER TABLE stock ENABLE TRIGGER gundb_guard;
SELECT * FROM gundb.check_view('stock') ORDER BY key, problem;
SELECT gundb.rebuild_view('stock') > 0 AS rebuilt;
SELECT * FROM gundb.check_view('stock');

-- ---------------------------------------------------------------------------------------------------------------------
-- Names, definitions, rights
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_view(name => 'mine', stream => 'moves', columns => '{  "n":{"fold":"count"}}', key => 'mine', types => NULL, filter => NULL, delete => NULL, strict => false);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_view('mine', 'moves', '{"n": {"fold": "count"}}', key => 'other')$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_view('moves', 'moves', '{"n": {"fold": "count"}}')$$);
SELECT statement, a.* FROM unnest(ARRAY[
    $$SELECT gundb.create_view('v', 'move', '{"n": {"fold": "count"}}')$$, $$SELECT gundb.create_view('v', 'gundb', '{"n": {"fold": "count"}}')$$,
    $$SELECT gundb.create_view(NULL, 'moves', '{}')$$, $$SELECT gundb.create_view('', 'moves', '{}')$$, $$SELECT gundb.create_view('v', 'moves', NULL)$$,
    $$SELECT gundb.create_view('v', 'moves', '[]')$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "coumt"}}')$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "sum", "vale": "n"}}')$$,
    $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "sum"}}')$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "sum", "value": "a..b"}}')$$,
    $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "sum", "value": "@tipe"}}')$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "lww", "value": "a", "type": "nunmeric"}}')$$,
    $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "count"}, "n": {"fold": "count"}}')$$, $$SELECT gundb.create_view('v', 'moves', '{"key": {"fold": "count"}}')$$,
    $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "count"}}', key => 'a b')$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "count"}}', filter => 'a ==')$$,
    $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "count"}}', types => ARRAY['A'], delete => ARRAY['A'])$$, $$SELECT gundb.create_view('v', 'moves', '{"n": {"fold": "count"}}', types => ARRAY[NULL])$$,
    $$SELECT gundb.create_view('nowhere.v', 'moves', '{"n": {"fold": "count"}}')$$, $$SELECT gundb.create_view('gundb.v', 'moves', '{"n": {"fold": "count"}}')$$,
    $$SELECT gundb.drop_view('moves')$$, $$SELECT gundb.drop_view(NULL)$$, $$SELECT gundb.rebuild_view('moves')$$, $$SELECT gundb.check_view('moves')$$, $$SELECT gundb.retry_pending('moves')$$]) AS statement, pg_temp.attempt(statement) AS a;
-- A view without columns says which keys there are; odd names are kept.
CREATE SCHEMA odd;
SELECT gundb.create_view('odd."A view"', 'moves', '{}', key => '"a \"key\"" as "Key, of it"');
INSERT INTO moves (type, data) VALUES ('A', '{"a \"key\"": "it''s"}'), ('A', '{"a \"key\"": "it''s"}');
SELECT * FROM odd."A view";
ALTER TABLE odd."A view" RENAME TO b;
ALTER SCHEMA odd RENAME TO even;
INSERT INTO moves (type, data) VALUES ('A', '{"a \"key\"": "another"}');
SELECT * FROM even.b ORDER BY 1;
SELECT gundb.drop_view('even.b');
SELECT gundb.create_view('none', 'moves', '{}', key => 'nothing');
SELECT * FROM none;
-- Rights: a view is its maker's, who owns the stream; SELECT is granted as of any table; who appends needs no right to it.
CREATE ROLE gundb_maker;
CREATE ROLE gundb_appender;
CREATE SCHEMA shop AUTHORIZATION gundb_maker;
SELECT gundb.grant_admin('gundb_maker');
SET ROLE gundb_maker;
SELECT gundb.create_stream('orders', 'shop.orders');
SELECT gundb.create_view('shop.totals', 'orders', '{"n": {"fold": "count"}}');
GRANT USAGE ON SCHEMA shop TO gundb_appender;
GRANT INSERT ON shop.orders TO gundb_appender;
SELECT state, answer FROM unnest(ARRAY[$$SELECT gundb.create_view('shop.of_moves', 'moves', '{"n": {"fold": "count"}}')$$, $$SELECT gundb.drop_view('public.stock')$$,
    $$SELECT gundb.rebuild_view('public.stock')$$, $$SELECT gundb.check_view('public.stock')$$, $$SELECT gundb.retry_pending('public.stock')$$]) AS statement, pg_temp.attempt(statement);
RESET ROLE;
SET ROLE gundb_appender;
INSERT INTO shop.orders (type, key) VALUES ('A', 'x'), ('A', 'x');
SELECT state FROM unnest(ARRAY[$$SELECT * FROM shop.totals$$, $$SELECT gundb.create_view('t', 'orders', '{}')$$, $$SELECT gundb.drop_view('shop.totals')$$]) AS statement, pg_temp.attempt(statement);
RESET ROLE;
SET ROLE gundb_maker;
SELECT * FROM shop.totals;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT gundb.rebuild_view('shop.totals');
SELECT gundb.drop_view('shop.totals');
RESET ROLE;
-- The last view takes its trigger along.
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass AND NOT tgisinternal;

-- ---------------------------------------------------------------------------------------------------------------------
-- What newcomers have tried
-- ---------------------------------------------------------------------------------------------------------------------

-- JSON is no key: 1 and 1.0 would be one to the primary key, and two to the fold.
SELECT answer FROM pg_temp.attempt($$SELECT gundb.create_view('j', 'moves', '{}', key => 'j::jsonb as j')$$);
SELECT answer FROM pg_temp.attempt($$SELECT gundb.create_view('j', 'moves', '{"n": {"fold": "sum", "value": "n", "type": "integer"}}')$$);
-- Keys of times are what they are, however a session prints them.
SELECT gundb.create_view('timed', 'things', '{"n": {"fold": "count"}}', key => 'k::timestamptz as at, d::date as day');
INSERT INTO things (type, data) VALUES ('A', '{"k": "2026-01-01T00:00:00.5Z", "d": "2026-01-31"}');
SELECT * FROM gundb.check_view('timed');
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Tokyo';
SELECT * FROM gundb.check_view('timed');
SELECT * FROM timed;
RESET DateStyle;
SET TimeZone = 'UTC';
-- The trigger that maintains is known by its function, stays, and fires always.
SELECT statement, a.state, a.answer FROM unnest(ARRAY['DROP TRIGGER zz_gundb_views ON moves', 'ALTER TABLE moves SET UNLOGGED']) AS statement, pg_temp.attempt(statement) AS a;
ALTER TRIGGER zz_gundb_views ON moves RENAME TO aa;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "T", "qty": 1}');
SELECT * FROM stock WHERE sku = 'T';
ALTER TABLE moves DISABLE TRIGGER aa;
ALTER TABLE stock DISABLE TRIGGER ALL;
SELECT status, message FROM gundb.health WHERE "check" = 'triggers';
ALTER TABLE moves ENABLE TRIGGER ALL;
ALTER TABLE stock ENABLE TRIGGER ALL;
SELECT status FROM gundb.health WHERE "check" = 'triggers';
SELECT tgrelid::regclass, tgname FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid WHERE pronamespace = 'gundb'::regnamespace AND tgenabled <> 'A';
-- The columns and the key of a view are its definition; others can be added.
SELECT statement, a.state, a.answer FROM unnest(ARRAY['ALTER TABLE stock RENAME COLUMN on_hand TO n', 'ALTER TABLE stock RENAME on_hand TO n', 'ALTER TABLE stock DROP COLUMN place',
    'ALTER TABLE stock DROP CONSTRAINT stock_pkey', 'ALTER TABLE stock ALTER on_hand TYPE integer', 'ALTER TABLE stock ALTER on_hand TYPE numeric(5, 2)']) AS statement, pg_temp.attempt(statement) AS a;
ALTER TABLE stock ADD COLUMN half numeric GENERATED ALWAYS AS (on_hand / 2) STORED, ADD CHECK (sku <> ''), ALTER place SET STATISTICS 10;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "T", "qty": 2}');
SELECT sku, on_hand, half FROM stock WHERE sku = 'T';
SELECT * FROM gundb.check_view('stock');
ALTER TABLE stock DROP COLUMN half;
-- A view's table that came alone is no view: it can be dropped.
BEGIN;
DELETE FROM gundb.view_definition WHERE relation = 'none'::regclass;
SELECT state, answer, hint FROM pg_temp.attempt('DELETE FROM "none"');
DROP TABLE "none";
ROLLBACK;
-- How many rows there are is told to those who may count them.
CREATE ROLE gundb_stranger;
SET ROLE gundb_stranger;
SELECT view, rows FROM gundb.view ORDER BY 1;
RESET ROLE;
DROP ROLE gundb_stranger;
SELECT key, reason FROM gundb.pending WHERE view = 'stock'::regclass ORDER BY reason LIMIT 1;

-- ---------------------------------------------------------------------------------------------------------------------
-- reset, uninstall
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.reset();
SELECT count(*) FROM stock;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 3}');
SELECT * FROM stock;
SELECT gundb.uninstall();
DROP EXTENSION gundb;
UPDATE stock SET place = 'plain';
SELECT * FROM stock;
DROP SCHEMA shop CASCADE;
DROP ROLE gundb_maker, gundb_appender;
