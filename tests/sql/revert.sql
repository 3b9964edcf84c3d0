-- Reverts: events taken out of every view, and back.
\i include/attempt.sql
SET TimeZone = 'UTC';

SELECT gundb.create_stream('moves');
-- Found by the stream's index on key; by a walk; with deletes and contexts; and of few types.
SELECT gundb.create_view('stock', 'moves', '{"qty": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "place": {"fold": "lww", "value": "place"},
    "labels": {"fold": "set", "add": {"Received": "label"}, "remove": {"Unlabelled": "label"}}}', delete => ARRAY['Discarded']);
SELECT gundb.create_view('by_place', 'moves', '{"qty": {"fold": "sum", "value": "qty"}, "n": {"fold": "count"}}', key => 'place');
SELECT gundb.create_view('sold', 'moves', '{"n": {"fold": "count"}, "most": {"fold": "max", "value": "qty"}}', types => ARRAY['Sold'], filter => 'qty <> 0');
CREATE FUNCTION id_of(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO moves (id, type, key, data) SELECT id_of(n), type, key, data::jsonb FROM (VALUES
    (1, 'Received', 'apple', '{"qty": 5, "place": "dock", "label": "red"}'), (2, 'Received', 'apple', '{"qty": 3, "place": "shelf", "label": "ripe"}'), (3, 'Sold', 'apple', '{"qty": 2}'),
    (4, 'Unlabelled', 'apple', '{"label": "red"}'), (5, 'Received', 'pear', '{"qty": 7, "place": "dock"}'), (6, 'Discarded', 'pear', '{}'), (7, 'Received', 'pear', '{"qty": 1, "place": "dock"}'), (8, 'Noted', NULL, '{}')) AS v (n, type, key, data);
SELECT * FROM stock ORDER BY key;
SELECT * FROM by_place ORDER BY place;
SELECT gundb.view_digest('stock') AS stock, gundb.view_digest('by_place') AS by_place, gundb.view_digest('sold') AS sold \gset

-- ---------------------------------------------------------------------------------------------------------------------
-- One event, and back
-- ---------------------------------------------------------------------------------------------------------------------

SELECT reverts, dot IS NOT NULL AS dot, id FROM gundb.revert('moves', ARRAY[id_of(2)]);
SELECT * FROM stock ORDER BY key;
SELECT * FROM by_place ORDER BY place;
SELECT type, key, data, meta - 'actor' AS meta FROM moves WHERE type = 'gundb.Reverted';
-- Reverts are no events of a view's, and not skipped either.
SELECT view, rows, skipped, pending FROM gundb.view ORDER BY view::text;
SELECT gundb.check_view(v) FROM unnest(ARRAY['stock', 'by_place', 'sold']::regclass[]) AS v;
-- By the row that it is; the revert of the revert.
SELECT gundb.seq_of(gundb.revert(e)) > 0 AS reverted FROM moves e WHERE type = 'gundb.Reverted';
SELECT gundb.view_digest('stock') = :'stock' AS stock, gundb.view_digest('by_place') = :'by_place' AS by_place;
-- And once more, by its dot.
SELECT gundb.seq_of(gundb.revert(gundb.dot(site, gundb.stream_id('moves'), lane, seq))) > 0 AS reverted FROM moves WHERE id = id_of(2);
SELECT * FROM stock WHERE key = 'apple';
-- What takes it back is what took it out last.
SELECT hint FROM pg_temp.attempt(format('SELECT gundb.revert(%L, ARRAY[%L]::uuid[])', 'moves', id_of(2)));
SELECT count(*) FROM gundb.revert('moves', (SELECT array_agg(id) FROM (SELECT id FROM moves WHERE type = 'gundb.Reverted' ORDER BY hlc DESC LIMIT 1) AS last));
SELECT gundb.view_digest('stock') = :'stock' AS stock;

-- A remove, a delete, and an event that a delete had taken.
BEGIN;
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(4), id_of(6)]);
SELECT * FROM stock ORDER BY key;
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(5)]);
SELECT * FROM stock WHERE key = 'pear';
SELECT gundb.check_view(v) FROM unnest(ARRAY['stock', 'by_place', 'sold']::regclass[]) AS v;
ROLLBACK;
SELECT gundb.view_digest('stock') = :'stock' AS stock, gundb.view_digest('sold') = :'sold' AS sold;
-- All that a row is made of: the row goes, and comes back.
BEGIN;
SELECT count(*) FROM gundb.revert('moves', (SELECT array_agg(id) FROM moves WHERE key = 'apple' AND type <> 'gundb.Reverted'));
SELECT key FROM stock;
SELECT * FROM sold;
SELECT gundb.check_view(v) FROM unnest(ARRAY['stock', 'by_place', 'sold']::regclass[]) AS v;
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": 1}');
SELECT * FROM stock WHERE key = 'apple';
SELECT gundb.check_view('stock');
ROLLBACK;
-- Appended and reverted in one statement; between savepoints.
BEGIN;
WITH appended AS (INSERT INTO moves (type, key, data) VALUES ('Received', 'plum', '{"qty": 1}') RETURNING id) SELECT count(*) FROM appended;
SAVEPOINT a;
SELECT count(*) FROM gundb.revert('moves', (SELECT array_agg(id) FROM moves WHERE key = 'plum'));
SELECT count(*) FROM stock WHERE key = 'plum';
ROLLBACK TO a;
SELECT * FROM stock WHERE key = 'plum';
SELECT gundb.check_view('stock');
ROLLBACK;

-- Many, by rows and by ids; in a stream that takes only defined types; of an event without a key.
SELECT gundb.create_stream('closed', closed => true);
SELECT gundb.define_event('closed', 'Counted', NULL);
SELECT gundb.create_view('counts', 'closed', '{"n": {"fold": "sum", "value": "n"}}', key => 'k');
INSERT INTO closed (type, data) SELECT 'Counted', jsonb_build_object('k', n % 5, 'n', n) FROM generate_series(1, 1000) AS n;
SELECT count(*) FROM (SELECT gundb.revert(e) FROM closed e WHERE (data->>'n')::int <= 10) AS r;
SELECT count(*) FROM gundb.revert(stream => 'closed', ids => (SELECT array_agg(id) || array_agg(id) FROM closed WHERE (data->>'n')::int BETWEEN 11 AND 990));
SELECT * FROM counts ORDER BY k;
SELECT gundb.check_view('counts');
SELECT count(*) FROM (SELECT gundb.revert(e) FROM gundb.event e WHERE type = 'Counted' AND (data->>'n')::int > 995) AS r;
SELECT * FROM counts ORDER BY k;
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(8)]);
-- Bringing all of them back.
SELECT count(*) FROM gundb.revert('closed', (SELECT array_agg(id) FROM closed WHERE type = 'gundb.Reverted'));
SELECT sum(n) FROM counts;
SELECT gundb.check_view('counts');

-- ---------------------------------------------------------------------------------------------------------------------
-- Views made, rebuilt, looked back at
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.site_clock() AS before \gset
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(1), id_of(7)]);
SELECT gundb.view_digest('stock') AS stock_now, gundb.view_digest('by_place') AS by_place_now \gset
SELECT gundb.rebuild_view('stock'), gundb.rebuild_view('by_place');
SELECT gundb.view_digest('stock') = :'stock_now' AS stock, gundb.view_digest('by_place') = :'by_place_now' AS by_place;
SELECT gundb.create_view('stock_too', 'moves', '{"qty": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, "place": {"fold": "lww", "value": "place"},
    "labels": {"fold": "set", "add": {"Received": "label"}, "remove": {"Unlabelled": "label"}}}', delete => ARRAY['Discarded']);
SELECT gundb.view_digest('stock_too') = :'stock_now' AS made_later;
SELECT * FROM gundb.view_at(NULL::stock) ORDER BY key;
SELECT * FROM gundb.view_at(NULL::stock, key => 'apple');
SELECT * FROM gundb.view_at(NULL::stock, clock => :'before') ORDER BY key;
SELECT * FROM gundb.view_at(NULL::stock, clock => :'before', key => 'apple');
SELECT * FROM gundb.view_at(NULL::by_place, key => 'dock');
SELECT * FROM gundb.view_at(NULL::by_place, clock => :'before', key => 'dock');
SELECT type, "row" FROM gundb.view_history('stock', 'apple');
SELECT type, "row" FROM gundb.view_history('by_place', 'dock');

-- ---------------------------------------------------------------------------------------------------------------------
-- Events that could not be folded
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO moves (id, type, key, data) VALUES (id_of(20), 'Received', 'apple', '{"qty": "many"}');
SELECT view, key, left(reason, 40) AS reason, tries FROM gundb.pending ORDER BY view::text, reason;
-- Reverting one ends its wait; taking the revert back brings it back.
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(20)]);
SELECT count(*) FROM gundb.pending;
SELECT gundb.check_view('stock');
SELECT gundb.rebuild_view('stock');
SELECT count(*) FROM gundb.pending;
SELECT count(*) FROM gundb.revert('moves', (SELECT array_agg(id) FROM moves WHERE meta->'reverts'->>0 = id_of(20)::text));
SELECT view, left(reason, 40) AS reason FROM gundb.pending ORDER BY view::text, reason;
SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(20)]);
-- What one was in the way of can be folded when it is reverted.
INSERT INTO closed (id, type, data) VALUES (id_of(21), 'Counted', '{"k": "big", "n": 9e131071}'), (id_of(22), 'Counted', '{"k": "big", "n": 9e131071}');
SELECT view, key, left(reason, 40) AS reason FROM gundb.pending;
SELECT count(*) FROM gundb.revert('closed', ARRAY[id_of(21)]);
SELECT gundb.retry_pending('counts');
SELECT count(*) FROM gundb.pending;
SELECT length(n::text) FROM counts WHERE k = 'big';
SELECT count(*) FROM gundb.revert('closed', ARRAY[id_of(22)]);
SELECT count(*) FROM counts WHERE k = 'big';
SELECT gundb.check_view(v) FROM unnest(ARRAY['stock', 'by_place', 'sold', 'stock_too', 'counts']::regclass[]) AS v;

-- ---------------------------------------------------------------------------------------------------------------------
-- What is refused, and what does nothing
-- ---------------------------------------------------------------------------------------------------------------------

SELECT statement, a.* FROM unnest(ARRAY[$$SELECT gundb.revert('moves', ARRAY[id_of(1)])$$, $$SELECT gundb.revert('moves', ARRAY[id_of(2), id_of(99)])$$, $$SELECT gundb.revert('move', ARRAY[id_of(1)])$$, $$SELECT gundb.revert('moves', NULL)$$,
    $$SELECT gundb.revert(NULL, '{}')$$, $$SELECT gundb.revert('moves', ARRAY[NULL]::uuid[])$$, $$SELECT count(*) FROM gundb.revert('moves', '{}')$$, $$SELECT gundb.revert('gundb', (SELECT array_agg(id) FROM gundb.definition))$$,
    $$SELECT gundb.revert(d) FROM gundb.definition d LIMIT 1$$, $$SELECT gundb.revert(NULL::moves)$$, $$SELECT gundb.revert(7)$$, $$SELECT gundb.revert(s) FROM stock s$$]) AS statement, pg_temp.attempt(statement) AS a;
SELECT * FROM stock ORDER BY key;
-- Whoever writes one by hand writes nothing that counts: its id is not the one.
INSERT INTO moves (type, key, meta) SELECT 'gundb.Reverted', 'apple', jsonb_build_object('reverts', jsonb_build_array(id_of(2)));
INSERT INTO moves (type, key, meta) VALUES ('gundb.Reverted', 'apple', '{"reverts": [7, {}]}'), ('gundb.Reverted', NULL, '{"reverts": "x"}'), ('gundb.Reverted', 'apple', '{}');
SELECT * FROM stock ORDER BY key;
SELECT gundb.check_view('stock');
-- With the id that it must have, and what it reverts, it is one.
BEGIN;
INSERT INTO moves (type, key, id) VALUES ('gundb.Reverted', 'apple', 'e724cbad-df87-5a4b-97ad-3ee047e75e00');
SELECT qty FROM stock WHERE key = 'apple';
ROLLBACK;
BEGIN;
INSERT INTO moves (type, key, id, meta) SELECT 'gundb.Reverted', 'wrong', 'e724cbad-df87-5a4b-97ad-3ee047e75e00', jsonb_build_object('reverts', jsonb_build_array(id_of(3)));
SELECT qty FROM stock WHERE key = 'apple';
SELECT gundb.check_view(v) FROM unnest(ARRAY['stock', 'by_place', 'sold']::regclass[]) AS v;
SELECT qty FROM gundb.view_at(NULL::stock, key => 'apple');
-- A key that is folded again by the index finds it too: a delete that has not seen everything would do that.
INSERT INTO moves (type, key, data) VALUES ('Received', 'apple', '{"qty": 10}');
SELECT count(*) FROM gundb.revert('moves', (SELECT array_agg(id) FROM moves WHERE data = '{"qty": 10}'));
SELECT qty FROM stock WHERE key = 'apple';
SELECT gundb.check_view('stock');
ROLLBACK;

-- Rights are those of SELECT and INSERT.
CREATE ROLE gundb_reverter;
CREATE FUNCTION pg_temp.reverts() RETURNS TABLE (statement text, state text, answer text) LANGUAGE sql AS $$
    SELECT s, a.state, a.answer FROM unnest(ARRAY[$q$SELECT count(*) FROM gundb.revert('moves', ARRAY[id_of(2)])$q$, $q$SELECT gundb.seq_of(gundb.revert(e)) > 0 FROM moves e WHERE id = id_of(3)$q$]) AS s, pg_temp.attempt(s) AS a $$;
SET ROLE gundb_reverter;
SELECT * FROM pg_temp.reverts();
RESET ROLE;
GRANT SELECT ON moves TO gundb_reverter;
SET ROLE gundb_reverter;
SELECT * FROM pg_temp.reverts();
RESET ROLE;
GRANT INSERT ON moves TO gundb_reverter;
ALTER TABLE moves ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON moves FOR SELECT USING (id <> id_of(2));
CREATE POLICY writable ON moves FOR INSERT WITH CHECK (true);
SET ROLE gundb_reverter;
SELECT * FROM pg_temp.reverts();
RESET ROLE;
SELECT * FROM stock ORDER BY key;
DROP OWNED BY gundb_reverter;
DROP ROLE gundb_reverter;
