-- Views with other columns: alter_view.
\i include/attempt.sql
SET TimeZone = 'UTC';

SELECT gundb.create_stream('moves');
SELECT gundb.create_view('stock', 'moves', key => 'sku', delete => '{Gone}', columns => '{
         "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}},
         "place":   {"fold": "lww", "value": "place"},
         "labels":  {"fold": "set", "add": "label"}}');
INSERT INTO moves (type, data) SELECT 'Received', jsonb_build_object('sku', 'A-' || n % 3, 'qty', n, 'place', 'dock ' || n % 2, 'label', n) FROM generate_series(1, 20) AS n;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-9", "qty": 1}'), ('Gone', '{"sku": "A-9"}');
-- What users have made of the table.
ALTER TABLE stock ADD COLUMN half numeric GENERATED ALWAYS AS (on_hand / 2) STORED, ADD COLUMN note text DEFAULT 'mine';
CREATE INDEX stock_place ON stock (place);
CREATE TABLE heard (line text);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.heard VALUES (TG_OP || ' ' || NEW.sku); RETURN NULL; END $$;
CREATE TRIGGER hear AFTER UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION hear();
CREATE ROLE gundb_altering;
CREATE ROLE gundb_reading;
GRANT SELECT (place) ON stock TO gundb_reading;
SELECT 'stock'::regclass::oid AS before, number AS number_before FROM gundb.view_definition \gset

-- What maintenance costs is known by the view, whatever its columns.
SELECT microseconds BETWEEN 0.01 AND 1e6 AS known FROM gundb.view;

-- ---------------------------------------------------------------------------------------------------------------------
-- Add, change, drop
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.alter_view('stock', add => '{"moves": {"fold": "count"}, "most": {"fold": "max", "value": "qty"}}');
SELECT * FROM stock ORDER BY sku;
SELECT columns FROM gundb.view;
SELECT * FROM gundb.check_view('stock');
SELECT * FROM heard ORDER BY line;
TRUNCATE heard;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 100, "place": "yard", "label": "late"}'), ('Sold', '{"sku": "A-2", "qty": 1}'), ('Gone', '{"sku": "A-0"}');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
-- Another fold of one type; another type, in its place; both with what users have made of them.
SELECT gundb.alter_view('stock', change => '{"most": {"fold": "min", "value": "qty"}, "place": {"fold": "mv", "value": "place"}}');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
SELECT indexdef FROM pg_indexes WHERE indexname = 'stock_place';
SELECT attname, attacl FROM pg_attribute WHERE attrelid = 'stock'::regclass AND attacl IS NOT NULL;
-- Dropped, added and changed at once: the text of the others stays as it was.
SELECT gundb.alter_view('stock', drop => '{most, moves}', change => '{"labels": {"fold": "count", "value": "label"}}', add => '{"most": {"fold": "fww", "value": "@type"}}');
SELECT * FROM stock ORDER BY sku;
SELECT columns FROM gundb.view;
SELECT * FROM gundb.check_view('stock');
SELECT 'stock'::regclass::oid = :before AS same_table, number > :number_before AS other_number FROM gundb.view_definition;
SELECT count(*) FROM gundb.view_state WHERE view NOT IN (SELECT number FROM gundb.view_definition);
-- The same as one made so.
SELECT columns AS columns_now FROM gundb.view WHERE view = 'stock'::regclass \gset
SELECT gundb.create_view('twin', 'moves', key => 'sku', delete => '{Gone}', columns => :'columns_now');
SELECT count(*), count(*) FILTER (WHERE (s.on_hand, s.place, s.labels, s.most) IS NOT DISTINCT FROM (t.on_hand, t.place, t.labels, t.most)) AS same FROM stock s FULL JOIN twin t USING (sku);
SELECT count(*) FROM (SELECT s.key, state FROM gundb.view_state s JOIN gundb.view_definition d ON number = s.view WHERE relation = 'stock'::regclass
    EXCEPT SELECT s.key, state FROM gundb.view_state s JOIN gundb.view_definition d ON number = s.view WHERE relation = 'twin'::regclass) AS differing;
SELECT view, microseconds IS NOT NULL AS known FROM gundb.view ORDER BY view::text;
SELECT gundb.drop_view('twin');
-- Nothing to do.
SELECT gundb.alter_view('stock');
SELECT gundb.alter_view('stock', drop => '{}', change => '{"labels": {"fold":"count","value":"label"}}');
SELECT columns FROM gundb.view;

-- ---------------------------------------------------------------------------------------------------------------------
-- In the transaction that appends, and undone
-- ---------------------------------------------------------------------------------------------------------------------

BEGIN;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 1000, "label": "mine"}');
SELECT gundb.alter_view('stock', add => '{"n": {"fold": "count"}}');
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 1000}');
SELECT sku, on_hand, n FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
SAVEPOINT a;
SELECT gundb.alter_view('stock', drop => '{n}');
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 1000}');
ROLLBACK TO a;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 1000}');
SELECT sku, on_hand, n FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
ROLLBACK;
SELECT sku, on_hand FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');

-- ---------------------------------------------------------------------------------------------------------------------
-- Pending events count otherwise where a column that could not take them goes, or comes
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (type, data) VALUES ('Sold', '{"sku": "A-2", "qty": "many", "place": "lost"}'), ('Sold', '{"sku": "A-3", "qty": 1, "day": "tomorrow"}');
SELECT key, reason FROM gundb.pending;
SELECT sku, place, labels FROM stock ORDER BY sku;
SELECT gundb.alter_view('stock', add => '{"day": {"fold": "max", "value": "day", "type": "date"}}');
SELECT key, reason FROM gundb.pending ORDER BY key;
SELECT sku, on_hand, place, labels, day FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');
ALTER TABLE stock DROP COLUMN half;
SELECT gundb.alter_view('stock', drop => '{day, on_hand}');
SELECT key, reason FROM gundb.pending ORDER BY key;
SELECT sku, place, labels FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');

-- ---------------------------------------------------------------------------------------------------------------------
-- What is refused
-- ---------------------------------------------------------------------------------------------------------------------

CREATE VIEW places AS SELECT sku, place FROM stock;
ALTER TABLE stock ADD CHECK (labels >= 0), ADD COLUMN twice bigint GENERATED ALWAYS AS (labels * 2) STORED;
SELECT statement, a.* FROM unnest(ARRAY[
    $$SELECT gundb.alter_view('stock', drop => '{place, labels}')$$,
    $$SELECT gundb.alter_view('stock', change => '{"place": {"fold": "count"}}')$$,
    $$SELECT gundb.alter_view('stock', drop => '{placs}')$$,
    $$SELECT gundb.alter_view('stock', change => '{"plac": {"fold": "count"}}')$$,
    $$SELECT gundb.alter_view('stock', add => '{"place": {"fold": "count"}}')$$,
    $$SELECT gundb.alter_view('stock', add => '{"sku": {"fold": "count"}}')$$,
    $$SELECT gundb.alter_view('stock', add => '{"note": {"fold": "count"}}')$$,
    $$SELECT gundb.alter_view('stock', add => '{"x": {"fold": "sam"}}')$$,
    $$SELECT gundb.alter_view('stock', add => '[]')$$,
    $$SELECT gundb.alter_view('stock', drop => ARRAY[NULL])$$,
    $$SELECT gundb.alter_view(NULL)$$,
    $$SELECT gundb.alter_view('moves')$$]) AS statement, pg_temp.attempt(statement) AS a \gx
SET ROLE gundb_altering;
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.alter_view('stock', drop => '{most}')$$);
RESET ROLE;
SELECT * FROM gundb.check_view('stock');
DROP VIEW places;
ALTER TABLE stock DROP COLUMN twice, DROP CONSTRAINT stock_labels_check;
DROP INDEX stock_place;
SELECT gundb.alter_view('stock', drop => '{place, labels, most}');
\d stock
SELECT * FROM stock ORDER BY sku;
SELECT columns FROM gundb.view;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-4"}'), ('Gone', '{"sku": "A-1"}');
SELECT * FROM stock ORDER BY sku;
SELECT * FROM gundb.check_view('stock');

-- ---------------------------------------------------------------------------------------------------------------------
-- Of an owner without other rights; composite keys; a column named as statements name their values
-- ---------------------------------------------------------------------------------------------------------------------

CREATE SCHEMA shop AUTHORIZATION gundb_altering;
SELECT gundb.create_view('shop.sums', 'moves', '{"v1": {"fold": "sum", "value": "qty"}, "gone": {"fold": "count"}}', key => 'sku, @type as "odd type"', types => '{Received, Sold}', delete => '{Gone}');
ALTER TABLE shop.sums OWNER TO gundb_altering;
SET ROLE gundb_altering;
SELECT gundb.alter_view('shop.sums', add => '{"V 2": {"fold": "lww", "value": "qty", "type": "bigint"}}', drop => '{gone}');
SELECT gundb.rebuild_view('shop.sums') > 0 AS rebuilt;
SELECT * FROM shop.sums ORDER BY sku, "odd type";
SELECT * FROM gundb.check_view('shop.sums');
RESET ROLE;
INSERT INTO moves (type, data) VALUES ('Received', '{"sku": "A-4", "qty": 8}'), ('Gone', '{"sku": "A-1"}');
SELECT * FROM shop.sums WHERE sku IN ('A-1', 'A-4') ORDER BY sku, "odd type";
SELECT * FROM gundb.check_view('shop.sums');

DROP OWNED BY gundb_reading;
SELECT gundb.drop_view('shop.sums');
SELECT gundb.drop_view('stock');
DROP SCHEMA shop;
DROP ROLE gundb_altering, gundb_reading;
