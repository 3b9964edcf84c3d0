-- Reducer views beside everything that views can do: looking back, reverts, others' events, changes of columns.
\i include/apply.sql
SELECT gundb.create_stream('moves');
CREATE FUNCTION walk(state jsonb, event gundb.event) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object('path', coalesce(state->>'path', '') || coalesce(event.data->>'to', '?'))
$$;
SELECT gundb.create_reducer_view('tour', 'moves', 'walk(jsonb, gundb.event)');
INSERT INTO moves (id, type, key, data) VALUES
    ('00000000-0000-0000-0000-000000000001', 'Moved', 'a', '{"to": "x"}'),
    ('00000000-0000-0000-0000-000000000002', 'Moved', 'a', '{"to": "y"}'),
    ('00000000-0000-0000-0000-000000000003', 'Moved', 'b', '{"to": "z"}');
SELECT gundb.site_clock() AS then \gset
INSERT INTO moves (type, key, data) VALUES ('Moved', 'a', '{"to": "w"}'), ('Moved', 'c', '{}');
SELECT * FROM tour ORDER BY key;
SELECT * FROM gundb.view_at(NULL::tour, clock => :'then') ORDER BY key;
SELECT * FROM gundb.view_at(NULL::tour, clock => :'then', key => 'a');
SELECT type, "row" FROM gundb.view_history('tour', 'a');

-- A revert takes the event out of the row; a revert of the revert brings it back.
SELECT reverts FROM gundb.revert('moves', ARRAY['00000000-0000-0000-0000-000000000002']::uuid[]);
SELECT * FROM tour WHERE key = 'a';
SELECT type, "row" FROM gundb.view_history('tour', 'a');
SELECT * FROM gundb.check_view('tour');
SELECT gundb.rebuild_view('tour');
SELECT * FROM tour ORDER BY key;
SELECT count(*) FROM gundb.revert('moves', ARRAY(SELECT id FROM moves WHERE type = 'gundb.Reverted'));
SELECT * FROM tour WHERE key = 'a';
SELECT * FROM gundb.check_view('tour');
SELECT gundb.view_digest('tour') IS NOT NULL AS has_digest;
SELECT * FROM gundb.conflict;

-- Others' events come late, and in their places.
SELECT outcome FROM test_apply(delivery('[{"site": 2, "ms": 1, "type": "Moved", "key": "a", "data": {"to": "first"}}, {"site": 3, "ms": 2, "type": "Moved", "key": "d", "data": {"to": "q"}}]'));
SELECT * FROM tour ORDER BY key;
SELECT * FROM gundb.check_view('tour');
SELECT count(*) FROM gundb.pending;

-- Its column is the reducer's.
SELECT gundb.alter_view('tour', add => '{"n": {"fold": "count"}}');
SELECT gundb.drop_view('tour');
