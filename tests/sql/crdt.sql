-- CRDT values: what each kind means in SQL, how they merge with values of other sites, and what is refused.
\i include/attempt.sql

-- Two other sites, as their texts name them; and this one, hidden, since its id is drawn.
\set paris '0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000001000000aa'
\set tokyo '11111111-1111-1111-1111-111111111111/00000002000000bb'
CREATE FUNCTION pg_temp.shown(text text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(replace(text, gundb.site_id()::text, 'here'), 'here/[0-9a-f]{16}',
        'here/…', 'g'), '\d{4}-\d\d-\d\dT[\d:.]+Z-[0-9a-f]{4}', 'now', 'g') $$;
-- The first act of all draws the site, whoever acts; so it cannot be read-only.
CREATE ROLE gundb_visitor;
SET ROLE gundb_visitor;
BEGIN READ ONLY;
SELECT ('{}'::gundb.gset || gundb.add('{}'::gundb.gset, 'x'))::text[];
SELECT a.state, a.answer FROM pg_temp.attempt($$SELECT '{}'::gundb.gcounter + 1$$) AS a;
COMMIT;
SELECT ('{}'::gundb.gcounter + 1)::bigint;
RESET ROLE;
SELECT gundb.replica() ~ ('^' || gundb.site_id() || '/[0-9a-f]{5}0{11}$') AS replica;

-- ---------------------------------------------------------------------------------------------------------------------
-- All kinds alike
-- ---------------------------------------------------------------------------------------------------------------------

-- Empty: '{}' or its text. Worth, size, bytes.
CREATE TABLE kinds (kind text PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY);
INSERT INTO kinds (kind) VALUES ('gcounter'), ('pncounter'), ('bcounter'), ('lww'), ('mv'), ('gset'), ('set'), ('rw_set'), ('flag'), ('dw_flag'), ('map');
SELECT kind, e.answer AS empty, w.answer AS worth, j.answer AS as_jsonb, i.answer AS inspect, b.answer AS bytes
FROM kinds, pg_temp.attempt(format('SELECT ''{}''::gundb.%I', kind)) AS e, pg_temp.attempt(format('SELECT gundb.value(''{}''::gundb.%I)', kind)) AS w,
    pg_temp.attempt(format('SELECT ''{}''::gundb.%I::jsonb', kind)) AS j, pg_temp.attempt(format('SELECT gundb.inspect(''{}''::gundb.%I)', kind)) AS i,
    pg_temp.attempt(format('SELECT gundb.%s_send(''{}'')', kind)) AS b
ORDER BY n;
-- Declared in plain SQL, quoted or not; with arrays, defaults, keys.
CREATE TABLE all_kinds (a gundb.gcounter, b gundb.pncounter DEFAULT '{}', c gundb.bcounter, d gundb.lww, e gundb.mv, f gundb.gset,
    g gundb.set, h gundb.rw_set, i gundb.flag, j gundb.dw_flag, k gundb.map, l gundb."set"[], PRIMARY KEY (a, g), UNIQUE (k));
INSERT INTO all_kinds VALUES ('{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', ARRAY['{}'::gundb.set, NULL]);
SELECT * FROM all_kinds;
DROP TABLE all_kinds;
SELECT kind, obj_description(('gundb.' || quote_ident(kind))::regtype, 'pg_type') LIKE '%does not replicate by itself, streams do%' AS says FROM kinds WHERE kind IN ('set', 'map');

-- A value of each kind made here, one with other sites', and what both have in common.
CREATE TABLE samples (kind text, value text);
INSERT INTO samples VALUES
    ('gcounter', format('{"gcounter": {"%s": 3, "%s": 4}}', :'paris', :'tokyo')),
    ('pncounter', format('{"pncounter": {"%s": [3, 5], "%s": [0, 1]}}', :'paris', :'tokyo')),
    ('bcounter', format('{"bcounter": {"used": {"%s": 1}, "moved": [["%s", "%s", 5], ["%s", "%s", 2]]}}', :'tokyo', :'paris', :'paris', :'paris', :'tokyo')),
    ('lww', format('{"lww": {"at": "2026-11-23T00:41:07.123Z-0005", "by": "%s", "value": {"b": [1.50, null], "a": "x"}}}', :'paris')),
    ('mv', format('{"mv": {"live": [["%s", 1, "x"], ["%s", 1, {"n": 1}], ["%s", 2, null]], "seen": {"%1$s": [[1, 1]], "%2$s": [[1, 2]]}}}', :'paris', :'tokyo', :'tokyo')),
    ('gset', '{"gset": ["b", "a", "Ä", ""]}'),
    ('set', format('{"set": {"live": [["a", "%s", 2], ["b", "%s", 1]], "seen": {"%1$s": [[1, 2]], "%2$s": [[1, 1]]}}}', :'paris', :'tokyo')),
    ('rw_set', format('{"rw_set": {"live": [["a", "%s", 1, true], ["a", "%s", 1, false], ["b", "%1$s", 2, true]], "seen": {"%1$s": [[1, 2]], "%2$s": [[1, 1]]}}}', :'paris', :'tokyo')),
    ('flag', format('{"flag": {"live": [["%s", 7]], "seen": {"%1$s": [[1, 3], [7, 7]]}}}', :'paris')),
    ('dw_flag', format('{"dw_flag": {"live": [["%s", 1, true], ["%s", 1, true]], "seen": {"%1$s": [[1, 1]], "%2$s": [[1, 1]]}}}', :'paris', :'tokyo')),
    ('map', format('{"map": {"live": [["k", "%s", 1, "2026-11-23T00:41:07.123Z-0005", "paris"], ["k", "%s", 1, "2026-11-23T00:41:07.124Z-0000", "tokyo"], ["longer", "%1$s", 2, "2026-11-23T00:41:07.123Z-0006", [1]]], "seen": {"%1$s": [[1, 2]], "%2$s": [[1, 1]]}}}', :'paris', :'tokyo'));
SELECT s.kind, w.answer AS worth, j.answer AS as_jsonb, i.answer AS inspect
FROM samples s JOIN kinds USING (kind), pg_temp.attempt(format('SELECT gundb.value(%L::gundb.%I)', value, s.kind)) AS w,
    pg_temp.attempt(format('SELECT %L::gundb.%I::jsonb', value, s.kind)) AS j, pg_temp.attempt(format('SELECT gundb.inspect(%L::gundb.%I)', value, s.kind)) AS i
ORDER BY n;
-- Text prints as it was read, goes through jsonb unharmed, and through binary; merging with itself and with the empty value changes nothing.
CREATE FUNCTION pg_temp.checks(kind text, value text) RETURNS TABLE (checked text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
    check_name text; expression text; outcome_ boolean;
BEGIN
    FOR check_name, expression IN VALUES
        ('text', 'v = v::text::gundb.%1$I'), ('jsonb', 'v = v::text::jsonb::text::gundb.%1$I'),
        ('idempotent', '(v || v) = v'), ('empty', '(v || ''{}'') = v AND gundb.merge(''{}'', v) = v'), ('named', 'gundb.merge(a => v, b => v) = v'),
        ('aggregate', '(SELECT gundb.merge(x) FROM unnest(ARRAY[v, NULL, ''{}'', v]) AS x) = v'),
        ('aggregate of none', '(SELECT gundb.merge(x) IS NULL AND count(*) = 0 FROM unnest(ARRAY[v]) AS x WHERE x IS NULL)'),
        ('aggregate of NULL', '(SELECT gundb.merge(x) IS NULL AND count(*) = 1 FROM unnest(ARRAY[NULL::gundb.%1$I]) AS x)'),
        ('window', '(SELECT bool_and(m = v) FROM (SELECT gundb.merge(x) OVER (ORDER BY n) AS m FROM unnest(ARRAY[v, ''{}'', v, NULL]) WITH ORDINALITY AS u (x, n)) AS w)'),
        ('null', '(v || NULL) IS NULL AND gundb.value(NULL::gundb.%1$I) IS NULL AND gundb.inspect(NULL::gundb.%1$I) IS NULL AND NULL::gundb.%1$I::jsonb IS NULL AND gundb.reissue(NULL::gundb.%1$I) IS NULL'),
        ('order', 'v <> ''{}'' AND NOT v = ''{}'' AND (v < ''{}'') <> (v > ''{}'') AND v <= v AND v >= v AND gundb.%1$s_cmp(v, v) = 0'),
        ('hash', 'gundb.%1$s_hash(v) = gundb.%1$s_hash(v || v) AND gundb.%1$s_hash(v, 1) <> gundb.%1$s_hash(v, 2)'),
        ('reissue', 'gundb.value(gundb.reissue(v)) = gundb.value(v)')
    LOOP
        EXECUTE format('SELECT ' || expression || ' FROM (SELECT %2$L::gundb.%1$I AS v) AS s', kind, value) INTO outcome_;
        checked := check_name; outcome := coalesce(outcome_::text, 'unknown');
        RETURN NEXT;
    END LOOP;
END $$;
SELECT checked, string_agg(kind, ' ' ORDER BY n) FILTER (WHERE outcome <> 'true') AS fails FROM samples JOIN kinds USING (kind), pg_temp.checks(kind, value) GROUP BY checked ORDER BY checked;
-- GROUP BY, DISTINCT, UNIQUE, joins, by hash and by order, and partitions.
CREATE TABLE hits (site text, n gundb.gcounter);
INSERT INTO hits SELECT s, format('{"gcounter": {"%s": %s}}', :'paris', 1 + i % 3)::gundb.gcounter FROM unnest(ARRAY['a', 'b']) AS s, generate_series(1, 30) AS i;
SELECT n, count(*) FROM hits GROUP BY n ORDER BY n;
SET enable_hashagg = off; SET enable_hashjoin = off; SET enable_nestloop = off;
SELECT count(DISTINCT n), (SELECT count(*) FROM (SELECT n FROM hits UNION SELECT n FROM hits) AS u), (SELECT count(*) FROM hits a JOIN hits b USING (n)) FROM hits;
RESET enable_hashagg; RESET enable_hashjoin; SET enable_mergejoin = off;
SELECT count(DISTINCT n), (SELECT count(*) FROM (SELECT n FROM hits UNION SELECT n FROM hits) AS u), (SELECT count(*) FROM hits a JOIN hits b USING (n)) FROM hits;
RESET enable_nestloop; RESET enable_mergejoin;
CREATE UNIQUE INDEX ON hits (n);
CREATE TABLE parts (s gundb.set) PARTITION BY HASH (s);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO parts VALUES ('{}') RETURNING s;

-- ---------------------------------------------------------------------------------------------------------------------
-- Counters
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE page (url text PRIMARY KEY, hits gundb.gcounter NOT NULL DEFAULT '{}', score gundb.pncounter NOT NULL DEFAULT '{}', stock gundb.bcounter NOT NULL DEFAULT '{}');
INSERT INTO page VALUES ('/');
UPDATE page SET hits = hits + 1, score = score - 2, stock = stock + 10;
UPDATE page SET hits = hits + 41, score = score + 5 - 7 + -1, stock = stock - 3;
UPDATE page SET hits = gundb.add(counter => hits, amount => 0), score = gundb.subtract(score, amount => 0), stock = gundb.subtract(stock, 0);
SELECT gundb.value(hits) AS hits, gundb.value(score) AS score, gundb.value(stock) AS stock, pg_temp.shown(hits::text), pg_temp.shown(score::text), pg_temp.shown(stock::text) FROM page;
-- The same merges, whatever the other sites did meanwhile; again changes nothing.
UPDATE page SET hits = hits || format('{"gcounter": {"%s": 3, "%s": 4}}', :'paris', :'tokyo')::gundb.gcounter,
    score = score || format('{"pncounter": {"%s": [3, 5], "%s": [0, 1]}}', :'paris', :'tokyo')::gundb.pncounter;
UPDATE page SET hits = hits || format('{"gcounter": {"%s": 2}}', :'paris')::gundb.gcounter;
SELECT hits::numeric, score::numeric, hits::bigint, score::bigint, stock::bigint, hits::jsonb, gundb.inspect(hits) FROM page;
-- As numbers where they are assigned, and never by surprise.
CREATE TABLE numbers (n numeric, b bigint, j jsonb);
INSERT INTO numbers SELECT hits, score, stock FROM page RETURNING *;
SELECT state, answer FROM pg_temp.attempt('SELECT hits + 1.5 FROM page');
SELECT state, answer FROM pg_temp.attempt('SELECT hits - 1 FROM page');
SELECT state, answer FROM pg_temp.attempt('SELECT abs(hits) FROM page');
-- What is refused.
SELECT a.* FROM unnest(ARRAY['SELECT ''{}''::gundb.gcounter + -1', 'SELECT ''{}''::gundb.bcounter + -1', 'SELECT ''{}''::gundb.bcounter - -1', 'SELECT ''{}''::gundb.bcounter - 1',
    'SELECT ''{}''::gundb.pncounter - -9223372036854775808', 'SELECT (''{}''::gundb.gcounter + 9223372036854775807 + 9223372036854775807 + 1) + 1',
    'SELECT (''{}''::gundb.gcounter + 9223372036854775807 + 1)::bigint']) AS s, pg_temp.attempt(s) AS a;
SELECT a.state, a.answer FROM pg_temp.attempt('UPDATE page SET hits = hits + NULL') AS a;
SELECT ('{}'::gundb.gcounter + 9223372036854775807 + 9223372036854775807 + 1)::numeric, ('{}'::gundb.pncounter + -9223372036854775808)::bigint;
SELECT '{}'::gundb.gcounter + NULL IS NULL AS plus, NULL::gundb.pncounter - 1 IS NULL AS minus;

-- Rights: this site added 10 and took 3; others can only take what they are given.
SELECT gundb.available(stock), gundb.available(stock, :'tokyo'), gundb.available(NULL), gundb.value(stock) FROM page;
SELECT a.* FROM unnest(ARRAY['UPDATE page SET stock = stock - 8', 'UPDATE page SET stock = gundb.transfer(stock, ''tokyo'', 1)',
    format('UPDATE page SET stock = gundb.transfer(stock, %L, 8)', :'tokyo'), format('UPDATE page SET stock = gundb.transfer(stock, %L, -1)', :'tokyo')]) AS s, pg_temp.attempt(s) AS a;
UPDATE page SET stock = gundb.transfer(counter => stock, recipient => :'tokyo', amount => 5);
SELECT gundb.available(stock), gundb.available(counter => stock, replica => :'tokyo'), gundb.value(stock) FROM page;
-- Tokyo took all that it was given; paris gave this site some of its own.
UPDATE page SET stock = stock || format('{"bcounter": {"used": {"%s": 5}, "moved": [["%s", "%2$s", 4], ["%2$s", "%s", 3]]}}', :'tokyo', :'paris', gundb.replica())::gundb.bcounter;
SELECT gundb.available(stock), gundb.available(stock, :'tokyo'), gundb.available(stock, :'paris'), gundb.value(stock) FROM page;
UPDATE page SET stock = stock - 5;
SELECT a.state, a.answer FROM pg_temp.attempt('UPDATE page SET stock = stock - 1') AS a;
SELECT gundb.value(stock) FROM page;

-- sum is over different counters, merge over copies of one.
SELECT sum(c), gundb.merge(c)::bigint, sum(c) FILTER (WHERE false) AS of_none, sum(gundb.value(c)) FROM (SELECT '{}'::gundb.gcounter + i AS c FROM generate_series(1, 4) AS i UNION ALL SELECT NULL) AS v;
SELECT sum('{}'::gundb.pncounter - i), sum('{}'::gundb.bcounter + i) FROM generate_series(1, 3) AS i;
SELECT sum('{}'::gundb.gcounter + 9223372036854775807) FROM generate_series(1, 3);

-- ---------------------------------------------------------------------------------------------------------------------
-- Sets
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE cart (id int PRIMARY KEY, seen gundb.gset NOT NULL DEFAULT '{}', items gundb.set NOT NULL DEFAULT '{}', allowed gundb.rw_set NOT NULL DEFAULT '{}');
INSERT INTO cart VALUES (1);
UPDATE cart SET seen = gundb.add("set" => seen, element => 'b'), items = gundb.add(items, 'apple'), allowed = gundb.add(allowed, 'apple');
UPDATE cart SET seen = gundb.add(gundb.add(seen, 'a'), 'b'), items = gundb.add(gundb.add(items, 'pear'), 'apple'), allowed = gundb.add(allowed, 'pear');
SELECT gundb.value(seen), items::text[], allowed::text[], items @> 'apple' AS has, items @> 'plum' AS has_not, seen @> 'a' AS seen, gundb.contains("set" => allowed, element => 'pear') FROM cart;
UPDATE cart SET items = gundb.remove(items, 'apple'), allowed = gundb.remove(allowed, element => 'apple');
UPDATE cart SET items = gundb.remove(items, 'never there');
SELECT pg_temp.shown(seen::text) AS seen, pg_temp.shown(items::text) AS items, pg_temp.shown(allowed::text) AS allowed, allowed @> 'apple' AS allowed_apple FROM cart;
-- Tokyo, which had seen neither remove, adds again: in the set it is back, in the rw_set it is not.
SELECT gundb.value(items || format('{"set": {"live": [["apple", "%s", 1]], "seen": {"%1$s": [[1, 1]]}}}', :'tokyo')::gundb.set) AS items,
       gundb.value(allowed || format('{"rw_set": {"live": [["apple", "%s", 1, true]], "seen": {"%1$s": [[1, 1]]}}}', :'tokyo')::gundb.rw_set) AS allowed FROM cart;
-- An old copy of what was removed does not bring it back.
WITH old AS (SELECT gundb.add('{}'::gundb.set, 'x') AS v) SELECT gundb.value(gundb.remove(v, 'x') || v), gundb.value(v || gundb.remove(v, 'x')) FROM old;
-- What asks for no site is immutable: it can be indexed.
CREATE INDEX ON cart ((gundb.value(items)));
CREATE INDEX ON cart ((gundb.remove(items, 'x')));
SELECT gundb.add(NULL::gundb.set, 'x') IS NULL AS set, gundb.add('{}'::gundb.gset, NULL) IS NULL AS element, (NULL::gundb.gset @> 'x') IS NULL AS contains, gundb.remove('{}'::gundb.rw_set, NULL) IS NULL AS remove;

-- A value copied to another row numbers its acts as the original does; reissued first, both may change and meet.
INSERT INTO cart (id, items) SELECT 2, gundb.reissue(items) FROM cart WHERE id = 1;
UPDATE cart SET items = gundb.add(items, CASE id WHEN 1 THEN 'one' ELSE 'two' END);
SELECT gundb.merge(items)::text[] FROM cart;
-- Different values number their acts alike too, so a merge takes them for copies; reissued, they come together.
SELECT cardinality(gundb.value(gundb.merge(s))) AS taken_for_copies, cardinality(gundb.value(gundb.merge(gundb.reissue(s)))) AS together,
       gundb.merge(c)::bigint AS greatest, gundb.merge(gundb.reissue(c))::bigint AS total
FROM (SELECT gundb.add('{}'::gundb.set, 'x' || i) AS s, '{}'::gundb.gcounter + i AS c FROM generate_series(1, 1000) AS i OFFSET 0) AS v;
INSERT INTO page (url, hits, score, stock) SELECT '/copy', gundb.reissue(hits), gundb.reissue(score), gundb.reissue(stock || ('{}'::gundb.bcounter + 7)) FROM page WHERE url = '/';
UPDATE page SET hits = hits + 1, stock = stock - 1 WHERE url = '/copy';
SELECT url, hits::bigint, score::bigint, stock::bigint, gundb.available(stock) FROM page ORDER BY url;
SELECT gundb.merge(hits)::bigint = sum(hits) AS together FROM page;

-- ---------------------------------------------------------------------------------------------------------------------
-- Registers, flags, maps
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE person (id int PRIMARY KEY, name gundb.lww NOT NULL DEFAULT '{}', email gundb.mv NOT NULL DEFAULT '{}', active gundb.flag NOT NULL DEFAULT '{}',
    banned gundb.dw_flag NOT NULL DEFAULT '{}', prefs gundb.map NOT NULL DEFAULT '{}');
INSERT INTO person VALUES (1);
UPDATE person SET name = gundb.set(name, 'Ada'), email = gundb.set(email, 'ada@example.org'), active = gundb.enable(active), banned = gundb.enable(banned), prefs = gundb.put(prefs, 'theme', '"dark"');
SELECT gundb.value(name), gundb.value(email), email::text[], active::boolean, gundb.value(banned), gundb.value(prefs), pg_temp.shown(name::text), pg_temp.shown(prefs::text) FROM person;
UPDATE person SET name = gundb.set(register => name, value => '{"first": "Ada", "n": 1.50}'::jsonb), email = gundb.set(register => email, value => to_jsonb(7)), active = gundb.disable(flag => active),
    banned = gundb.disable(banned), prefs = gundb.put(map => gundb.put(prefs, 'size', '12'), key => 'theme', value => 'null');
SELECT gundb.value(name), gundb.value(email), email::text[], active::boolean, banned::boolean, prefs::jsonb, gundb.value(prefs) -> 'size' AS size FROM person;
UPDATE person SET prefs = gundb.remove(map => prefs, key => 'theme'), email = gundb.clear(register => email), active = gundb.enable(active), banned = gundb.enable(banned);
SELECT email::text[], active::boolean, banned::boolean, prefs::jsonb FROM person;
-- Others' concurrent acts.
SELECT gundb.value(gundb.set(email, 'here') || s.v::gundb.mv) AS email, (gundb.set(email, 'here') || s.v::gundb.mv)::text[] FROM person, samples s (k, v) WHERE k = 'mv';
SELECT gundb.value(gundb.disable(active) || f.v::gundb.flag) AS enable_wins, gundb.value(gundb.enable(banned) || format('{"dw_flag": {"live": [["%s", 1, false]], "seen": {"%1$s": [[1, 1]]}}}', :'tokyo')::gundb.dw_flag) AS disable_wins
FROM person, samples f (k, v) WHERE k = 'flag';
SELECT gundb.value(gundb.put(prefs, 'k', '"here"') || s.v::gundb.map) AS concurrent, gundb.value(gundb.remove(s.v::gundb.map, 'k') || s.v::gundb.map) AS removed FROM person, samples s (k, v) WHERE k = 'map';

-- A later write here wins over all that the register has seen, also over a stamp far ahead; the site's clock stays where it is.
SELECT gundb.value(gundb.set(r, 'later')), gundb.value(gundb.set(r, 'later') || r), gundb.set(r, 'later')::text LIKE '%9999-12-31T23:59:59.998Z-0001%' AS after
FROM (SELECT format('{"lww": {"at": "9999-12-31T23:59:59.998Z-0000", "by": "%s", "value": "ahead"}}', :'tokyo')::gundb.lww AS r) AS v;
SELECT gundb.hlc_now() < '9999-01-01T00:00:00.000Z' AS clock_is_well;
SELECT a.* FROM pg_temp.attempt(format($$SELECT gundb.set(%L::gundb.lww, 'later')$$, format('{"lww": {"at": "9999-12-31T23:59:59.999Z-ffff", "by": "%s", "value": "ahead"}}', :'tokyo'))) AS a;
UPDATE person SET name = gundb.set(gundb.set(gundb.set(name, '1'), '2'), '3');
SELECT gundb.value(name) FROM person;
SELECT gundb.value(a || b) AS a_b, gundb.value(b || a) AS b_a FROM (SELECT gundb.set('{}'::gundb.lww, 'first') AS a OFFSET 0) AS x, LATERAL (SELECT gundb.set('{}'::gundb.lww, 'second') AS b WHERE a IS NOT NULL OFFSET 0) AS y;
SELECT gundb.set(NULL::gundb.lww, 'x') IS NULL AS register, gundb.set('{}'::gundb.mv, NULL::text) IS NULL AS value, gundb.enable(NULL::gundb.flag) IS NULL AS flag, gundb.put('{}', NULL, '1') IS NULL AS key;

-- ---------------------------------------------------------------------------------------------------------------------
-- What is refused
-- ---------------------------------------------------------------------------------------------------------------------

SELECT coalesce(nullif(left(t, 70), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM unnest(ARRAY['', ' ', 'null', '[]', '1', '"x"', '{', '{}}', '{"gcounter": {}} x', '{"gcouter": {}}', '{"pncounter": {}}', '{"gcounter": {}, "pncounter": {}}', '{"gcounter": []}', '{"gcounter": {"paris": 1}}',
    format('{"gcounter": {"%s": 0}}', :'paris'), format('{"gcounter": {"%s": -1}}', :'paris'), format('{"gcounter": {"%s": 1.5}}', :'paris'), format('{"gcounter": {"%s": 1e2}}', :'paris'),
    format('{"gcounter": {"%s": 18446744073709551616}}', :'paris'), format('{"gcounter": {"%s": "1"}}', :'paris'), format('{"gcounter": {"%s": null}}', :'paris'),
    '{"gcounter": {"0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/aa": 1}}', repeat('[', 100000), repeat('x', 100000)]) AS t, pg_temp.attempt(format('SELECT %L::gundb.gcounter', t)) AS a;
SELECT kind, coalesce(nullif(left(t, 90), ''), '(empty)') AS input, a.state, coalesce(nullif(a.detail, ''), a.answer) AS answer
FROM (VALUES ('set', '{"set": {}}'), ('set', '{"set": {"live": []}}'), ('set', '{"set": {"live": [["a"]], "seen": {}}}'), ('set', format('{"set": {"live": [["a", "%s", 1]], "seen": {}}}', :'paris')),
    ('set', format('{"set": {"live": [], "seen": {"%s": [[2, 1]]}}}', :'paris')), ('set', format('{"set": {"live": [], "seen": {"%s": [[0, 1]]}}}', :'paris')), ('set', '{"gset": []}'), ('gset', '{"gset": [1]}'), ('gset', '{"gset": ["\u0000"]}'),
    ('lww', '{"lww": {"at": "yesterday", "by": "x", "value": 1}}'), ('lww', format('{"lww": {"at": "2026-11-23T00:41:07.123Z", "by": "%s"}}', :'paris')), ('flag', '{"flag": true}'), ('pncounter', format('{"pncounter": {"%s": [0, 0]}}', :'paris')),
    ('bcounter', '{"bcounter": {}}'), ('map', '{"map": {"k": 1}}')) AS v (kind, t), pg_temp.attempt(format('SELECT %L::gundb.%I', t, kind)) AS a;
SELECT hint FROM pg_temp.attempt($$SELECT ''::gundb.gcounter$$);
-- Kinds do not mix, not even where they look alike.
SELECT state, answer FROM pg_temp.attempt($$SELECT '{}'::gundb.set || '{}'::gundb.gset$$);
SELECT state, answer FROM pg_temp.attempt($$SELECT '{}'::gundb.flag::gundb.dw_flag$$);
SELECT state, answer FROM pg_temp.attempt($$SELECT '{}'::gundb.gcounter::integer$$);
-- Large and deep.
SELECT a.state, a.answer, a.detail, a.hint FROM unnest(ARRAY[$$SELECT gundb.add('{}'::gundb.gset, repeat('x', 64 << 20))$$, $$SELECT gundb.set('{}'::gundb.lww, repeat('x', 64 << 20))$$, $$SELECT gundb.set('{}'::gundb.lww, (repeat('[', 1001) || repeat(']', 1001))::jsonb)$$,
    $$SELECT ('{"lww": {"at": "2026-11-23T00:41:07.123Z", "by": "0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10/00000001000000aa", "value": ' || repeat('[', 2000) || repeat(']', 2000) || '}}')::gundb.lww$$,
    $$SELECT gundb.add(gundb.add('{}'::gundb.set, repeat('x', 40 << 20)), repeat('y', 40 << 20))$$]) AS s, pg_temp.attempt(s) AS a;
SELECT octet_length(gundb.value(gundb.set('{}'::gundb.lww, (repeat('[', 999) || repeat(']', 999))::jsonb))::text) AS deep, pg_column_size(gundb.add('{}'::gundb.gset, repeat('x', 60 << 20))) > 1000000 AS large;
-- Nothing of an aggregate can be called by itself.
SELECT a.state FROM unnest(ARRAY[$$SELECT gundb.crdt_merge_step(NULL, '{}'::gundb.set)$$, $$SELECT gundb.crdt_sum_step(NULL, '{}'::gundb.gcounter)$$, $$SELECT gundb.crdt_merge_final(NULL, '{}'::gundb.set)$$]) AS s, pg_temp.attempt(s) AS a;
-- In a read-only transaction values are read and merged, and changed where no stamp is needed.
BEGIN READ ONLY;
SELECT gundb.value(hits + 1) FROM page WHERE url = '/copy';
COMMIT;

-- ---------------------------------------------------------------------------------------------------------------------
-- Others than the owner; parallel workers
-- ---------------------------------------------------------------------------------------------------------------------

GRANT SELECT, UPDATE ON page, person, cart TO gundb_visitor;
SET ROLE gundb_visitor;
UPDATE page SET hits = hits + 1, score = score - 1 WHERE url = '/copy';
UPDATE person SET name = gundb.set(name, 'Grace'), prefs = gundb.put(prefs, 'by', to_jsonb(current_user::text));
UPDATE cart SET items = gundb.add(items, 'grape');
SELECT hits::bigint, score::bigint FROM page WHERE url = '/copy';
SELECT gundb.value(name), prefs::jsonb -> 'by' AS by FROM person;
RESET ROLE;
REVOKE ALL ON page, person, cart FROM gundb_visitor;
DROP ROLE gundb_visitor;

-- The same with and without parallel workers, for values of many sites.
CREATE TABLE many (c gundb.gcounter, s gundb.set, f gundb.flag);
INSERT INTO many SELECT format('{"gcounter": {"00000000-0000-0000-0000-%s/0000000000000000": %s}}', lpad((i % 100)::text, 12, '0'), i)::gundb.gcounter,
    format('{"set": {"live": [["e%s", "00000000-0000-0000-0000-%s/0000000000000000", %s]], "seen": {"00000000-0000-0000-0000-%2$s/0000000000000000": [[1, %3$s]]}}}', i % 7, lpad((i % 5)::text, 12, '0'), i)::gundb.set,
    CASE WHEN i % 2 = 0 THEN format('{"flag": {"live": [["00000000-0000-0000-0000-000000000001/0000000000000000", %s]], "seen": {"00000000-0000-0000-0000-000000000001/0000000000000000": [[%1$s, %1$s]]}}}', i)::gundb.flag END
FROM generate_series(1, 20000) AS i;
ALTER TABLE many SET (parallel_workers = 2);
ANALYZE many;
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;
EXPLAIN (COSTS off) SELECT gundb.merge(c), gundb.merge(s), gundb.merge(f), sum(c) FROM many;
CREATE TABLE outcome AS SELECT gundb.merge(c) AS c, gundb.merge(s) AS s, gundb.merge(f) AS f, sum(c) AS sum, gundb.merge(c) FILTER (WHERE false) AS none FROM many;
EXPLAIN (COSTS off) SELECT gundb.merge(c) FROM many WHERE gundb.value(c + 1) > 0;
SET max_parallel_workers_per_gather = 0;
SELECT o.c = m.c AS c, o.s = m.s AS s, o.f = m.f AS f, o.sum = m.sum AND m.sum = m.by_value AS sum, o.none IS NULL AS none, o.c::bigint, o.sum, o.s::text[], o.f::boolean
FROM outcome o, (SELECT gundb.merge(c) AS c, gundb.merge(s) AS s, gundb.merge(f) AS f, sum(c) AS sum, sum(gundb.value(c)) AS by_value FROM many) AS m;
-- In any order, and in groups.
SELECT bool_and(m = o.s) AS any_order FROM outcome o, (SELECT gundb.merge(s ORDER BY md5(s::text)) AS m FROM many UNION ALL SELECT gundb.merge(part) FROM (SELECT gundb.merge(s) AS part FROM many GROUP BY gundb.value(c)::int % 9) AS g) AS v;
