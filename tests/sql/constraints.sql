-- What users put on a view's table, and a row that it refuses: its events wait, and nobody else is harmed.
\i include/attempt.sql
SET TimeZone = 'UTC';

SELECT gundb.create_stream('moves');
SELECT gundb.create_view('stock', 'moves', key => 'sku', delete => '{Gone}', columns => '{
         "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}},
         "place":   {"fold": "lww", "value": "place"}}');
CREATE FUNCTION pending() RETURNS TABLE (key text, sqlstate text, reason text, tries integer) LANGUAGE sql AS
    $$ SELECT key, sqlstate, reason, tries FROM gundb.pending ORDER BY key, reason, dot $$;

-- ---------------------------------------------------------------------------------------------------------------------
-- CHECK, UNIQUE, NOT NULL, a trigger, a foreign key
-- ---------------------------------------------------------------------------------------------------------------------

ALTER TABLE stock ADD CONSTRAINT enough CHECK (on_hand >= 0);
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A", "qty": 3, "place": "a"}'), ('Received', '{"sku": "B", "qty": 3, "place": "b"}');
-- One of many in a batch; one alone; a new key.
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A", "qty": 1}'), ('Sold', '{"sku": "B", "qty": 4}'), ('Sold', '{"sku": "C", "qty": 1}'), ('Received', '{"sku": "D", "qty": 1}'), ('Received', '{"sku": "E", "qty": 1}');
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A", "qty": 7}');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
-- Later events of the key go on; then there is enough, and what waits is taken.
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "B", "qty": 10}');
SELECT * FROM stock WHERE sku = 'B';
SELECT gundb.retry_pending('stock');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
-- In a transaction with savepoints; it can be rolled back.
BEGIN;
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A", "qty": 1}');
SAVEPOINT a;
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A", "qty": 100}'), ('Sold', '{"sku": "D", "qty": 1}');
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A", "qty": 1}');
SELECT * FROM stock ORDER BY sku;
ROLLBACK TO a;
INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A", "qty": 1000}');
COMMIT;
SELECT * FROM stock ORDER BY sku;
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
-- A key that is folded again leaves out what waits.
INSERT INTO moves (type, data) VALUES ('Gone', '{"sku": "A"}'), ('Received', '{"sku": "A", "qty": 5}');
SELECT * FROM stock ORDER BY sku;
SELECT gundb.retry_pending();
SELECT * FROM gundb.check_view('stock');
ALTER TABLE stock DROP CONSTRAINT enough;
SELECT gundb.retry_pending() > 0 AS folded;
SELECT * FROM stock ORDER BY sku;
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');

CREATE UNIQUE INDEX one_place ON stock (place);
ALTER TABLE stock ALTER on_hand SET NOT NULL;
INSERT INTO moves (type, data) VALUES ('Moved', '{"sku": "D", "place": "b"}'), ('Moved', '{"sku": "E", "place": "e"}'), ('Moved', '{"sku": "F", "place": "f"}');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
DROP INDEX one_place;
ALTER TABLE stock ALTER on_hand DROP NOT NULL;
SELECT gundb.retry_pending('stock');

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.place LIKE 'error %' THEN
        PERFORM gundb.append('moves', 'Heard', jsonb_build_object('sku', 'T', 'place', 'heard of it'));
        RAISE EXCEPTION 'not there' USING ERRCODE = split_part(NEW.place, ' ', 2);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO moves (type, data) VALUES ('Moved', '{"sku": "T", "place": "error XY123"}'), ('Moved', '{"sku": "U", "place": "u"}'), ('Moved', '{"sku": "V", "place": "error 22P02"}');
SELECT * FROM stock WHERE sku >= 'T' ORDER BY sku;
SELECT * FROM pending();
SELECT count(*) FROM moves WHERE type = 'Heard';
-- What passes with time is never a refusal, nor what is damaged.
SELECT code, a.state, a.answer FROM unnest('{40001, 40P01, 55P03, 55006, 53100, 57P03, 58030, 08006, 25006, F0000, 72000, XX001, XX002}'::text[]) AS code,
    pg_temp.attempt(format($$INSERT INTO moves (type, data) VALUES ('Moved', '{"sku": "W", "place": "error %s"}')$$, code)) AS a;
SELECT * FROM gundb.check_view('stock');
-- What a function of the user's calls an internal error is one, and so is what it calls a state that is not right.
INSERT INTO moves (type, data) VALUES ('Moved', '{"sku": "W", "place": "error XX000"}'), ('Moved', '{"sku": "X", "place": "error 55000"}'), ('Moved', '{"sku": "Y", "place": "error HV00N"}');
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');

-- A rebuild tries again, and keeps waiting what is refused still; new columns do not hide it.
SELECT gundb.rebuild_view('stock');
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
SELECT gundb.alter_view('stock', add => '{"n": {"fold": "count"}}');
SELECT * FROM pending();
SELECT * FROM stock WHERE sku >= 'T' ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
DROP TRIGGER refuse ON stock;
SELECT gundb.rebuild_view('stock') AS rows \gset
SELECT count(*) = :rows AS right_count FROM stock;
SELECT * FROM pending();
SELECT * FROM stock WHERE sku >= 'T' ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
-- A rebuild or another column that the table does not take fails, and leaves all as it was.
ALTER TABLE stock DISABLE TRIGGER gundb_guard;
UPDATE stock SET on_hand = 1 WHERE sku = 'C';
ALTER TABLE stock ENABLE TRIGGER gundb_guard;
ALTER TABLE stock ADD CONSTRAINT enough CHECK (on_hand >= 0) NOT VALID;
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.rebuild_view('stock')$$);
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.alter_view('stock', change => '{"n": {"fold": "count", "value": "nowhere"}, "on_hand": {"fold": "min", "value": "-qty"}}')$$);
SELECT * FROM gundb.check_view('stock');
ALTER TABLE stock DROP CONSTRAINT enough;
SELECT gundb.rebuild_view('stock') > 0 AS rebuilt;
SELECT * FROM gundb.check_view('stock');

CREATE TABLE shelf (sku text REFERENCES stock);
INSERT INTO shelf VALUES ('U');
INSERT INTO moves (type, data) VALUES ('Gone', '{"sku": "U"}'), ('Gone', '{"sku": "V"}');
SELECT sku, place FROM stock WHERE sku >= 'T' ORDER BY sku;
SELECT * FROM pending();
DELETE FROM shelf;
SELECT gundb.retry_pending('stock');
SELECT sku, place FROM stock WHERE sku >= 'T' ORDER BY sku;
SELECT * FROM gundb.check_view('stock');

-- Of reverts that come together those wait that concern the key which is refused.
SELECT gundb.create_view('counted', 'moves', '{"n": {"fold": "count"}}', key => 'shop', types => '{Counted}');
INSERT INTO moves (type, data) SELECT 'Counted', jsonb_build_object('shop', shop) FROM unnest('{a, a, b, b}'::text[]) AS shop;
ALTER TABLE counted ADD CONSTRAINT two CHECK (shop <> 'a' OR n >= 2);
SELECT count(*) FROM gundb.revert('moves', ARRAY(SELECT (array_agg(id))[1] FROM moves WHERE type = 'Counted' GROUP BY data->>'shop'));
SELECT * FROM counted ORDER BY shop;
SELECT * FROM pending() WHERE reason ~ 'counted';
SELECT * FROM gundb.check_view('counted');
ALTER TABLE counted DROP CONSTRAINT two;
SELECT gundb.retry_pending('counted');
SELECT * FROM counted ORDER BY shop;
SELECT * FROM gundb.check_view('counted');
-- An event that is pending with its revert, as what came along was refused, counts as long as the revert waits.
ALTER TABLE counted ADD CONSTRAINT none CHECK (shop <> 'c');
INSERT INTO moves (type, data, id, meta) VALUES ('Counted', '{"shop": "c"}', '00000000-0000-0000-0000-000000000001', '{}'), ('Counted', '{"shop": "c"}', NULL, '{}'),
    ('gundb.Reverted', '{}', '895ab95d-9858-5644-b000-273f5e6e49db', '{"reverts": ["00000000-0000-0000-0000-000000000001"]}');
SELECT * FROM pending() WHERE reason ~ 'counted';
SELECT gundb.retry_pending('counted');
SELECT * FROM pending() WHERE reason ~ 'counted';
SELECT * FROM gundb.check_view('counted');
ALTER TABLE counted DROP CONSTRAINT none;
SELECT gundb.retry_pending('counted');
SELECT * FROM counted ORDER BY shop;
SELECT * FROM gundb.check_view('counted');
SELECT gundb.drop_view('counted');

-- ---------------------------------------------------------------------------------------------------------------------
-- strict
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_view('strictly', 'moves', '{"n": {"fold": "sum", "value": "amount"}}', key => 'account', strict => true);
ALTER TABLE strictly ADD CONSTRAINT enough CHECK (n >= 0);
SELECT * FROM pg_temp.attempt($$INSERT INTO moves (type, data) VALUES ('Paid', '{"account": "x", "amount": -1}')$$);
INSERT INTO moves (type, data) VALUES ('Paid', '{"account": "x", "amount": 1}');
SELECT * FROM strictly;
SELECT * FROM gundb.check_view('strictly');
SELECT * FROM pending();

-- A large batch, some of it refused.
ALTER TABLE stock ADD CONSTRAINT enough CHECK (on_hand >= 0) NOT VALID;
INSERT INTO moves (type, data) SELECT 'Received', jsonb_build_object('sku', 'n' || n, 'qty', CASE WHEN n % 400 = 0 THEN -n ELSE n END) FROM generate_series(1, 2000) AS n;
SELECT count(*), sum(on_hand) FROM stock WHERE sku LIKE 'n%';
SELECT * FROM pending();
SELECT * FROM gundb.check_view('stock');
