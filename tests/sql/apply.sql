-- Events of other sites, applied: what is taken, held, refused, and what waits; epochs and contexts of own events.
\i include/apply.sql
SELECT gundb.create_stream('moves');
CREATE FUNCTION held() RETURNS TABLE (site text, lane text, seq bigint, type text, key text) LANGUAGE sql
    AS $$SELECT right(site::text, 1), right(lane::text, 3), seq, type, key FROM moves WHERE site::text LIKE '00000000%' ORDER BY hlc$$;

-- ---------------------------------------------------------------------------------------------------------------------
-- Taken, held already, a gap, a fork
-- ---------------------------------------------------------------------------------------------------------------------

-- Transactions: one event; two events in two lanes; one that follows both.
SELECT delivery('[{"site": 2, "ms": 1, "type": "A", "key": "k"},
                  {"site": 2, "ms": 2, "type": "B", "data": {"n": 1.50, "t": "é"}}, {"site": 2, "lane": 1, "ms": 3, "xact": 2, "type": "C"},
                  {"site": 2, "lane": 1, "ms": 4, "type": "D"}]') AS d \gset
SELECT * FROM test_apply(part(:'d', 2));
SELECT * FROM test_apply(part(:'d', 1));
SELECT * FROM test_apply(:'d');
SELECT * FROM test_apply(:'d');
SELECT * FROM held();
SELECT xact = stamp(2) AS xact, epoch, data, meta FROM moves WHERE type IN ('B', 'C') ORDER BY type;
SELECT * FROM gundb.verify('moves');
SELECT site = site(2) AS theirs, number, clock FROM gundb.epoch ORDER BY 1, 2;

-- Another history under dots that are held, and after them; what stands behind it in its lanes is a gap.
SELECT delivery('[{"site": 2, "ms": 1, "type": "Forged"}, {"site": 2, "ms": 2, "type": "B"}, {"site": 2, "ms": 3, "type": "After"}, {"site": 2, "ms": 9, "type": "After"},
                  {"site": 3, "ms": 5, "type": "Good"}, {"site": 3, "ms": 6, "type": "Bad"}, {"site": 3, "lane": 1, "ms": 7, "xact": 6, "type": "With it"},
                  {"site": 3, "lane": 1, "ms": 8, "type": "Behind it"}]') AS f \gset
SELECT jsonb_set(:'f', '{transactions,5,events,0,chain}', '"00000000000000000000000000000000"') AS f \gset
SELECT * FROM test_apply(:'f');
SELECT * FROM test_apply(:'f') WHERE reason LIKE 'a fork%';
SELECT * FROM held();
SELECT kind, right(dot::text, 60) AS dot, reason, sqlstate, tries FROM gundb.pending ORDER BY kind, dot;
SELECT jsonb_array_length(transaction->'events') AS events FROM gundb.refused ORDER BY dot;

-- An epoch that has not come.
SELECT * FROM test_apply(delivery('[{"site": 4, "ms": 1, "epoch": 7, "type": "A"}]'));
-- What cannot be an event.
SELECT * FROM test_apply(chained(jsonb_set(delivery('[{"site": 4, "ms": 1, "type": "A"}]'), '{transactions,0,events,0,data}', '"{\"b\":1}"')));
SELECT kind, reason FROM gundb.pending WHERE kind = 'malformed';
SELECT * FROM test_apply('{"transactions": [{"site": "x"}]}');
SELECT * FROM test_apply(NULL);

-- Within a run an id is one event's: of a transaction, of one delivery, of what is held. What brings it again is refused, with
-- what stands behind it in its lanes; another run or site may bring it.
SELECT delivery('[{"site": 18, "ms": 1, "type": "First", "id": "00000000-0000-0000-0000-0000000000aa"}, {"site": 18, "ms": 2, "type": "Again", "id": "00000000-0000-0000-0000-0000000000aa"},
                  {"site": 18, "ms": 3, "type": "Behind"}, {"site": 18, "lane": 1, "ms": 4, "type": "Good"}, {"site": 18, "lane": 1, "ms": 5, "type": "Twice", "id": "00000000-0000-0000-0000-0000000000bb"},
                  {"site": 18, "lane": 2, "ms": 6, "xact": 5, "type": "Twice", "id": "00000000-0000-0000-0000-0000000000bb"}, {"site": 18, "run": 2, "ms": 7, "type": "Other run", "id": "00000000-0000-0000-0000-0000000000aa"},
                  {"site": 19, "ms": 8, "type": "Other site", "id": "00000000-0000-0000-0000-0000000000aa"}, {"site": 18, "lane": 3, "ms": 9, "type": "Good too"}]') AS i \gset
SELECT * FROM test_apply(:'i');
SELECT * FROM test_apply(:'i');
SELECT * FROM held() WHERE site IN ('8', '9');
SELECT right(dot::text, 16) AS dot, reason, sqlstate, tries FROM gundb.pending WHERE reason LIKE '%id%' ORDER BY dot;
SELECT * FROM gundb.verify('moves');

-- Only apply passes the stamp: not a trigger that it fires.
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type)
SELECT site, lane, seq + 10, hlc, xact, epoch, gen_random_uuid(), chain, salt, type FROM moves;
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER meddle BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT * FROM test_apply(delivery('[{"site": 4, "ms": 1, "type": "A"}]'));
ALTER TABLE moves ENABLE ALWAYS TRIGGER meddle;
\set VERBOSITY sqlstate
SELECT * FROM test_apply(delivery('[{"site": 5, "ms": 1, "type": "A"}]'));
\set VERBOSITY default
DROP TRIGGER meddle ON moves;

-- What PostgreSQL raises while rows are stored is passed on whole, though the memory of the rows is gone by then.
CREATE INDEX numbered ON moves (((data->>'n')::bigint)) WHERE type = 'Numbered';
SELECT delivery((SELECT jsonb_agg(jsonb_build_object('site', 26, 'ms', n, 'xact', 1, 'type', 'Numbered', 'data', jsonb_build_object('n', CASE n WHEN 1000 THEN 'many' ELSE '1' END, 'text', repeat(md5(n::text), 40)))) FROM generate_series(1, 1000) n)) AS n \gset
SELECT * FROM test_apply(:'n');
SELECT count(*) FROM held() WHERE type = 'Numbered';
DROP INDEX numbered;

-- Some of a transaction that ends a minute later in a stream which does not come: what is written here sorts after all of it.
SELECT jsonb_set(delivery('[{"site": 25, "ms": 1, "type": "Some"}]'), '{transactions,0,ends}', to_jsonb((SELECT gundb.hlc(now() + '1 min'))::text)) AS s \gset
SELECT * FROM test_apply(:'s');
BEGIN;
INSERT INTO moves (type) VALUES ('Seen some');
SELECT type, hlc > (:'s'::jsonb #>> '{transactions,0,ends}')::gundb.hlc AS is_after FROM moves WHERE type = 'Seen some';
ROLLBACK;
SELECT events, hlc = (:'s'::jsonb #>> '{transactions,0,ends}')::gundb.hlc AS ends_there FROM gundb.span WHERE site = site(25);

-- ---------------------------------------------------------------------------------------------------------------------
-- Stamps that are ahead, unknown streams
-- ---------------------------------------------------------------------------------------------------------------------

SELECT delivery('[{"site": 6, "ms": 1, "type": "Now"}, {"site": 6, "ms": 200000000000, "type": "Ahead"}, {"site": 6, "ms": 200000000001, "type": "Behind"},
                  {"site": 7, "ms": 1, "stream": "paid", "type": "Paid"}, {"site": 7, "ms": 2, "xact": 1, "type": "Moved"}, {"site": 7, "ms": 3, "type": "Then"}]') AS w \gset
SELECT * FROM test_apply(:'w');
SELECT * FROM test_apply(:'w');
SELECT kind, reason, sqlstate, tries FROM gundb.pending WHERE kind <> 'fork' ORDER BY dot;
SELECT gundb.retry_pending();
SELECT * FROM held() WHERE site IN ('6', '7');
-- A fork of what waits.
SELECT * FROM test_apply(delivery('[{"site": 6, "ms": 1, "type": "Now"}, {"site": 6, "ms": 200000000000, "type": "Another"}]'));
-- The stream is made: the worker brings what waited for it, whole.
SELECT gundb.create_stream('paid');
DO $$ BEGIN
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN (SELECT count(*) = 2 FROM held() WHERE site = '7');
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT * FROM held() WHERE site = '7';
SELECT type, (SELECT count(*) FROM gundb.span s WHERE s.site = p.site AND s.xact = p.xact) AS streams FROM paid p;
-- The clock goes past what was accepted.
SELECT gundb.accept_pending(dot(9, 1)) AS none, gundb.accept_pending(dot(6, 2)) AS one;
SELECT kind, count(*) FROM gundb.pending GROUP BY kind ORDER BY kind;
SELECT gundb.accept_pending();
SELECT * FROM held() WHERE site = '6';
INSERT INTO moves (type) VALUES ('Own');
SELECT hlc > stamp(200000000001) AS after FROM moves WHERE type = 'Own';

-- The time comes by itself: a stamp that is some seconds too far ahead.
SELECT (extract(epoch FROM clock_timestamp() - '2026-01-01 00:00:00Z') * 1000)::bigint + 305000 AS soon \gset
SELECT * FROM test_apply(delivery(jsonb_build_array(jsonb_build_object('site', 16, 'ms', :soon, 'type', 'Soon'))));
DO $$ BEGIN
    FOR i IN 1 .. 200 LOOP
        EXIT WHEN EXISTS (SELECT FROM moves WHERE type = 'Soon');
        PERFORM pg_sleep(0.1);
    END LOOP;
END $$;
SELECT count(*) FROM moves WHERE type = 'Soon';

-- ---------------------------------------------------------------------------------------------------------------------
-- Epochs: what own events have seen
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE own_epochs AS SELECT max(number) AS last FROM gundb.epoch e JOIN gundb.own_run r USING (site, run);
CREATE FUNCTION seen(a text, b text) RETURNS text LANGUAGE sql
    AS $$SELECT concat_ws(' ', gundb.happened_before(x, y), gundb.happened_before(y, x), gundb.concurrent(x, y)) FROM moves x, moves y WHERE x.type = a AND y.type = b$$;
INSERT INTO moves (type) VALUES ('Before');
BEGIN;
SELECT * FROM test_apply(delivery('[{"site": 8, "ms": 1, "type": "Theirs"}, {"site": 8, "ms": 2, "lane": 1, "type": "Their other"}]'));
-- Its own epoch is not drawn yet.
INSERT INTO moves (type) VALUES ('Beside');
COMMIT;
INSERT INTO moves (type) VALUES ('After it');
BEGIN;
SELECT outcome FROM test_apply(delivery('[{"site": 9, "ms": 1, "type": "Rolled back"}]'));
ROLLBACK;
INSERT INTO moves (type) VALUES ('After rollback');
BEGIN;
SAVEPOINT s;
SELECT outcome FROM test_apply(delivery('[{"site": 9, "ms": 1, "type": "Rolled back"}]'));
ROLLBACK TO s;
COMMIT;
INSERT INTO moves (type) VALUES ('After savepoint');
SELECT type, epoch - last AS epoch FROM moves, own_epochs WHERE type IN ('Before', 'Beside', 'After it', 'After rollback', 'After savepoint') ORDER BY hlc;
SELECT seen('Theirs', 'Before') AS before, seen('Theirs', 'Beside') AS beside, seen('Theirs', 'After it') AS after, seen('Their other', 'After it') AS after_too, seen('Before', 'After it') AS own;
SELECT count(*) FROM gundb.epoch e JOIN gundb.own_run r USING (site, run), own_epochs WHERE number > last;
-- The last epoch is all that is held of others.
SELECT gundb.clock_of(gundb.dot(m.site, gundb.stream_id('moves'), lane, seq)) AS theirs FROM moves m WHERE site::text LIKE '00000000%' \gset
SELECT clock >= :'theirs'::gundb.clock AS all_of_others FROM gundb.epoch e JOIN gundb.own_run r USING (site, run) ORDER BY number DESC LIMIT 1;
-- Their event that has seen ours.
SELECT epoch(8, 1, ARRAY[gundb.dot(site, gundb.stream_id('moves'), lane, seq)]) AS e FROM moves WHERE type = 'Before' \gset
SELECT outcome FROM test_apply(delivery('[{"site": 8, "ms": 1, "type": "Theirs"}, {"site": 8, "ms": 2, "lane": 1, "type": "Their other"}, {"site": 8, "ms": 300000000, "epoch": 1, "type": "Their last"}]', ARRAY[:'e'::jsonb]));
SELECT seen('Before', 'Their last') AS seen, seen('After it', 'Their last') AS not_seen;

BEGIN;
SELECT outcome FROM test_apply(delivery('[{"site": 9, "ms": 1, "type": "A"}]'));
PREPARE TRANSACTION 'x';
SELECT * FROM gundb.verify();
