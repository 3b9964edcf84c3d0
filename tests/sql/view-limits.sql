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
