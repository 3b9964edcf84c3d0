-- What an event's author had seen: contexts, order, sorting; dots and their names; digests.
--
-- The events of other sites stand here as a dump brings them: tables first, then rows with their coordinates.
\i include/attempt.sql

CREATE TABLE moves () INHERITS (gundb.event);
ALTER TABLE moves ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON moves (id, site, ((lane::bigint) >> 16));
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON moves FOR EACH ROW EXECUTE FUNCTION gundb.stamp('moves');
ALTER TABLE moves ENABLE ALWAYS TRIGGER zz_gundb_stamp;
CREATE TABLE gundb.definition () INHERITS (gundb.event);
ALTER TABLE gundb.definition ADD PRIMARY KEY (site, lane, seq);
CREATE UNIQUE INDEX ON gundb.definition (id, site, ((lane::bigint) >> 16));
CREATE TRIGGER zz_gundb_stamp BEFORE INSERT ON gundb.definition FOR EACH ROW EXECUTE FUNCTION gundb.stamp('gundb');
ALTER TABLE gundb.definition ENABLE ALWAYS TRIGGER zz_gundb_stamp;
GRANT SELECT ON gundb.definition TO PUBLIC;

SELECT gundb.begin_restore();
-- Paris appends three events. Tokyo appends one before it has heard of Paris, one after it has seen the first two.
\set paris '11111111-1111-1111-1111-111111111111'
\set tokyo '22222222-2222-2222-2222-222222222222'
INSERT INTO moves (site, lane, seq, hlc, xact, epoch, id, chain, salt, type)
SELECT site::uuid, lane::gundb.lane, seq, hlc::gundb.hlc, hlc::gundb.hlc, epoch, md5(site || seq)::uuid, md5(site || seq)::gundb.chain, gen_random_uuid(), type
FROM (VALUES (:'paris', '000000000001-0', 1, '2020-01-01T00:00:00.001Z', 0, 'Paris 1'), (:'paris', '000000000001-0', 2, '2020-01-01T00:00:00.002Z', 0, 'Paris 2'),
             (:'tokyo', '000000000002-0', 1, '2020-01-01T00:00:00.003Z', 0, 'Tokyo 1'), (:'tokyo', '000000000002-0', 2, '2020-01-01T00:00:00.004Z', 1, 'Tokyo 2'),
             (:'paris', '000000000001-0', 3, '2020-01-01T00:00:00.005Z', 0, 'Paris 3')) AS v (site, lane, seq, hlc, epoch, type);
INSERT INTO gundb.epoch (site, run, number, clock) VALUES (:'paris', 1, 0, '{}'), (:'tokyo', 2, 0, '{}'),
    (:'tokyo', 2, 1, (SELECT gundb.clock_of(gundb.dot(site, gundb.stream_id('moves'), lane, seq)) FROM moves WHERE type = 'Paris 2'));
-- Two sites of one name, and one of another.
INSERT INTO gundb.definition (site, lane, seq, hlc, xact, epoch, id, chain, salt, type, key, data)
SELECT site::uuid, '000000000001-0', 1, '2020-01-01T00:00:00.000Z', '2020-01-01T00:00:00.000Z', 0, site::uuid, md5(site)::gundb.chain, gen_random_uuid(),
       'SiteNamed', site, jsonb_build_object('site', site, 'name', name)
FROM (VALUES (:'paris', 'paris'), (:'tokyo', 'tokyo'), ('33333333-3333-3333-3333-333333333333', 'paris')) AS v (site, name);
SELECT gundb.end_restore();
SELECT site, name, own, runs, since FROM gundb.site ORDER BY site;
CREATE VIEW dots AS SELECT type, gundb.dot(site, gundb.stream_id('moves'), lane, seq) AS dot, hlc FROM moves;
CREATE FUNCTION dot_of(wanted text) RETURNS gundb.dot LANGUAGE sql AS 'SELECT dot FROM dots WHERE type = wanted';

-- ---------------------------------------------------------------------------------------------------------------------
-- context, happened_before, concurrent
-- ---------------------------------------------------------------------------------------------------------------------

SELECT e.type, (SELECT array_agg(d.type ORDER BY d.hlc) FROM dots d WHERE gundb.context(e) @> d.dot) AS seen FROM moves e ORDER BY hlc;
SELECT bool_and(gundb.context(e) = gundb.context(dot_of(type))) AS row_and_dot, bool_and(gundb.context(e) = gundb.context(e::gundb.event)) AS as_parent FROM moves e;
SELECT bool_and(gundb.context(event => e) = gundb.context(m)) AS from_parent FROM gundb.event e JOIN moves m USING (id);
SELECT a.type AS a, b.type AS b, gundb.happened_before(a, b) AS before, gundb.happened_before(b, a) AS after, gundb.concurrent(a, b) AS concurrent
FROM moves a, moves b WHERE a.hlc < b.hlc ORDER BY a.hlc, b.hlc;
-- Rows and dots agree; before, after and concurrent exclude each other; an event is not before itself, nor concurrent with itself.
SELECT bool_and(gundb.happened_before(a, b) = gundb.happened_before(dot_of(a.type), dot_of(b.type)) AND gundb.concurrent(a, b) = gundb.concurrent(a => dot_of(a.type), b => dot_of(b.type))) AS agree,
       bool_and(gundb.happened_before(a, b)::int + gundb.happened_before(b, a)::int + gundb.concurrent(a, b)::int + (a.id = b.id)::int = 1) AS exclude,
       bool_and(gundb.happened_before(a, b) = (gundb.context(b) @> dot_of(a.type))) AS as_context
FROM moves a, moves b;

-- This site's own events come after all that is here: of its own run, by stamp; of others and of earlier runs, by the epoch.
SELECT gundb.create_stream('paid');
INSERT INTO moves (type) VALUES ('Own 1');
BEGIN;
INSERT INTO paid (type) VALUES ('Paid');
INSERT INTO moves (type) VALUES ('Own 2');
COMMIT;
SELECT e.type, (SELECT count(*) FROM dots d WHERE gundb.context(e) @> d.dot) AS seen, gundb.context(e) @> gundb.dot(p.site, gundb.stream_id('paid'), p.lane, p.seq) AS the_payment
FROM moves e, paid p WHERE e.type LIKE 'Own%' ORDER BY e.hlc;
SELECT gundb.happened_before(a.dot, b.dot) FROM gundb.read('paid') AS a, dots AS b WHERE b.type = 'Own 2';
-- Total order is a linear extension.
SELECT bool_and(a.hlc < b.hlc) AS ordered FROM moves a, moves b WHERE gundb.happened_before(a, b);

SELECT statement, a.state, a.answer, a.hint FROM (VALUES ($$SELECT gundb.context(NULL::moves)$$), ($$SELECT gundb.context(NULL::gundb.dot)$$), ($$SELECT gundb.happened_before(NULL::gundb.dot, NULL)$$),
    ($$SELECT gundb.context(7)$$), ($$SELECT gundb.context(row(1, 2))$$), ($$SELECT gundb.context(n) FROM pg_namespace n$$), ($$SELECT gundb.concurrent('a'::text, 'b')$$),
    ($$SELECT gundb.context('11111111-1111-1111-1111-111111111111/33333333-3333-3333-3333-333333333333/9f3c01ab77e2-3/17'::gundb.dot)$$),
    ($$SELECT gundb.context(row(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::moves)$$)) AS v (statement), pg_temp.attempt(statement) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- causal_sort
-- ---------------------------------------------------------------------------------------------------------------------

-- Of events held here, in whatever order they are given.
SELECT bool_and(NOT gundb.happened_before(b.dot, a.dot)) AS sorted, count(*) > 0 AS some
FROM gundb.causal_sort((SELECT array_agg(dot ORDER BY md5(type)) FROM dots)) AS a JOIN gundb.causal_sort((SELECT array_agg(dot ORDER BY md5(type)) FROM dots)) AS b ON a.place < b.place;
SELECT place, type FROM gundb.causal_sort((SELECT array_agg(dot ORDER BY type DESC) FROM dots WHERE type LIKE '% 2' OR type LIKE 'Paris%')) JOIN dots USING (dot) ORDER BY place;
-- By contexts that are given, for events held elsewhere: a saw b, b saw c.
\set a '11111111-1111-1111-1111-111111111111/33333333-3333-3333-3333-333333333333/000000000001-0/1'
\set b '22222222-2222-2222-2222-222222222222/33333333-3333-3333-3333-333333333333/000000000001-0/1'
\set c '44444444-4444-4444-4444-444444444444/33333333-3333-3333-3333-333333333333/000000000001-0/1'
SELECT gundb.clock_of(:'b') AS saw_b, gundb.clock_of(:'c') AS saw_c \gset
SELECT place, left(dot::text, 4) AS dot FROM gundb.causal_sort(dots => ARRAY[:'a', :'b', :'c']::gundb.dot[], contexts => ARRAY[:'saw_b', :'saw_c', '{}']::gundb.clock[]) ORDER BY place;
-- Ties by dot.
SELECT place, left(dot::text, 4) AS dot FROM gundb.causal_sort(ARRAY[:'c', :'b', :'a']::gundb.dot[], ARRAY['{}', '{}', '{}']::gundb.clock[]) ORDER BY place;
SELECT place, left(dot::text, 4) AS dot FROM gundb.causal_sort(ARRAY[:'c', :'b', :'a']::gundb.dot[], ARRAY['{}', NULL, NULL]::gundb.clock[]) ORDER BY place;
-- A cycle is an error that names its events.
SELECT a.* FROM pg_temp.attempt(format('SELECT gundb.causal_sort(ARRAY[%L, %L, %L]::gundb.dot[], ARRAY[gundb.clock_of(%2$L), gundb.clock_of(%1$L), ''{}''])', :'a', :'b', :'c')) AS a;
SELECT a.state, a.detail FROM pg_temp.attempt(format('SELECT gundb.causal_sort(ARRAY[%L]::gundb.dot[], ARRAY[gundb.clock_of(%1$L)])', :'a')) AS a;
SELECT count(*) FROM gundb.causal_sort('{}');
SELECT count(*) FROM gundb.causal_sort(ARRAY[:'a', :'a']::gundb.dot[], ARRAY['{}', '{}']::gundb.clock[]);
SELECT a.state, a.answer FROM (VALUES ($$SELECT gundb.causal_sort(NULL)$$), ($$SELECT gundb.causal_sort(ARRAY[NULL]::gundb.dot[])$$), (format('SELECT gundb.causal_sort(ARRAY[%L]::gundb.dot[])', :'c')),
    (format('SELECT gundb.causal_sort(ARRAY[%L]::gundb.dot[], ''{}'')', :'c'))) AS v (statement), pg_temp.attempt(statement) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- Dots with names
-- ---------------------------------------------------------------------------------------------------------------------

SELECT type, gundb.dot_name(dot) FROM dots WHERE type LIKE 'Tokyo%' ORDER BY type;
SELECT gundb.dot_named('tokyo/moves/000000000002-0/1') = dot_of('Tokyo 1') AS same, gundb.dot_named(name => gundb.dot_name(dot => dot_of('Tokyo 2'))) = dot_of('Tokyo 2') AS there_and_back;
-- A name that two sites bear is no name.
SELECT statement, a.* FROM (VALUES ($$SELECT gundb.dot_name(dot_of('Paris 1'))$$), ($$SELECT gundb.dot_named('paris/moves/000000000001-0/1')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT gundb.dot_named('11111111-1111-1111-1111-111111111111/moves/000000000001-0/1') = dot_of('Paris 1') AS by_uuid;
-- What dot_name prints, dot_named reads: of a site without a name, of a stream that is not here, of a site named like a uuid.
SELECT what, a.state, a.answer AS same FROM (VALUES ('own, unnamed', format('SELECT gundb.dot_named(gundb.dot_name(d)) = d FROM (SELECT dot_of(%L)) AS v (d)', 'Own 1')),
    ('another, unnamed', format('SELECT gundb.dot_named(gundb.dot_name(d)) = d FROM (SELECT gundb.dot(%L, gundb.stream_id(%L), %L, 7)) AS v (d)', '55555555-5555-5555-5555-555555555555', 'moves', '000000000001-0')),
    ('stream not here', format('SELECT gundb.dot_named(gundb.dot_name(d)) = d FROM (SELECT gundb.dot(%L, gundb.stream_id(%L), %L, 7)) AS v (d)', :'tokyo', 'elsewhere', '000000000001-0'))) AS v (what, statement),
    pg_temp.attempt(statement) AS a;
SELECT gundb.set_site_name('berlin');
SELECT gundb.dot_name(dot_of('Own 1')) LIKE 'berlin/moves/%-_/1' AS named;
SELECT gundb.dot_name(NULL), gundb.dot_named(NULL);
SELECT name, a.state, a.answer FROM unnest(ARRAY['', '/', 'berlin', 'berlin/moves', 'berlin/moves/1', 'berlin/moves/000000000001-0/0', 'berlin/moves/000000000001-0/-1', 'berlin/moves/000000000001-0/x',
    'berlin/moves/000000000001/1', 'berlin//000000000001-0/1', 'rome/moves/000000000001-0/1', 'berlin/moves/000000000001-0/99999999999999999999', 'berlin/moves/000000000001-0/+1', 'berlin/moves/000000000001-0/01']) AS name,
    pg_temp.attempt(format('SELECT gundb.dot_named(%L) IS NOT NULL', name)) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- Digests
-- ---------------------------------------------------------------------------------------------------------------------

-- Of what is held; moved by each event, and by nothing else.
SELECT gundb.digest() AS of_all, gundb.digest('moves') AS of_moves, gundb.digest('paid') AS of_paid, gundb.site_clock() AS clock \gset
SELECT gundb.digest() = :'of_all' AS same, gundb.digest(stream => NULL, clock => NULL) = :'of_all' AS of_null, gundb.digest('moves') <> gundb.digest('paid') AS of_stream;
INSERT INTO moves (type) VALUES ('Own 3');
SELECT gundb.digest() <> :'of_all' AS moved, gundb.digest('moves') <> :'of_moves' AS of_moves, gundb.digest('paid') = :'of_paid' AS paid_is_as_it_was;
SELECT gundb.digest(clock => :'clock') = :'of_all' AS as_of_then, gundb.digest('moves', :'clock') = :'of_moves' AS moves_as_of_then, gundb.digest(clock => gundb.site_clock()) = gundb.digest() AS now;
SELECT gundb.digest(clock => '{}') = gundb.digest('paid', '{}') AS of_nothing;
SELECT a.state, a.answer FROM (VALUES ($$SELECT gundb.digest('move')$$), ($$SELECT gundb.digest(clock => '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}')$$),
    ($$SELECT gundb.digest('moves', '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 3}}}') = gundb.digest('moves', '{}')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
BEGIN;
SELECT gundb.digest() AS before \gset
INSERT INTO moves (type) VALUES ('Undone');
ROLLBACK;
SELECT gundb.digest() = :'before' AS as_before;
