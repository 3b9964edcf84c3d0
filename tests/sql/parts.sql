-- Transactions that come in parts: judged and stored part by part, visible whole.
\i include/apply.sql
SELECT gundb.create_stream('moves');
CREATE FUNCTION held() RETURNS TABLE (site text, lane text, seq bigint, type text) LANGUAGE sql
    AS $$SELECT right(site::text, 1), right(lane::text, 1), seq, type FROM moves WHERE site::text LIKE '00000000%' ORDER BY site, hlc$$;

-- Five events in two lanes.
SELECT delivery('[{"site": 2, "ms": 1, "type": "A"}, {"site": 2, "lane": 1, "ms": 2, "xact": 1, "type": "B"}, {"site": 2, "ms": 3, "xact": 1, "type": "C"},
                  {"site": 2, "lane": 1, "ms": 4, "xact": 1, "type": "D"}, {"site": 2, "ms": 5, "xact": 1, "type": "E"}]') AS d \gset
SELECT * FROM test_apply_in_parts(:'d', 2);
SELECT * FROM test_apply_in_parts(:'d', 2);
SELECT * FROM test_apply(:'d');
SELECT * FROM held();
SELECT * FROM gundb.verify('moves');
SELECT count(*) FROM gundb.inbox;

-- What does not fit keeps all of it away; the evidence is the part that it is in. A gap is none.
SELECT delivery('[{"site": 3, "ms": 1, "type": "A"}, {"site": 3, "ms": 2, "xact": 1, "type": "B"}, {"site": 3, "ms": 3, "xact": 1, "type": "C"},
                  {"site": 3, "ms": 4, "xact": 1, "type": "D"}, {"site": 3, "ms": 5, "xact": 1, "type": "E"}, {"site": 3, "ms": 6, "type": "Behind"}]') AS f \gset
SELECT * FROM test_apply_in_parts(jsonb_set(:'f', '{transactions,0,events,3,chain}', '"00000000000000000000000000000000"'), 2);
SELECT * FROM test_apply_in_parts(part(:'f', 2), 1);
SELECT * FROM test_apply_in_parts(chained(jsonb_set(:'f', '{transactions,0,events,4,id}', :'f'::jsonb #> '{transactions,0,events,0,id}')), 2);
SELECT kind, right(dot::text, 16) AS dot, reason FROM gundb.pending ORDER BY dot;
SELECT right(dot::text, 16) AS dot, jsonb_array_length(transaction->'events') AS events FROM gundb.refused ORDER BY dot;
SELECT count(*) FROM gundb.inbox;
SELECT * FROM held() WHERE site = '3';
SELECT * FROM test_apply_in_parts(:'f', 3);
SELECT * FROM held() WHERE site = '3';

-- For its stream it waits in the inbox, and what follows it, and what saw it, behind it. It may come again.
SELECT delivery('[{"site": 4, "ms": 1, "type": "A"}, {"site": 4, "ms": 2, "xact": 1, "type": "B", "stream": "later"}, {"site": 4, "ms": 3, "xact": 1, "type": "C"},
                  {"site": 4, "ms": 4, "type": "Behind"}, {"site": 5, "ms": 5, "type": "Saw it", "epoch": 1}]', ARRAY[epoch(5, 1, ARRAY[dot(4, 2)])]) AS w \gset
SELECT * FROM test_apply_in_parts(part(:'w', 1), 1);
SELECT * FROM test_apply_in_parts(part(:'w', 1), 2);
SELECT * FROM test_apply(:'w');
SELECT kind, right(dot::text, 16) AS dot, tries FROM gundb.pending WHERE kind IN ('stream', 'behind', 'bundle') ORDER BY dot;
SELECT peer, count(*) FROM gundb.inbox GROUP BY peer;
SELECT xact, document->'lanes' IS NOT NULL AS in_parts FROM gundb.staged ORDER BY xact;
SELECT gundb.retry_pending();
-- At once, or the worker would be first.
BEGIN;
SELECT gundb.create_stream('later');
SELECT gundb.retry_pending();
COMMIT;
SELECT * FROM held() WHERE site IN ('4', '5');
SELECT count(*) FROM later;
SELECT count(*) FROM gundb.inbox;
SELECT count(*) FROM gundb.staged;

-- For its time.
SELECT delivery(jsonb_build_array(
    jsonb_build_object('site', 6, 'ms', ms, 'type', 'Ahead'), jsonb_build_object('site', 6, 'ms', ms + 1, 'xact', ms, 'type', 'Ahead'))) AS t
  FROM (SELECT (extract(epoch FROM now() - '2026-01-01 00:00:00+00') * 1000)::bigint + 3600000 AS ms) AS now \gset
SELECT * FROM test_apply_in_parts(:'t', 1);
SELECT gundb.retry_pending();
SELECT gundb.accept_pending();
SELECT * FROM held() WHERE site = '6';
SELECT count(*) FROM gundb.inbox;

-- A trigger of the table's owner sees them a part at a time.
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'saw %', (SELECT count(*) FROM new_rows); RETURN NULL; END$$;
CREATE TRIGGER tell AFTER INSERT ON moves REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION tell();
ALTER TABLE moves ENABLE ALWAYS TRIGGER tell;
SELECT delivery('[{"site": 7, "ms": 1, "type": "A"}, {"site": 7, "ms": 2, "xact": 1, "type": "B"}, {"site": 7, "ms": 3, "xact": 1, "type": "C"}]') AS s \gset
SELECT * FROM test_apply_in_parts(:'s', 2);
SELECT * FROM held() WHERE site = '7';
