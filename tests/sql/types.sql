-- The types hlc, lane, chain, dot and clock: text, order, casts, operators, bad input.
\i include/attempt.sql
SET DateStyle = ISO;
SET TimeZone = 'UTC';

-- ---------------------------------------------------------------------------------------------------------------------
-- hlc
-- ---------------------------------------------------------------------------------------------------------------------

SELECT '2026-11-23T00:41:07.123Z-0005'::gundb.hlc;
-- The counter may be left out.
SELECT '2026-11-23T00:41:07.123Z'::gundb.hlc;
-- The first and the last there are.
SELECT '1970-01-01T00:00:00.000Z-0000'::gundb.hlc, '9999-12-31T23:59:59.999Z-ffff'::gundb.hlc;
-- A leap day, upper-case digits.
SELECT '2024-02-29T12:00:00.000Z-00AF'::gundb.hlc;

-- Binary: 48 bits of milliseconds, 16 of counter.
SELECT encode(gundb.hlc_send('1970-01-01T00:00:00.001Z-0005'), 'hex');

-- Order: the counter breaks ties, texts sort as stamps do.
SELECT array_agg(h ORDER BY h) AS by_stamp, array_agg(h ORDER BY h::text COLLATE "C") = array_agg(h ORDER BY h) AS as_text
FROM unnest(ARRAY['2026-01-01T00:00:00.001Z-0000', '2026-01-01T00:00:00.000Z-0010', '2026-01-01T00:00:00.000Z-0009',
                  '1999-12-31T23:59:59.999Z-ffff']::gundb.hlc[]) AS h;
SELECT a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt
FROM (VALUES ('2026-01-01T00:00:00.000Z-0001'::gundb.hlc, '2026-01-01T00:00:00.000Z-0002'::gundb.hlc)) AS v (a, b);
SELECT min(h), max(h), count(DISTINCT h)
FROM unnest(ARRAY['2026-01-01T00:00:00.000Z-0001', '2026-01-01T00:00:00.000Z-0002', '2026-01-01T00:00:00.000Z-0001']::gundb.hlc[]) AS h;

-- Casts to and from time. From a time gives the first stamp of its millisecond.
SELECT '2026-11-23 01:41:07.123999+01'::timestamptz::gundb.hlc;
SELECT '2026-11-23T00:41:07.123Z-0005'::gundb.hlc::timestamptz;
SELECT '1970-01-01 00:00:00+00'::timestamptz::gundb.hlc, '9999-12-31 23:59:59.999999+00'::timestamptz::gundb.hlc;
SELECT t, a.state, a.answer FROM unnest(ARRAY['1969-12-31 23:59:59.999999+00', '10000-01-01 00:00:00+00', 'infinity', '-infinity']) AS t,
    pg_temp.attempt(format('SELECT %L::timestamptz::gundb.hlc', t)) AS a;

-- An index serves a condition on time.
CREATE TABLE stamps AS
    SELECT ('2026-01-01 00:00:00+00'::timestamptz + i * interval '1 second')::gundb.hlc AS h FROM generate_series(1, 10000) AS i;
CREATE INDEX ON stamps (h);
ANALYZE stamps;
EXPLAIN (COSTS off) SELECT * FROM stamps WHERE h >= '2026-01-01 02:46:35+00'::timestamptz::gundb.hlc;
SELECT count(*) FROM stamps WHERE h >= '2026-01-01 02:46:35+00'::timestamptz::gundb.hlc;
DO $$
DECLARE line text;
BEGIN
    FOR line IN EXPLAIN (COSTS off) SELECT max(h) FROM stamps LOOP
        CONTINUE WHEN line NOT LIKE '%Scan%';
        RAISE NOTICE '%', trim(line);
    END LOOP;
END $$;
SELECT max(h) FROM stamps;
SET enable_mergejoin = off; SET enable_nestloop = off;
SELECT count(*) FROM stamps a JOIN stamps b USING (h);
SET enable_hashjoin = off; SET enable_mergejoin = on;
SELECT count(*) FROM stamps a JOIN stamps b USING (h);
RESET enable_mergejoin; RESET enable_nestloop; RESET enable_hashjoin;

SELECT coalesce(nullif(left(t, 60), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', ' ', 'yesterday', '2026-11-23', '2026-11-23 00:41:07.123Z', '2026-11-23T00:41:07Z',
                  '2026-11-23T00:41:07.1234Z', '2026-11-23T00:41:07.123', '2026-11-23T00:41:07.123+01',
                  '2026-11-23T00:41:07.123Z-', '2026-11-23T00:41:07.123Z-5', '2026-11-23T00:41:07.123Z-00005',
                  '2026-11-23T00:41:07.123Z-000g', '2026-11-23T00:41:07.123Z-+005', '2026-11-23T00:41:07.123Z-0005 ',
                  '2026-13-01T00:00:00.000Z', '2026-02-29T00:00:00.000Z', '2026-01-01T24:00:00.000Z',
                  '2026-01-01T23:59:60.000Z', '1969-12-31T23:59:59.999Z', '10000-01-01T00:00:00.000Z',
                  '２０26-01-01T00:00:00.000Z', repeat('9', 100000)]) AS t,
    pg_temp.attempt(format('SELECT %L::gundb.hlc', t)) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- lane
-- ---------------------------------------------------------------------------------------------------------------------

SELECT '9f3c01ab77e2-3'::gundb.lane, '000000000001-0'::gundb.lane, 'FFFFFFFFFFFF-65535'::gundb.lane;
SELECT encode(gundb.lane_send('9f3c01ab77e2-3'), 'hex');
-- Ordered by run, then number: as numbers, not as text.
SELECT array_agg(l ORDER BY l)
FROM unnest(ARRAY['000000000002-0', '000000000001-10', '000000000001-9']::gundb.lane[]) AS l;
SELECT a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt
FROM (VALUES ('9f3c01ab77e2-3'::gundb.lane, '9f3c01ab77e2-3'::gundb.lane)) AS v (a, b);

SELECT coalesce(nullif(left(t, 60), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', '-', '3', '9f3c01ab77e2', '9f3c01ab77e2-', '-3', '9f3c01ab77e2-03', '9f3c01ab77e2-65536',
                  '9f3c01ab77e2--1', '9f3c01ab77e2-3-3', '9f3c01ab77e-3', '09f3c01ab77e2-3', '9f3c01ab77eg-3',
                  '000000000000-3', ' 9f3c01ab77e2-3', '9f3c01ab77e2-3 ', '9f3c01ab77e2-३', repeat('f', 100000)]) AS t,
    pg_temp.attempt(format('SELECT %L::gundb.lane', t)) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- chain
-- ---------------------------------------------------------------------------------------------------------------------

SELECT '00112233445566778899aabbccddeeff'::gundb.chain, '00112233445566778899AABBCCDDEEFF'::gundb.chain;
SELECT '00112233445566778899aabbccddeeff'::gundb.chain = '00112233445566778899aabbccddeeff' AS eq,
       '00112233445566778899aabbccddeeff'::gundb.chain <> '00112233445566778899aabbccddeefe' AS ne;
SELECT '00112233445566778899aabbccddeeff'::gundb.chain::uuid;
SELECT encode(gundb.chain_send('00112233445566778899aabbccddeeff'), 'hex');

SELECT coalesce(nullif(left(t, 60), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', '0', '00112233445566778899aabbccddeef', '00112233445566778899aabbccddeeff0',
                  '00112233-4455-6677-8899-aabbccddeeff', '0011223344556677 899aabbccddeefg', repeat('0', 100000)]) AS t,
    pg_temp.attempt(format('SELECT %L::gundb.chain', t)) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- dot
-- ---------------------------------------------------------------------------------------------------------------------

SELECT '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/17'::gundb.dot;
SELECT gundb.dot('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', '9f3c01ab77e2-3', 17);
SELECT gundb.site_of(d), gundb.stream_of(d), gundb.lane_of(d), gundb.seq_of(d), octet_length(gundb.dot_send(d))
FROM (VALUES ('11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/9223372036854775807'::gundb.dot)) AS v (d);

-- Ordered by site, stream, lane, seq; usable as a key.
CREATE TABLE dots (d gundb.dot PRIMARY KEY);
INSERT INTO dots
    SELECT gundb.dot(('00000000-0000-0000-0000-00000000000' || s)::uuid, ('00000000-0000-0000-0000-00000000000' || t)::uuid,
                     ('00000000000' || r || '-' || l)::gundb.lane, q)
    FROM unnest(ARRAY[2, 1]) s, unnest(ARRAY[2, 1]) t, unnest(ARRAY[2, 1]) r, unnest(ARRAY[10, 9]) l, unnest(ARRAY[10, 9]) q;
SELECT bool_and(row(gundb.site_of(a), gundb.stream_of(a), gundb.lane_of(a), gundb.seq_of(a))
                < row(gundb.site_of(b), gundb.stream_of(b), gundb.lane_of(b), gundb.seq_of(b))) AS in_order, count(*)
FROM (SELECT d, lead(d) OVER (ORDER BY d) FROM dots) AS v (a, b) WHERE b IS NOT NULL;
INSERT INTO dots SELECT d FROM dots ORDER BY d LIMIT 1;
SELECT a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt
FROM (VALUES (gundb.dot('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', '9f3c01ab77e2-3', 1),
              gundb.dot('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', '9f3c01ab77e2-3', 2))) AS v (a, b);
SELECT count(*) FROM (SELECT d FROM dots UNION SELECT d FROM dots) AS hashed;

-- Runs and numbers have no sign: the lane of a great run comes last, in the order of lane and in that of dot.
SELECT 'ffffffffffff-0'::gundb.lane > '000000000001-0'::gundb.lane AS lane,
       gundb.dot('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', 'ffffffffffff-0', 1) >
       gundb.dot('11111111-1111-1111-1111-111111111111', '22222222-2222-2222-2222-222222222222', '000000000001-0', 1) AS dot;

SELECT coalesce(nullif(left(t, 60), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', '/', '///', '////', '11111111-1111-1111-1111-111111111111',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/0',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/-1',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/01',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/9223372036854775808',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/1/',
                  '11111111-1111-1111-1111-111111111111/22222222-2222-2222-2222-222222222222/3/1',
                  '11111111-1111-1111-1111-111111111111/stock_moves/9f3c01ab77e2-3/1',
                  'paris/22222222-2222-2222-2222-222222222222/9f3c01ab77e2-3/1', repeat('/', 100000)]) AS t,
    pg_temp.attempt(format('SELECT %L::gundb.dot', t)) AS a;
SELECT seq, a.state, a.answer FROM unnest(ARRAY[0, -1, -9223372036854775808]) AS seq,
    pg_temp.attempt(format('SELECT gundb.dot(%L, %L, %L, %L)', '11111111-1111-1111-1111-111111111111',
                           '22222222-2222-2222-2222-222222222222', '9f3c01ab77e2-3', seq)) AS a;

-- A stream's uuid is of version 5, and of its name alone.
SELECT gundb.stream_id('stock_moves'), gundb.stream_id('stock_moves') <> gundb.stream_id('Stock_moves') AS of_case;

-- ---------------------------------------------------------------------------------------------------------------------
-- clock
-- ---------------------------------------------------------------------------------------------------------------------

\set s1 '11111111-1111-1111-1111-111111111111'
\set s2 '22222222-2222-2222-2222-222222222222'
\set t1 '33333333-3333-3333-3333-333333333333'
\set t2 '44444444-4444-4444-4444-444444444444'
CREATE TABLE clocks (name text PRIMARY KEY, c gundb.clock NOT NULL);
INSERT INTO clocks VALUES
    ('empty', '{}'),
    ('a3', format('{"%s": {"%s": {"9f3c01ab77e2-3": 3}}}', :'s1', :'t1')::gundb.clock),
    ('a5', format('{"%s": {"%s": {"9f3c01ab77e2-3": 5}}}', :'s1', :'t1')::gundb.clock),
    ('b1', format('{"%s": {"%s": {"000000000001-0": 1}}}', :'s2', :'t2')::gundb.clock),
    ('a3b1', format('{"%s": {"%s": {"000000000001-0": 1}}, "%s": {"%s": {"9f3c01ab77e2-3": 3}}}', :'s2', :'t2', :'s1', :'t1')::gundb.clock);
-- Printed in one way, whatever order it was written in.
SELECT name, c FROM clocks ORDER BY name;
SELECT ' { } '::gundb.clock, c = (c::text)::gundb.clock AS text, c = (c::jsonb)::gundb.clock AS jsonb FROM clocks WHERE name = 'a3b1';

-- A partial order: a5 and b1 are concurrent, and so are a5 and a3b1.
SELECT a.name, b.name, a.c < b.c AS lt, a.c <= b.c AS le, a.c = b.c AS eq, a.c <> b.c AS ne, a.c >= b.c AS ge, a.c > b.c AS gt,
       gundb.concurrent(a.c, b.c)
FROM clocks a, clocks b ORDER BY 1, 2;

-- Join, meet, difference.
SELECT a.c || b.c AS "join", gundb.clock_meet(a.c, b.c), gundb.clock_difference(a.c, b.c)
FROM clocks a, clocks b WHERE a.name = 'a5' AND b.name = 'a3b1';
SELECT bool_and(a.c || b.c = b.c || a.c) AS commutes, bool_and((a.c || b.c) || d.c = a.c || (b.c || d.c)) AS associates,
       bool_and(a.c || a.c = a.c) AS idempotent, bool_and(a.c <= a.c || b.c) AS covers,
       bool_and(gundb.clock_meet(a.c, a.c || b.c) = a.c) AS absorbs,
       bool_and(gundb.clock_difference(a.c, b.c) || gundb.clock_meet(a.c, b.c) = a.c) AS parts
FROM clocks a, clocks b, clocks d;

-- Covering a dot.
SELECT seq, c @> gundb.dot(:'s1', :'t1', '9f3c01ab77e2-3', seq) AS covers, c @> gundb.dot(:'s2', :'t1', '9f3c01ab77e2-3', seq) AS elsewhere
FROM clocks, unnest(ARRAY[1, 3, 4, 9223372036854775807]) AS seq WHERE name = 'a3' ORDER BY 1;

-- Entries, and the least clock that covers dots.
SELECT (gundb.clock_entries(c)).* FROM clocks WHERE name = 'a3b1';
SELECT gundb.clock_of(d) FROM (VALUES (gundb.dot(:'s1', :'t1', '9f3c01ab77e2-3', 3)), (gundb.dot(:'s1', :'t1', '9f3c01ab77e2-3', 2)), (NULL)) AS v (d);
SELECT gundb.clock_of(d) FROM (SELECT NULL::gundb.dot WHERE false) AS none (d);
SELECT gundb.clock_of(d) = (SELECT gundb.clock_of(d) FROM dots d) AS grouped FROM (SELECT d FROM dots ORDER BY d DESC) AS v (d);

-- Digests tell clocks apart, and only them.
SELECT bool_and((gundb.clock_digest(a.c) = gundb.clock_digest(b.c)) = (a.c = b.c)) AS as_equality FROM clocks a, clocks b;

SELECT coalesce(nullif(left(t, 60), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', 'null', '[]', '1', '"{}"', '{', '{}}', '{} x', '{"paris": {}}', '{"11111111-1111-1111-1111-111111111111": 1}',
                  '{"11111111-1111-1111-1111-111111111111": {"stock_moves": {}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": 1}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"3": 1}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 0}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": -1}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 1.5}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 1e3}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": "1"}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": null}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 9223372036854775808}}}',
                  '{"11111111-1111-1111-1111-111111111111": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": 1, "9f3c01ab77e2-3": 2}}}',
                  repeat('{"a":', 100000), repeat('[', 100000)]) AS t,
    pg_temp.attempt(format('SELECT %L::gundb.clock', t)) AS a;

-- A clock of many entries is read in time that grows with it, and comes back the same.
CREATE TABLE great AS
    SELECT ('{' || string_agg(format('"%s": {"33333333-3333-3333-3333-333333333333": {"9f3c01ab77e2-3": %s}}', md5(i::text)::uuid, i), ', ') || '}') AS literal
    FROM generate_series(1, 100000) AS i;
SELECT count(*), sum(e.seq) FROM great, gundb.clock_entries(literal::gundb.clock) AS e;
SELECT literal::gundb.clock = (literal::gundb.clock)::text::gundb.clock AS same FROM great;

-- ---------------------------------------------------------------------------------------------------------------------
-- Binary COPY: what one wrote another reads; what is damaged is refused, and the backend lives.
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE all_types (h gundb.hlc, l gundb.lane, ch gundb.chain, d gundb.dot, c gundb.clock);
INSERT INTO all_types
    SELECT '2026-11-23T00:41:07.123Z-0005', '9f3c01ab77e2-3', '00112233445566778899aabbccddeeff',
           gundb.dot(:'s1', :'t1', '9f3c01ab77e2-3', 3), c
    FROM clocks;
INSERT INTO all_types DEFAULT VALUES;
CREATE TABLE copied (LIKE all_types);
-- The program runs in the server's data directory.
COPY all_types TO PROGRAM 'cat > types.bin' (FORMAT binary);
COPY copied FROM PROGRAM 'cat types.bin' (FORMAT binary);
SELECT count(*) AS copied_alike FROM all_types a JOIN copied b ON a.h = b.h AND a.l = b.l AND a.ch = b.ch AND a.d = b.d AND a.c = b.c;

-- receive(type, bytes): what the type's binary input makes of these bytes.
CREATE FUNCTION pg_temp.receive(type text, bytes bytea, OUT state text, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
    file bytea := '\x5047434f50590aff0d0a00' || '\x0000000000000000'::bytea || '\x0001'::bytea
                  || int4send(octet_length(bytes)) || bytes || '\xffff'::bytea;
    program text;
BEGIN
    SELECT 'printf ''' || string_agg(format('\%s%s%s', byte / 64, byte / 8 % 8, byte % 8), '' ORDER BY i) || ''''
      INTO program
      FROM generate_series(0, octet_length(file) - 1) AS i, get_byte(file, i) AS byte;
    EXECUTE format('CREATE TEMP TABLE received (value %s)', type);
    SELECT a.state, a.answer INTO state, answer
      FROM pg_temp.attempt(format('COPY received FROM PROGRAM %L (FORMAT binary)', program)) AS a;
    IF state = '00000' THEN
        SELECT value::text INTO answer FROM received;
    END IF;
    DROP TABLE received;
END
$$;

-- A day of the year 9999 and the one after; no run 0; seqs from 1.
SELECT type, left(encode(bytes, 'hex'), 40) AS bytes, octet_length(bytes), r.*
FROM (VALUES
    ('gundb.hlc', '\x'::bytea), ('gundb.hlc', '\x00'), ('gundb.hlc', '\x00000000000000'), ('gundb.hlc', '\x000000000001000500'),
    ('gundb.hlc', '\x0000000000010005'), ('gundb.hlc', '\xffffffffffffffff'), ('gundb.hlc', '\x8000000000000000'),
    ('gundb.lane', '\x'), ('gundb.lane', '\x9f3c01ab77e200'), ('gundb.lane', '\x9f3c01ab77e20003'), ('gundb.lane', '\x0000000000000003'),
    ('gundb.lane', '\x9f3c01ab77e2000300'),
    ('gundb.chain', '\x'), ('gundb.chain', '\x00112233445566778899aabbccddee'), ('gundb.chain', '\x00112233445566778899aabbccddeeff00'),
    ('gundb.dot', '\x'), ('gundb.dot', gundb.dot_send((SELECT min(d::text) FROM dots)::gundb.dot)),
    ('gundb.dot', overlay(gundb.dot_send((SELECT min(d::text) FROM dots)::gundb.dot) PLACING '\x0000000000000000' FROM 41)),
    ('gundb.dot', overlay(gundb.dot_send((SELECT min(d::text) FROM dots)::gundb.dot) PLACING '\xffffffffffffffff' FROM 41)),
    ('gundb.dot', overlay(gundb.dot_send((SELECT min(d::text) FROM dots)::gundb.dot) PLACING '\x000000000000' FROM 33)),
    ('gundb.dot', gundb.dot_send((SELECT min(d::text) FROM dots)::gundb.dot) || '\x00'),
    ('gundb.clock', '\x'), ('gundb.clock', '\x00'), ('gundb.clock', '\xff'), ('gundb.clock', decode(repeat('ff', 100), 'hex')),
    ('gundb.clock', (SELECT gundb.clock_send(c) FROM clocks WHERE name = 'empty')),
    ('gundb.clock', (SELECT gundb.clock_send(c) || '\x00' FROM clocks WHERE name = 'a3'))
) AS v (type, bytes), pg_temp.receive(type, bytes) AS r;

-- Whatever one byte of a clock is changed to, or wherever it is cut off: another clock, or 22P03.
SELECT DISTINCT r.state
FROM (SELECT gundb.clock_send(c) FROM clocks WHERE name = 'a3b1') AS v (bytes),
     generate_series(0, octet_length(bytes) - 1) AS i, unnest(ARRAY[0, 1, 127, 128, 255]) AS byte,
     pg_temp.receive('gundb.clock', set_byte(bytes, i, byte)) AS r
WHERE r.state NOT IN ('00000', '22P03');
SELECT DISTINCT r.state
FROM (SELECT gundb.clock_send(c) FROM clocks WHERE name = 'a3b1') AS v (bytes),
     generate_series(0, octet_length(bytes) - 1) AS i,
     pg_temp.receive('gundb.clock', substr(bytes, 1, i)) AS r;
