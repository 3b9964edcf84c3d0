-- What a column cannot hold, and what cannot be made of a view's table.
\i include/attempt.sql
SELECT gundb.create_stream('s');
INSERT INTO s (type, key, data) VALUES ('A', 'before', '{"b": 9223372036854775807}'), ('A', 'before', '{"b": 1}'), ('A', 'fine', '{"b": 2}');

-- A bigint that a sum passes leaves the event pending; other keys go on. So it is when the view is made, too.
SELECT gundb.create_view('bi', 's', columns => '{"su": {"fold": "sum", "value": "b", "type": "bigint"}}');
INSERT INTO s (type, key, data) VALUES ('A', 'b1', '{"b": 9223372036854775807}'), ('A', 'b2', '{"b": 5}');
INSERT INTO s (type, key, data) VALUES ('A', 'b1', '{"b": 1}'), ('A', 'b2', '{"b": 6}');
SELECT * FROM bi ORDER BY key;
SELECT key, reason, sqlstate FROM gundb.pending ORDER BY key;
SELECT * FROM gundb.check_view('bi');
SELECT "row" FROM gundb.view_history('bi', 'b1');
INSERT INTO s (type, key, data) VALUES ('A', 'b1', '{"b": -7}');
SELECT gundb.retry_pending('bi');
SELECT * FROM bi ORDER BY key;
SELECT * FROM gundb.check_view('bi');
SELECT gundb.rebuild_view('bi');
SELECT * FROM gundb.check_view('bi');

-- A strict view refuses it.
SELECT gundb.create_view('strict', 's', columns => '{"su": {"fold": "sum", "value": "c", "type": "bigint"}}', strict => true);
INSERT INTO s (type, key, data) VALUES ('A', 'c', '{"c": 9223372036854775807}');
SELECT * FROM pg_temp.attempt($$INSERT INTO s (type, key, data) VALUES ('A', 'c', '{"c": 1}')$$);

-- A rule would replace what maintenance writes.
SELECT * FROM pg_temp.attempt($$CREATE RULE r AS ON INSERT TO bi DO INSTEAD NOTHING$$);
CREATE TABLE plain (n integer);
CREATE RULE r AS ON INSERT TO plain DO INSTEAD NOTHING;

-- A trigger that leaves a row out refuses it.
SELECT gundb.create_view('left_out', 's', columns => '{"n": {"fold": "count"}}');
CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.key = 'no' THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER leave_out BEFORE INSERT OR UPDATE ON left_out FOR EACH ROW EXECUTE FUNCTION leave_out();
INSERT INTO s (type, key) VALUES ('A', 'no'), ('A', 'yes');
SELECT key, n FROM left_out WHERE key IN ('no', 'yes');
SELECT key, reason, sqlstate FROM gundb.pending WHERE view = 'left_out'::regclass;
SELECT * FROM gundb.check_view('left_out');
DROP TRIGGER leave_out ON left_out;
SELECT gundb.retry_pending('left_out');
SELECT key, n FROM left_out WHERE key IN ('no', 'yes') ORDER BY key;

-- So does one that changes what gundb gave; columns of one's own it may set. One row or many, with another key too.
ALTER TABLE left_out ADD COLUMN noted text;
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.noted := 'seen';
    IF NEW.key LIKE 'more%' THEN NEW.n := NEW.n + 1; ELSIF NEW.key LIKE 'other%' THEN NEW.key := 'else'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER change BEFORE INSERT OR UPDATE ON left_out FOR EACH ROW EXECUTE FUNCTION change();
INSERT INTO s (type, key) VALUES ('A', 'more');
INSERT INTO s (type, key) VALUES ('A', 'other');
INSERT INTO s (type, key) VALUES ('A', 'more 2'), ('A', 'right'), ('A', 'other 2'), ('A', 'yes');
SELECT key, n, noted FROM left_out WHERE key ~ '^(more|other|right|else|yes)' ORDER BY key;
SELECT key, reason, sqlstate FROM gundb.pending WHERE view = 'left_out'::regclass ORDER BY key;
SELECT * FROM gundb.check_view('left_out');
-- What cannot wait fails: a column that is written to all rows, the rows that a rebuild finds to differ, a strict view.
SELECT gundb.alter_view('left_out', add => '{"m": {"fold": "count"}}');
CREATE OR REPLACE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'DELETE' THEN RETURN CASE WHEN OLD.key <> 'right' THEN OLD END; END IF;
    IF NEW.key = 'yes' THEN NEW.m := -1; END IF;
    RETURN NEW;
END $$;
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.alter_view('left_out', change => '{"m": {"fold": "count", "value": "b"}}')$$);
ALTER TABLE left_out DISABLE TRIGGER gundb_guard, DISABLE TRIGGER change;
UPDATE left_out SET n = 7 WHERE key = 'yes';
ALTER TABLE left_out ENABLE TRIGGER gundb_guard, ENABLE TRIGGER change;
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.rebuild_view('left_out')$$);
SELECT key, problem FROM gundb.check_view('left_out');
ALTER TABLE left_out DISABLE TRIGGER change;
SELECT gundb.rebuild_view('left_out') > 0 AS rebuilt;
ALTER TABLE left_out ENABLE TRIGGER change;
SELECT gundb.retry_pending('left_out');
SELECT key, n, m FROM left_out WHERE key ~ '^(more|other|right|else|yes)' ORDER BY key;
SELECT * FROM gundb.check_view('left_out');
-- One that keeps a row which is to go.
CREATE TRIGGER change_too BEFORE DELETE ON left_out FOR EACH ROW EXECUTE FUNCTION change();
SELECT count(*) FROM gundb.revert('s', ARRAY(SELECT id FROM s WHERE key IN ('right', 'more')));
SELECT key, n FROM left_out WHERE key IN ('right', 'more');
SELECT key, reason, sqlstate FROM gundb.pending WHERE view = 'left_out'::regclass ORDER BY key;
DROP TRIGGER change_too ON left_out;
SELECT gundb.retry_pending('left_out');
SELECT key, n FROM left_out WHERE key IN ('right', 'more');
SELECT * FROM gundb.check_view('left_out');
CREATE FUNCTION one_more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.su := NEW.su + 1; RETURN NEW; END $$;
CREATE TRIGGER one_more BEFORE INSERT OR UPDATE ON strict FOR EACH ROW EXECUTE FUNCTION one_more();
SELECT * FROM pg_temp.attempt($$INSERT INTO s (type, key, data) VALUES ('A', 'strictly', '{"c": 1}')$$);
DROP TRIGGER one_more ON strict;
-- A view without columns of values, of which a trigger sees the rows.
SELECT gundb.create_view('keys', 's', columns => '{}');
CREATE TRIGGER change BEFORE DELETE ON keys FOR EACH ROW EXECUTE FUNCTION change();
CREATE INDEX ON keys (key);
INSERT INTO s (type, key) VALUES ('A', 'yes'), ('A', 'new');
SELECT count(*) FROM gundb.pending WHERE view = 'keys'::regclass;
SELECT * FROM gundb.check_view('keys');

-- What cannot be done to a view's table, and what messages say of it.
SELECT statement, a.* FROM unnest(ARRAY['ALTER TABLE bi SET UNLOGGED', 'ALTER TABLE bi FORCE ROW LEVEL SECURITY', 'DROP TRIGGER gundb_guard ON bi',
    'DROP TRIGGER zz_gundb_views ON s', 'DROP TABLE s', 'DROP TABLE s CASCADE', 'DROP TABLE bi',
    $$SELECT gundb.alter_view('left_out', drop => '{key}')$$, $$SELECT gundb.alter_view('left_out', drop => '{noted}')$$,
    $$SELECT gundb.alter_view('left_out', change => '{"noted": {"fold": "count"}}')$$, $$SELECT gundb.alter_view('left_out', drop => '{note}')$$,
    $$SELECT gundb.check_view(123)$$, $$SELECT gundb.rebuild_view(123)$$, $$SELECT gundb.drop_view(123)$$, $$SELECT gundb.retry_pending(123)$$,
    format($$SELECT gundb.create_view('%s', 's', '{"n": {"fold": "count"}}')$$, repeat('n', 64)),
    format($$SELECT gundb.create_view('public.%s', 's', '{"n": {"fold": "count"}}')$$, repeat('ä', 32))]) AS statement, pg_temp.attempt(statement) AS a;
ALTER TABLE bi ENABLE ROW LEVEL SECURITY;
