-- Views made in the midst of a statement. (What others do meanwhile is in tests/isolation and tests/clusters.)
\i include/attempt.sql

SELECT gundb.create_stream('moves');
-- The first view gives the stream a trigger, which would not fire for a statement at work.
CREATE FUNCTION make() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.type = 'Make' THEN PERFORM gundb.create_view(NEW.key, 'moves', '{"n": {"fold": "count"}}'); END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER make AFTER INSERT ON moves FOR EACH ROW EXECUTE FUNCTION make();
SELECT * FROM pg_temp.attempt($$INSERT INTO moves (type, key) VALUES ('Make', 'a'), ('Other', 'b')$$);
SELECT gundb.create_view('first', 'moves', '{"n": {"fold": "count"}}');
-- Any other view is maintained by that trigger, and has what comes after it in the statement.
INSERT INTO moves (type, key) VALUES ('Other', 'b'), ('Make', 'a'), ('Other', 'b');
SELECT * FROM a ORDER BY key;
SELECT * FROM gundb.check_view('a');
DROP TRIGGER make ON moves;
