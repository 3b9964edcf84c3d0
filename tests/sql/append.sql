-- append and append_batch: one event, or several, with conditions.
\i include/attempt.sql

SELECT gundb.create_stream('moves');

-- What comes back: the event's coordinates.
SELECT pg_typeof(a.dot), pg_typeof(a.id), pg_typeof(a.hlc), pg_typeof(a.version), pg_typeof(a.duplicate)
FROM gundb.append('moves', 'Received') AS a;
SELECT gundb.site_of(dot) = gundb.site_id() AS own, gundb.stream_of(dot) = gundb.stream_id('moves') AS stream, gundb.seq_of(dot) AS seq,
       id IS NOT NULL AS has_id, hlc <= gundb.hlc_now() AS stamped, version, duplicate
FROM gundb.append('moves', 'Received', '{"sku": "A-1", "qty": 3}');
-- Every argument by its name.
SELECT gundb.seq_of(dot) AS seq, id, version, duplicate
FROM gundb.append(stream => 'moves', type => 'Received', data => '{"qty": 1}', key => 'A-1', meta => '{"by": "ann"}',
                  id => '00000000-0000-0000-0000-000000000001', expected_version => 0, depends_on => gundb.site_clock());
SELECT seq, type, key, data, meta FROM moves ORDER BY seq;
-- The row is what the function said.
SELECT gundb.dot(m.site, gundb.stream_id('moves'), m.lane, m.seq) = r.dot AND m.hlc = r.hlc AND m.xact = r.xact AS same
FROM gundb.read('moves') AS r JOIN moves AS m USING (id);

-- NULL for each argument. NULL means "not given" where an event can do without.
SELECT place, a.state, a.answer
FROM (VALUES (1, $$SELECT duplicate FROM gundb.append(NULL, 'A')$$),
             (2, $$SELECT duplicate FROM gundb.append('moves', NULL)$$),
             (3, $$SELECT duplicate FROM gundb.append('moves', 'A', data => NULL)$$),
             (4, $$SELECT duplicate FROM gundb.append('moves', 'A', key => NULL)$$),
             (5, $$SELECT duplicate FROM gundb.append('moves', 'A', meta => NULL)$$),
             (6, $$SELECT duplicate FROM gundb.append('moves', 'A', id => NULL)$$),
             (7, $$SELECT duplicate FROM gundb.append('moves', 'A', expected_version => NULL)$$),
             (8, $$SELECT duplicate FROM gundb.append('moves', 'A', depends_on => NULL)$$)) AS v (place, statement),
     pg_temp.attempt(statement) AS a;

-- Data is any JSON; meta is an object.
SELECT data, a.state FROM unnest(ARRAY['{}', '[]', '[1, {"a": null}]', '"text"', '0', '-0.00', '1e3', 'true', 'null', '""']) AS data,
    pg_temp.attempt(format('SELECT gundb.append(''moves'', ''Any'', %L)', data)) AS a;
SELECT data FROM moves WHERE type = 'Any' ORDER BY seq;
SELECT meta, a.state, a.answer, a.hint FROM unnest(ARRAY['{}', '{"a": 1}', '[]', '"text"', '0', 'null']) AS meta,
    pg_temp.attempt(format('SELECT duplicate FROM gundb.append(''moves'', ''Meta'', meta => %L)', meta)) AS a;
-- The empty key is a key, and not the absence of one.
SELECT duplicate FROM gundb.append('moves', 'Keyed', key => '');
SELECT count(*) FROM gundb.history('moves', '');

-- A misspelt stream.
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('move', 'A')$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('something else', 'A')$$);
-- A stream is called by its name, not by its table's.
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('public.moves', 'A')$$);

-- ---------------------------------------------------------------------------------------------------------------------
-- id: the idempotency key
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('paid');
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'Paid', '{"a": 1, "b": [1, 2]}', key => 'k', meta => '{"m": 1}', id => '00000000-0000-0000-0000-00000000000a');
-- The same again: the first dot. JSON is compared as jsonb prints it.
SELECT gundb.seq_of(dot) AS seq, id, duplicate, hlc = (SELECT hlc FROM paid) AS same_stamp
FROM gundb.append('paid', 'Paid', '{"b":[1,2],  "a":1}', key => 'k', meta => '{"m": 1}', id => '00000000-0000-0000-0000-00000000000a');
-- Other content, in any of its parts.
SELECT a.state, a.answer, a.detail, a.hint FROM pg_temp.attempt(
    $$SELECT gundb.append('paid', 'Paid', '{"a": 2}', key => 'k', meta => '{"m": 1}', id => '00000000-0000-0000-0000-00000000000a')$$) AS a;
SELECT part, a.state FROM (VALUES
    ('type', $$'Sold', '{"a": 1, "b": [1, 2]}', key => 'k', meta => '{"m": 1}'$$),
    ('key', $$'Paid', '{"a": 1, "b": [1, 2]}', key => 'l', meta => '{"m": 1}'$$),
    ('no key', $$'Paid', '{"a": 1, "b": [1, 2]}', meta => '{"m": 1}'$$),
    ('number', $$'Paid', '{"a": 1.0, "b": [1, 2]}', key => 'k', meta => '{"m": 1}'$$),
    ('meta', $$'Paid', '{"a": 1, "b": [1, 2]}', key => 'k', meta => '{"m": 2}'$$),
    ('none', $$'Paid', '{"a": 1, "b": [1, 2]}', key => 'k', meta => '{"m": 1}'$$)) AS v (part, arguments),
    pg_temp.attempt(format('SELECT gundb.append(''paid'', %s, id => ''00000000-0000-0000-0000-00000000000a'')', arguments)) AS a;
SELECT count(*) FROM paid;
-- An id counts within its stream.
SELECT duplicate FROM gundb.append('moves', 'Other', id => '00000000-0000-0000-0000-00000000000a');
-- Twice in one transaction, around a savepoint, in a rolled-back one.
BEGIN;
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'B', id => '00000000-0000-0000-0000-00000000000b');
SAVEPOINT s;
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'B', id => '00000000-0000-0000-0000-00000000000b');
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'C', id => '00000000-0000-0000-0000-00000000000c');
ROLLBACK TO s;
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'C', id => '00000000-0000-0000-0000-00000000000c');
COMMIT;
BEGIN;
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'D', id => '00000000-0000-0000-0000-00000000000d');
ROLLBACK;
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'D', id => '00000000-0000-0000-0000-00000000000d');
-- The extreme ids are ids.
SELECT gundb.seq_of(dot) AS seq, duplicate FROM unnest(ARRAY['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']::uuid[]) AS u,
    gundb.append('paid', 'E', id => u);
-- A retry of an append that succeeded gives back the first dot, whatever it expected.
SELECT gundb.seq_of(dot) AS seq, version, duplicate FROM gundb.append('paid', 'F', key => 'f', id => '00000000-0000-0000-0000-00000000000f', expected_version => 0);
SELECT gundb.seq_of(dot) AS seq, duplicate FROM gundb.append('paid', 'F', key => 'f', id => '00000000-0000-0000-0000-00000000000f', expected_version => 0);
SELECT state FROM pg_temp.attempt($$SELECT gundb.append('paid', 'Other', key => 'f', id => '00000000-0000-0000-0000-00000000000f', expected_version => 0)$$);

-- ---------------------------------------------------------------------------------------------------------------------
-- expected_version: how many events the key has
-- ---------------------------------------------------------------------------------------------------------------------

SELECT version FROM gundb.append('moves', 'Opened', key => 'order-1', expected_version => 0);
SELECT version FROM gundb.append('moves', 'Filled', key => 'order-1', expected_version => 1);
-- What does not count does not say.
SELECT version FROM gundb.append('moves', 'Filled', key => 'order-1');
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('moves', 'Closed', key => 'order-1', expected_version => 2)$$);
SELECT version FROM gundb.append('moves', 'Closed', key => 'order-1', expected_version => 3);
-- Plain inserts count; another stream's events of the key do not.
INSERT INTO moves (type, key) VALUES ('Plain', 'order-1');
SELECT duplicate FROM gundb.append('paid', 'Elsewhere', key => 'order-1');
SELECT version FROM gundb.append('moves', 'Reopened', key => 'order-1', expected_version => 5);
SELECT a.* FROM (VALUES (-1::bigint), (-9223372036854775808), (9223372036854775807)) AS v (version),
    pg_temp.attempt(format('SELECT gundb.append(''moves'', ''A'', key => ''order-2'', expected_version => %L)', version)) AS a;
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('moves', 'A', expected_version => 0)$$);
-- In a transaction, its own events count, and what it rolled back does not.
BEGIN;
SELECT version FROM gundb.append('moves', 'A', key => 'order-3', expected_version => 0);
SAVEPOINT s;
SELECT version FROM gundb.append('moves', 'B', key => 'order-3', expected_version => 1);
ROLLBACK TO s;
SELECT version FROM gundb.append('moves', 'C', key => 'order-3', expected_version => 1);
COMMIT;
SELECT array_agg(type) FROM gundb.history('moves', 'order-3');

-- ---------------------------------------------------------------------------------------------------------------------
-- depends_on: only after what this site holds
-- ---------------------------------------------------------------------------------------------------------------------

SELECT duplicate FROM gundb.append('moves', 'A', depends_on => '{}');
SELECT duplicate FROM gundb.append('moves', 'A', depends_on => gundb.site_clock());
SELECT duplicate FROM gundb.append('moves', 'A', depends_on => (SELECT gundb.clock_of(dot) FROM gundb.read('paid')));
SELECT state, answer, detail, hint FROM pg_temp.attempt($$SELECT gundb.append('moves', 'A', depends_on => '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}')$$);
-- Known streams, lanes, and one event too far.
SELECT state, detail LIKE '%/' || (SELECT max(seq) + 1 FROM paid) AS names_it FROM pg_temp.attempt(format('SELECT gundb.append(''moves'', ''A'', depends_on => %L)',
    (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('paid'), lane, seq + 1)) FROM paid)));
-- What this very transaction appended is held.
BEGIN;
SELECT duplicate FROM gundb.append('paid', 'First');
SELECT duplicate FROM gundb.append('moves', 'Second', depends_on => (SELECT gundb.clock_of(dot) FROM gundb.read('paid') WHERE type = 'First'));
COMMIT;

-- ---------------------------------------------------------------------------------------------------------------------
-- append_batch
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('batch');
SELECT gundb.seq_of(dot) AS seq, version, duplicate FROM gundb.append_batch('batch', '[
    {"type": "A"},
    {"type": "B", "data": {"n": 1}, "key": "k", "meta": {"by": "ann"}, "id": "00000000-0000-0000-0000-000000000001", "expected_version": 0},
    {"type": "C", "key": "k", "expected_version": 1},
    {"type": "B", "data": {"n": 1}, "key": "k", "meta": {"by": "ann"}, "id": "00000000-0000-0000-0000-000000000001"}]');
SELECT seq, type, key, data, meta FROM batch ORDER BY seq;
SELECT count(DISTINCT xact) AS transactions, count(DISTINCT hlc) AS stamps FROM batch;
SELECT count(*) FROM gundb.append_batch(stream => 'batch', events => '[]', depends_on => NULL);
-- Null is "not given" for what an event can do without.
SELECT gundb.seq_of(dot) AS seq FROM gundb.append_batch('batch', '[{"type": "D", "key": null, "id": null, "expected_version": null}]');
-- All or none.
SELECT batch, a.state, a.answer, a.hint FROM (VALUES
    ('null'), ('{}'), ('"A"'), ('1'), ('[1]'), ('[null]'), ('[[]]'), ('[{}]'), ('[{"type": null}]'), ('[{"type": "A"}, {"typ": "A"}]'),
    ('[{"type": "A", "datum": {}}]'), ('[{"type": "A", "seq": 1}]'), ('[{"type": "A", "meta": []}]'),
    ('[{"type": "A", "id": "00000000-0000-0000-0000-000000000001"}]'),
    ('[{"type": "A"}, {"type": "A", "key": "k", "expected_version": 7}]'), ('[{"type": "A", "key": "k", "expected_version": -1}]'),
    ('[{"type": "A", "expected_version": 0}]')) AS v (batch),
    pg_temp.attempt(format('SELECT gundb.append_batch(''batch'', %L)', batch)) AS a;
SELECT batch, a.state <> '00000' AS refused, a.answer LIKE 'event 1 of the batch%' AS says_where FROM (VALUES
    ('[{"type": "A", "id": "nonsense"}]'), ('[{"type": "A", "id": 5}]'), ('[{"type": "A", "expected_version": "one"}]'),
    ('[{"type": "A", "expected_version": 1.5}]'), ('[{"type": "A", "expected_version": 9223372036854775808}]'),
    ('[{"type": 5}]'), ('[{"type": {}}]'), ('[{"type": "A", "key": 5}]'), ('[{"type": "A", "key": {}}]')) AS v (batch),
    pg_temp.attempt(format('SELECT gundb.append_batch(''batch'', %L)', batch)) AS a;
SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.append_batch('batch', NULL)$$)
UNION ALL SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.append_batch(NULL, '[]')$$)
UNION ALL SELECT state, hint FROM pg_temp.attempt($$SELECT gundb.append_batch('bach', '[]')$$)
UNION ALL SELECT state, answer FROM pg_temp.attempt($$SELECT gundb.append_batch('batch', '[]', depends_on => '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}')$$);
SELECT max(seq), count(*) FROM batch;
-- A great batch, in one statement.
SELECT count(*), min(gundb.seq_of(dot)), max(gundb.seq_of(dot))
FROM gundb.append_batch('batch', (SELECT jsonb_agg(jsonb_build_object('type', 'Many', 'data', jsonb_build_object('n', n))) FROM generate_series(1, 10000) AS n));
SELECT count(*), count(DISTINCT xact) FROM batch WHERE type = 'Many';

-- Lanes are whole.
SELECT count(*) FROM gundb.verify();
SELECT bool_and(rows = events) AS exact FROM gundb.stream JOIN (
    SELECT 'moves' AS name, count(*) AS events FROM moves UNION ALL SELECT 'paid', count(*) FROM paid UNION ALL SELECT 'batch', count(*) FROM batch) AS c USING (name);

-- What is there already is flushed before that is said, also where the log stands at the beginning of a page.
SELECT (gundb.append('moves', 'Again', id => '00000000-0000-7000-8000-00000000a9a1')).duplicate;
SELECT pg_switch_wal() IS NOT NULL AS switched \; SELECT (gundb.append('moves', 'Again', id => '00000000-0000-7000-8000-00000000a9a1')).duplicate;
