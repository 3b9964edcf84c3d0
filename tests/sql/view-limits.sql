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
