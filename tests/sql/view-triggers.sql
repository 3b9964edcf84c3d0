-- Triggers on the tables of views that append to the stream themselves: what they append comes to each view in its turn.
\i include/apply.sql
SELECT gundb.create_stream('moves');
-- The first view's trigger appends; the others fold keys again for what it appends, a delete and a revert.
SELECT gundb.create_view('first', 'moves', '{"n": {"fold": "count"}}', types => '{Moved}');
SELECT gundb.create_view('second', 'moves', '{"n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}}', delete => '{Gone}');
SELECT gundb.create_view('third', 'moves', '{"n": {"fold": "count"}}', key => 'shop', delete => '{Gone}');
CREATE FUNCTION checked() RETURNS TABLE (view regclass, key text, problem text) LANGUAGE sql AS
    $$ SELECT v.view, c.* FROM gundb.view v, gundb.check_view(v.view) c ORDER BY 1, 2 $$;
CREATE FUNCTION append() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    IF NEW.key LIKE 'a%' THEN
        INSERT INTO moves (type, key, data) VALUES ('Gone', 'b', '{"shop": 1}'), ('Counted', 'b', '{"n": 10, "shop": 1}'), ('Counted', NEW.key, '{"n": 100, "shop": 2}');
    ELSIF NEW.key LIKE 'r%' THEN
        PERFORM gundb.revert('moves', ARRAY(SELECT id FROM moves e WHERE key = 'b' AND type = 'Moved' AND NOT EXISTS (
            SELECT FROM moves r WHERE r.meta->'reverts' ? e.id::text) ORDER BY hlc LIMIT 1));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER append AFTER INSERT OR UPDATE ON first FOR EACH ROW EXECUTE FUNCTION append();
INSERT INTO moves (type, key, data) VALUES ('Moved', 'b', '{"n": 1, "shop": 1}'), ('Moved', 'c', '{"n": 1, "shop": 1}');
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"n": 1, "shop": 1}'), ('Moved', 'b', '{"n": 2, "shop": 1}'), ('Moved', 'c', '{"n": 2, "shop": 2}');
SELECT type, key, data FROM moves ORDER BY hlc;
SELECT * FROM second ORDER BY key;
SELECT * FROM third ORDER BY shop;
SELECT * FROM checked();
INSERT INTO moves (type, key, data) VALUES ('Moved', 'b', '{"n": 3, "shop": 1}'), ('Moved', 'b', '{"n": 5, "shop": 2}');
INSERT INTO moves (type, key, data) VALUES ('Moved', 'r', '{"n": 1, "shop": 1}'), ('Moved', 'b', '{"n": 1000, "shop": 1}');
INSERT INTO moves (type, key, data) VALUES ('Moved', 'r2', '{"n": 1, "shop": 1}'), ('Moved', 'b', '{"n": 2000, "shop": 2}'), ('Moved', 'r3', '{"n": 1, "shop": 3}'), ('Moved', 'r4', '{"n": 1, "shop": 1}');
SELECT * FROM second ORDER BY key;
SELECT * FROM checked();

-- Where a row is refused, keys come one by one.
ALTER TABLE first ADD CONSTRAINT few CHECK (key <> 'no');
ALTER TABLE second ADD CONSTRAINT few CHECK (key <> 'no');
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"n": 1, "shop": 1}'), ('Moved', 'b', '{"n": 2, "shop": 1}'), ('Moved', 'no', '{"n": 4, "shop": 1}'), ('Moved', 'r5', '{"n": 1, "shop": 1}'), ('Moved', 'z', '{"n": 8, "shop": 1}');
SELECT view, key, sqlstate FROM gundb.pending ORDER BY view, key;
SELECT * FROM second ORDER BY key;
SELECT * FROM checked();

-- Events of another site.
SELECT outcome FROM test_apply(delivery('[{"site": 2, "ms": 1, "type": "Moved", "key": "a", "data": {"n": 5, "shop": 2}}, {"site": 2, "ms": 2, "type": "Moved", "key": "b", "data": {"n": 7, "shop": 2}}, {"site": 2, "ms": 3, "type": "Moved", "key": "r6", "data": {"n": 1, "shop": 2}}]'));
SELECT * FROM second ORDER BY key;
SELECT * FROM checked();

-- A rebuild that writes rows, and what was pending.
ALTER TABLE first DISABLE TRIGGER gundb_guard;
UPDATE first SET n = 0;
ALTER TABLE first ENABLE TRIGGER gundb_guard;
ALTER TABLE first DROP CONSTRAINT few;
ALTER TABLE second DROP CONSTRAINT few;
SELECT count(*) AS before FROM moves \gset
SELECT gundb.rebuild_view('first');
SELECT count(*) > :before AS appended FROM moves;
SELECT gundb.retry_pending();
SELECT * FROM checked();
SELECT count(*) FROM gundb.pending;

-- In savepoints that are rolled back.
BEGIN;
SAVEPOINT s;
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"n": 1, "shop": 1}');
ROLLBACK TO s;
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"n": 1, "shop": 1}');
COMMIT;
SELECT * FROM checked();

-- A circle ends.
CREATE OR REPLACE FUNCTION append() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    INSERT INTO moves (type, key, data) VALUES ('Moved', NEW.key, '{"shop": 1}');
    RETURN NULL;
END $$;
INSERT INTO moves (type, key, data) VALUES ('Moved', 'circle', '{"shop": 1}');
SELECT * FROM checked();
-- What a trigger cannot do about the views that events are coming into.
CREATE OR REPLACE FUNCTION append() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN
    EXECUTE NEW.key;
    RETURN NULL;
END $$;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
INSERT INTO moves (type, key) VALUES ('Moved', $$SELECT gundb.rebuild_view('second')$$);
\set VERBOSITY default
INSERT INTO moves (type, key) VALUES ('Moved', $$SELECT gundb.retry_pending('second')$$);
INSERT INTO moves (type, key) VALUES ('Moved', $$SELECT gundb.drop_view('first')$$);
SELECT * FROM checked();
