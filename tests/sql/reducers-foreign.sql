-- Reducer views over events that another site wrote, as a restore brings them: one id accepted at two sites counts once,
-- where its first dot stands, also where only what sorts after a late event is reduced again.

CREATE TABLE loaded () INHERITS (gundb.event);
ALTER TABLE loaded ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON loaded (id, site, ((lane::bigint) >> 16));
CREATE INDEX ON loaded (hlc);
CREATE INDEX ON loaded (key, hlc);
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON loaded FOR EACH ROW EXECUTE FUNCTION gundb.stamp('loaded');
CREATE TRIGGER gundb_guard BEFORE UPDATE OR DELETE ON loaded FOR EACH ROW EXECUTE FUNCTION gundb.guard();
CREATE TRIGGER gundb_guard_truncate BEFORE TRUNCATE ON loaded FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard();
ALTER TABLE loaded ENABLE ALWAYS TRIGGER zz_gundb_stamp, ENABLE ALWAYS TRIGGER gundb_guard, ENABLE ALWAYS TRIGGER gundb_guard_truncate;
SELECT gundb.begin_restore();
-- 100 events of one site; the ids of the 10th and the 80th are accepted at another site, too, later and earlier.
INSERT INTO loaded (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data)
SELECT '11111111-1111-1111-1111-111111111111', '000000000001-0', n, stamp, stamp, 0, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '00112233445566778899aabbccddeeff',
       '22222222-2222-2222-2222-222222222222', CASE n WHEN 90 THEN 'Switched' ELSE 'Linked' END, 'k', jsonb_build_object('n', n, 'other', 'o')
  FROM generate_series(1, 100) AS n, LATERAL (SELECT ('2020-01-01 00:00:00Z'::timestamptz + n * interval '1 s')::gundb.hlc AS stamp) AS s;
INSERT INTO loaded (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data)
SELECT '33333333-3333-3333-3333-333333333333', '000000000001-0', row_number() OVER (ORDER BY n DESC), stamp, stamp, 0, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, '00112233445566778899aabbccddeeff',
       '22222222-2222-2222-2222-222222222222', 'Linked', 'k', jsonb_build_object('n', n || ' again', 'other', 'o')
  FROM (VALUES (10, 96.5), (80, 3.5)) AS v (n, second), LATERAL (SELECT ('2020-01-01 00:00:00Z'::timestamptz + second * interval '1 s')::gundb.hlc AS stamp) AS s;
INSERT INTO gundb.epoch (site, run, number, clock) SELECT DISTINCT site, 1, 0, '{}'::gundb.clock FROM loaded;
SELECT gundb.end_restore();

CREATE TABLE switch (is_on boolean);
INSERT INTO switch VALUES (false);
-- Not immutable in truth, so that an event can fail and pass.
CREATE FUNCTION linked(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF event.type = 'Switched' AND NOT (SELECT is_on FROM public.switch) THEN RAISE EXCEPTION 'off'; END IF;
    RETURN state || (event.data->'n');
END $$;
SELECT gundb.create_reducer_view('links', 'loaded', 'linked(jsonb, gundb.event)', '[]');
SELECT gundb.create_reducer_view('others', 'loaded', 'linked(jsonb, gundb.event)', '[]', 'other');
SELECT jsonb_array_length(state) AS n, state FROM links;
SELECT view, reason FROM gundb.pending ORDER BY view::text;
SELECT * FROM gundb.check_view('links');
-- What sorts after the 90th is reduced again: the 10th stays where it was counted.
UPDATE switch SET is_on = true;
SELECT gundb.retry_pending();
SELECT jsonb_array_length(state) AS n, state FROM links;
SELECT l.state = o.state AS equal FROM links l, others o;
SELECT * FROM gundb.check_view('links');
SELECT * FROM gundb.check_view('others');
INSERT INTO loaded (type, key, data) VALUES ('Linked', 'k', '{"n": "own", "other": "o"}');
SELECT state->-2 AS before, state->-1 AS last, jsonb_array_length(state) AS n FROM links UNION ALL SELECT state->-2, state->-1, jsonb_array_length(state) FROM others;
SELECT * FROM gundb.check_view('links');
SELECT gundb.rebuild_view('links');
SELECT jsonb_array_length(state) AS n, state->-1 AS last FROM links;
