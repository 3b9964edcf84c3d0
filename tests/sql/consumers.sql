-- Consumers: named, durable readers whose position moves in the caller's transaction.
\i include/attempt.sql

SELECT gundb.create_stream('moves');
SELECT gundb.create_stream('paid');
INSERT INTO moves (type) VALUES ('A'), ('B');
INSERT INTO paid (type) VALUES ('C');

SELECT gundb.create_consumer('all');
SELECT gundb.create_consumer(name => 'mailer', stream => 'moves', types => NULL, start => 'beginning', after => NULL);
SELECT gundb.create_consumer('picky', 'moves', types => ARRAY['B', 'D']);
SELECT gundb.create_consumer('late', 'moves', start => 'end');
SELECT gundb.create_consumer('placed', 'moves', after => (SELECT next FROM gundb.read('moves') LIMIT 1));
SELECT name, stream, types, owner = current_user AS mine, lag, moved FROM gundb.consumer ORDER BY name;

-- What it gives is what read gives, once.
SELECT stream, type, gundb.seq_of(dot) AS seq FROM gundb.consume('all');
SELECT count(*) FROM gundb.consume('all');
SELECT type FROM gundb.consume(name => 'mailer', max => 100, wait => '0');
SELECT type FROM gundb.consume('picky');
SELECT type FROM gundb.consume('late');
SELECT type FROM gundb.consume('placed');
SELECT name, lag, moved IS NOT NULL AS moved FROM gundb.consumer ORDER BY name;
INSERT INTO moves (type) VALUES ('D'), ('E');
-- lag counts what types leave out as well.
SELECT name, lag FROM gundb.consumer ORDER BY name;
SELECT name, (SELECT array_agg(type) FROM gundb.consume(name)) FROM unnest(ARRAY['all', 'mailer', 'picky', 'late', 'placed']) AS name;

-- The position moves with the caller's own writes: both or none.
CREATE TABLE seen (type text);
INSERT INTO moves (type) VALUES ('F');
BEGIN;
INSERT INTO seen SELECT type FROM gundb.consume('mailer');
ROLLBACK;
SELECT lag FROM gundb.consumer WHERE name = 'mailer';
BEGIN;
SAVEPOINT s;
INSERT INTO seen SELECT type FROM gundb.consume('mailer');
ROLLBACK TO s;
INSERT INTO seen SELECT type FROM gundb.consume('mailer');
COMMIT;
SELECT * FROM seen;
-- Pages are whole transactions.
INSERT INTO moves (type) VALUES ('G');
INSERT INTO moves (type) VALUES ('H'), ('I'), ('J');
INSERT INTO moves (type) VALUES ('K');
SELECT array_agg(type) FROM gundb.consume('mailer', 2);
SELECT array_agg(type) FROM gundb.consume('mailer', 2);
SELECT array_agg(type) FROM gundb.consume('mailer', 2);
SELECT array_agg(type) FROM gundb.consume('mailer', 2);
-- A transaction may consume what it appended, and go on appending: nothing is given twice, nothing is left out.
BEGIN;
INSERT INTO moves (type) VALUES ('L');
SELECT array_agg(type) FROM gundb.consume('mailer');
INSERT INTO moves (type) VALUES ('M');
SELECT array_agg(type) FROM gundb.consume('mailer');
INSERT INTO moves (type) VALUES ('N');
COMMIT;
SELECT array_agg(type) FROM gundb.consume('mailer');
-- The position is the clock of what was read, and next of the last row.
INSERT INTO moves (type) VALUES ('O');
SELECT next FROM gundb.consume('mailer') \gset
SELECT position = :'next' AS same FROM gundb.consumer WHERE name = 'mailer';
SELECT position @> dot AS covered FROM gundb.consumer, (SELECT dot FROM gundb.read('moves') WHERE type = 'O') AS o WHERE name = 'mailer';
-- In a loop.
INSERT INTO moves (type) SELECT 'P' FROM generate_series(1, 5);
INSERT INTO moves (type) SELECT 'Q' FROM generate_series(1, 5);
DO $$
DECLARE e record; n int := 0;
BEGIN
    FOR e IN SELECT * FROM gundb.consume('mailer') LOOP
        n := n + 1;
        INSERT INTO moves (type) VALUES ('Answer');
    END LOOP;
    RAISE NOTICE '% consumed', n;
END $$;
SELECT count(*) FROM gundb.consume('mailer');

-- seek.
SELECT gundb.seek_consumer('mailer');
SELECT count(*) = (SELECT count(*) FROM moves) AS all_again FROM gundb.consume('mailer');
SELECT gundb.seek_consumer(name => 'mailer', start => 'beginning', after => (SELECT next FROM gundb.read('moves') WHERE type = 'K'));
SELECT array_agg(DISTINCT type ORDER BY type) FROM gundb.consume('mailer');
SELECT gundb.seek_consumer('mailer', 'beginning');
SELECT gundb.seek_consumer('mailer', 'end');
SELECT count(*) FROM gundb.consume('mailer');
SELECT gundb.seek_consumer('mailer', NULL, NULL);
SELECT count(*) > 0 AS from_the_beginning FROM gundb.consume('mailer');

-- wait: at most so long, and not where there is something.
SELECT count(*) FROM gundb.consume('mailer', wait => '10 ms');
SELECT clock_timestamp() - now() >= '300 ms' AS waited FROM (SELECT count(*) FROM gundb.consume('mailer', wait => '300 ms')) AS c;
INSERT INTO moves (type) VALUES ('R');
SELECT type, clock_timestamp() - now() < '30 s' AS at_once FROM gundb.consume('mailer', wait => '1 minute');
-- Above READ COMMITTED nothing new can come into sight, so nothing is waited for.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*), clock_timestamp() - now() < '30 s' AS at_once FROM gundb.consume('mailer', wait => '1 minute');
COMMIT;
BEGIN READ ONLY;
SELECT state FROM pg_temp.attempt($$SELECT gundb.consume('mailer')$$);
COMMIT;

-- What is refused.
SELECT statement, a.* FROM (VALUES ($$SELECT gundb.create_consumer('mailer')$$), ($$SELECT gundb.create_consumer('')$$), ($$SELECT gundb.create_consumer(NULL)$$),
    ($$SELECT gundb.create_consumer('x', 'move')$$), ($$SELECT gundb.create_consumer('x', start => 'middle')$$), ($$SELECT gundb.create_consumer('x', types => ARRAY['A', NULL])$$),
    ($$SELECT gundb.consume('mialer')$$), ($$SELECT gundb.consume('something else')$$), ($$SELECT gundb.consume(NULL)$$), ($$SELECT gundb.consume('mailer', max => 0)$$),
    ($$SELECT gundb.consume('mailer', wait => '-1 s')$$), ($$SELECT gundb.seek_consumer('mailr')$$), ($$SELECT gundb.seek_consumer('mailer', 'middle')$$), ($$SELECT gundb.seek_consumer(NULL)$$),
    ($$SELECT gundb.drop_consumer('mailr')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT left(name, 10) AS name, a.state FROM unnest(ARRAY[repeat('x', 63), repeat('x', 64), 'with space', 'with"quote', 'a''b', 'größe']) AS name, pg_temp.attempt(format('SELECT gundb.create_consumer(%L)', name)) AS a;
-- NULL: the defaults.
SELECT count(*) > 0 AS some FROM gundb.consume('late', max => NULL, wait => NULL);
SELECT gundb.create_consumer('defaults', NULL, NULL, NULL, NULL);
SELECT stream, types, position FROM gundb.consumer WHERE name = 'defaults';
-- No types at all.
SELECT gundb.create_consumer('none', types => '{}');
SELECT count(*) FROM gundb.consume('none');
SELECT lag FROM gundb.consumer WHERE name = 'none';

-- A consumer outlives its stream: it says what is missing, and goes on when the stream is there again.
SELECT gundb.create_consumer('payer', 'paid');
SELECT count(*) FROM gundb.consume('payer');
SELECT gundb.drop_stream('paid');
SELECT a.state, a.answer FROM pg_temp.attempt($$SELECT gundb.consume('payer')$$) AS a;
SELECT name, lag FROM gundb.consumer WHERE name = 'payer';
SELECT gundb.create_stream('paid');
INSERT INTO paid (type) VALUES ('S');
SELECT type FROM gundb.consume('payer');
-- Of all streams: one that is added is read from its beginning.
SELECT gundb.seek_consumer('all', 'end');
SELECT gundb.create_stream('new');
BEGIN;
INSERT INTO new (type) VALUES ('T');
INSERT INTO moves (type) VALUES ('U');
COMMIT;
SELECT stream, type FROM gundb.consume('all', 1);
-- reset sets consumers to the beginning.
SELECT gundb.reset();
INSERT INTO moves (type) VALUES ('V');
SELECT type FROM gundb.consume('mailer');

SELECT gundb.drop_consumer('mailer');
SELECT count(*) FROM gundb.consumer WHERE name = 'mailer';
SELECT state FROM pg_temp.attempt($$SELECT gundb.consume('mailer')$$);
SELECT gundb.create_consumer('mailer', 'moves');
SELECT type FROM gundb.consume('mailer');
