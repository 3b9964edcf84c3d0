-- Views of applied events: the same rows and states as if each event had been appended, in whatever order they come.
\i include/apply.sql
SELECT gundb.create_stream('moves');
SELECT gundb.create_view('stock', 'moves', '{
    "n": {"fold": "count"}, "total": {"fold": "sum", "value": "n"}, "place": {"fold": "lww", "value": "place"},
    "labels": {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
    "tags": {"fold": "rw_set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
    "seen": {"fold": "mv", "value": "place"}}', delete => '{Gone}');
-- After each step the view is what its events give, and a rebuild changes nothing.
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS $$SELECT md5(string_agg(s.key::text || s.state::text, ',' ORDER BY d.relation::text, s.key))
    FROM gundb.view_state s JOIN gundb.view_definition d ON d.number = s.view WHERE s.state <> ''$$;
CREATE FUNCTION stands() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    before text := state();
BEGIN
    IF EXISTS (SELECT FROM gundb.check_view('stock')) THEN
        RETURN false;
    END IF;
    PERFORM gundb.rebuild_view('stock');
    RETURN before = state();
END
$$;

-- Numbers, and events in another order than their stamps'.
SELECT outcome FROM test_apply(delivery('[{"site": 2, "ms": 20, "type": "Moved", "key": "a", "data": {"n": 2, "place": "late"}},
                                          {"site": 3, "ms": 10, "type": "Moved", "key": "a", "data": {"n": 1.5, "place": "early"}},
                                          {"site": 3, "ms": 11, "type": "Moved", "data": {"n": 1}}]'));
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"n": 4}'), ('Moved', 'b', '{"n": 1}');
SELECT * FROM stock ORDER BY key;
SELECT skipped FROM gundb.view;
SELECT stands();

-- A remove that comes before the add that it has seen, as in no causal order; and one before a concurrent add.
SELECT delivery('[{"site": 4, "ms": 1, "type": "Labelled", "key": "l", "data": {"label": "x"}}, {"site": 4, "ms": 2, "type": "Labelled", "key": "l", "data": {"label": "y"}},
                  {"site": 5, "ms": 3, "epoch": 1, "type": "Unlabelled", "key": "l", "data": {"label": "x"}}, {"site": 5, "ms": 4, "epoch": 1, "type": "Unlabelled", "key": "l", "data": {"label": "y"}}]',
                ARRAY[epoch(5, 1, ARRAY[dot(4, 1)])]) AS l \gset
SELECT outcome FROM test_apply(part(:'l', 3, 4));
SELECT labels, tags FROM stock WHERE key = 'l';
SELECT outcome FROM test_apply(part(:'l', 1, 2));
SELECT labels, tags FROM stock WHERE key = 'l';
SELECT stands();

-- A delete against a concurrent sum: what the delete has seen goes, the rest stays.
SELECT delivery('[{"site": 6, "ms": 1, "type": "Moved", "key": "d", "data": {"n": 1}}, {"site": 6, "ms": 2, "type": "Moved", "key": "d", "data": {"n": 10}},
                  {"site": 7, "ms": 3, "epoch": 1, "type": "Gone", "key": "d"}]', ARRAY[epoch(7, 1, ARRAY[dot(6, 1)])]) AS g \gset
SELECT outcome FROM test_apply(part(:'g', 1, 2));
SELECT n, total FROM stock WHERE key = 'd';
SELECT outcome FROM test_apply(part(:'g', 3));
SELECT n, total FROM stock WHERE key = 'd';
SELECT stands();

-- ---------------------------------------------------------------------------------------------------------------------
-- One id at two sites
-- ---------------------------------------------------------------------------------------------------------------------

-- It counts once, and a remove that has seen one of its dots has seen it. The second dot sorts first: its content counts.
SELECT delivery('[{"site": 8, "ms": 50, "id": "00000000-0000-0000-0000-000000000001", "type": "Labelled", "key": "i", "data": {"label": "one", "n": 5, "place": "8"}},
                  {"site": 9, "ms": 40, "id": "00000000-0000-0000-0000-000000000001", "type": "Labelled", "key": "i", "data": {"label": "one", "n": 5, "place": "9"}},
                  {"site": 8, "ms": 51, "type": "Labelled", "key": "i", "data": {"label": "two", "n": 7}},
                  {"site": 10, "ms": 60, "epoch": 1, "type": "Unlabelled", "key": "i", "data": {"label": "one"}}]',
                ARRAY[epoch(10, 1, ARRAY[dot(9, 1)])]) AS i \gset
SELECT outcome FROM test_apply(part(:'i', 1));
SELECT n, total, place, labels FROM stock WHERE key = 'i';
SELECT outcome FROM test_apply(part(:'i', 4));
SELECT n, total, place, labels, tags FROM stock WHERE key = 'i';
SELECT outcome FROM test_apply(part(:'i', 2, 3));
SELECT n, total, place, labels, tags FROM stock WHERE key = 'i';
SELECT stands();

-- Under two keys: it is for the key of its first dot, and leaves the other.
SELECT delivery('[{"site": 11, "ms": 50, "id": "00000000-0000-0000-0000-000000000002", "type": "Moved", "key": "right", "data": {"n": 5}},
                  {"site": 12, "ms": 40, "id": "00000000-0000-0000-0000-000000000002", "type": "Moved", "key": "left", "data": {"n": 6}},
                  {"site": 13, "ms": 30, "id": "00000000-0000-0000-0000-000000000002", "type": "Moved"}]') AS k \gset
SELECT outcome FROM test_apply(part(:'k', 1));
SELECT key, total FROM stock WHERE key IN ('left', 'right') ORDER BY key;
SELECT outcome FROM test_apply(part(:'k', 2));
SELECT key, total FROM stock WHERE key IN ('left', 'right') ORDER BY key;
SELECT stands();
-- The first of all has no key.
SELECT outcome FROM test_apply(part(:'k', 3));
SELECT key, total FROM stock WHERE key IN ('left', 'right') ORDER BY key;
SELECT stands();

-- An id that an earlier run of this site accepted, and one that it accepts now.
SELECT site AS own FROM gundb.own_run LIMIT 1 \gset
INSERT INTO moves (id, type, key, data) VALUES ('00000000-0000-0000-0000-000000000003', 'Moved', 'o', '{"n": 1}');
SELECT chained(replace(delivery('[{"site": 99, "ms": 1, "id": "00000000-0000-0000-0000-000000000003", "type": "Moved", "key": "o", "data": {"n": 1}}]')::text, site(99)::text, :'own')::jsonb) AS o \gset
SELECT outcome FROM test_apply(:'o');
SELECT n, total FROM stock WHERE key = 'o';
INSERT INTO moves (id, type, key) VALUES ('00000000-0000-0000-0000-000000000002', 'Moved', 'o');
SELECT stands();

-- ---------------------------------------------------------------------------------------------------------------------
-- Events that cannot be folded
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_view('strict', 'moves', '{"total": {"fold": "sum", "value": "m"}}', strict => true);
SELECT outcome FROM test_apply(delivery('[{"site": 14, "ms": 1, "type": "Moved", "key": "p", "data": {"n": "x", "m": 1}}, {"site": 14, "ms": 2, "type": "Moved", "key": "p", "data": {"n": 2, "m": "y"}},
                                          {"site": 14, "ms": 3, "type": "Moved", "key": "p", "data": {"n": 3, "m": 3}}]'));
SELECT kind, view, key, right(dot::text, 16) AS dot, reason, sqlstate, tries FROM gundb.pending ORDER BY view;
SELECT gundb.retry_pending();
SELECT view, tries FROM gundb.pending ORDER BY view;
SELECT total FROM stock WHERE key = 'p';
SELECT total FROM strict WHERE key = 'p';
SELECT * FROM gundb.check_view('strict');
SELECT stands();
INSERT INTO moves (type, key, data) VALUES ('Moved', 'p', '{"m": "y"}');

-- What a trigger or a constraint of a view's table refuses keeps its keys late, and nothing else; local events of the key wait too.
ALTER TABLE stock ADD CONSTRAINT small CHECK (total < 1000) NOT VALID;
SELECT outcome FROM test_apply(delivery('[{"site": 15, "ms": 1, "type": "Moved", "key": "s", "data": {"n": 2000}}, {"site": 15, "ms": 2, "type": "Moved", "key": "t", "data": {"n": 1}}]'));
SELECT gundb.retry_pending('stock') >= 0 AS retried;
SELECT kind, key, reason, sqlstate, tries > 0 AS tried FROM gundb.pending WHERE kind = 'key';
SELECT key, total FROM stock WHERE key IN ('s', 't');
SELECT * FROM gundb.check_view('stock');
SELECT count(*) FROM moves WHERE key = 's';
INSERT INTO moves (type, key, data) VALUES ('Moved', 's', '{"n": 1}');
ALTER TABLE stock DROP CONSTRAINT small;
INSERT INTO moves (type, key, data) VALUES ('Moved', 's', '{"n": 1}');
SELECT key, total FROM stock WHERE key IN ('s', 't') ORDER BY key;
SELECT gundb.retry_pending('stock');
SELECT key, total FROM stock WHERE key IN ('s', 't') ORDER BY key;
SELECT count(*) FROM gundb.view_late;
SELECT stands();

-- A revert of another site that the table refuses waits likewise.
INSERT INTO moves (type, key, data, id) VALUES ('Moved', 'u', '{"n": -500}', '00000000-0000-0000-0000-000000000007'), ('Moved', 'u', '{"n": 1200}', NULL);
ALTER TABLE stock ADD CONSTRAINT small CHECK (total < 1000) NOT VALID;
SELECT outcome FROM test_apply(delivery('[{"site": 16, "ms": 1, "type": "gundb.Reverted", "id": "9f4f9c59-af73-5006-85f2-0ca7eb1c8a41", "meta": {"reverts": ["00000000-0000-0000-0000-000000000007"]}}]'));
SELECT gundb.retry_pending('stock') >= 0 AS retried;
SELECT DISTINCT kind, key, sqlstate FROM gundb.pending WHERE key = 'u';
SELECT key, total FROM stock WHERE key = 'u';
ALTER TABLE stock DROP CONSTRAINT small;
SELECT gundb.retry_pending('stock') > 0 AS retried;
SELECT key, total FROM stock WHERE key = 'u';
SELECT stands();

-- Some are refused of what is tried again, while an id among it leads to another key that is tried too: each counts once.
ALTER TABLE stock ADD CONSTRAINT small CHECK (key !~ '^w' OR total < 10) NOT VALID;
INSERT INTO moves (type, key, data, id) VALUES ('Moved', 'wa', '{"n": 10}', '00000000-0000-0000-0000-000000000009'), ('Moved', 'wc', '{"n": 10}', NULL), ('Moved', 'wd', '{"n": 10}', NULL);
SELECT outcome FROM test_apply(delivery('[{"site": 17, "ms": 1, "type": "Moved", "key": "wc", "id": "00000000-0000-0000-0000-000000000009", "data": {"n": 1}}]'));
ALTER TABLE stock DROP CONSTRAINT small, ADD CONSTRAINT no_d CHECK (key <> 'wd');
SELECT gundb.retry_pending('stock');
SELECT key, total FROM stock WHERE key ~ '^w' ORDER BY key;
SELECT kind, key, sqlstate, tries FROM gundb.pending WHERE view = 'stock'::regclass AND key ~ '^w';
SELECT * FROM gundb.check_view('stock');
ALTER TABLE stock DROP CONSTRAINT no_d;
SELECT gundb.retry_pending('stock');
SELECT key, total FROM stock WHERE key ~ '^w' ORDER BY key;
SELECT stands();

-- A view made after the fact is the same.
SELECT gundb.create_view('again', 'moves', (SELECT columns FROM gundb.view WHERE view = 'stock'::regclass), delete => '{Gone}');
SELECT count(*) FROM (TABLE stock EXCEPT TABLE again) AS x;
SELECT count(*) FROM (TABLE again EXCEPT TABLE stock) AS x;
SELECT gundb.drop_view('again');
SELECT count(*) FROM gundb.view_late;
