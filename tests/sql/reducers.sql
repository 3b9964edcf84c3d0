-- Reducer views: made, maintained, late events, what cannot be reduced, loops, rights, names.
\i include/attempt.sql

SELECT gundb.create_stream('entries');
INSERT INTO entries (type, key, data) VALUES ('Opened', 'a', '{"limit": 100}');

-- ---------------------------------------------------------------------------------------------------------------------
-- A whole row by a function of the user's
-- ---------------------------------------------------------------------------------------------------------------------

-- Sensitive to order: an account takes what its limit of that moment allows.
CREATE FUNCTION account(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
DECLARE
    balance numeric := coalesce((state->>'balance')::numeric, 0);
    n int := coalesce((state->>'n')::int, 0);
BEGIN
    state := state || jsonb_build_object('n', n + 1, 'last', event.type);
    CASE event.type
        WHEN 'Opened', 'Limited' THEN RETURN state || jsonb_build_object('limit', event.data->'limit');
        WHEN 'Paid' THEN
            IF balance + (event.data->>'amount')::numeric > (state->>'limit')::numeric THEN
                RETURN state || jsonb_build_object('refused', coalesce((state->>'refused')::int, 0) + 1);
            END IF;
            RETURN state || jsonb_build_object('balance', balance + (event.data->>'amount')::numeric);
        WHEN 'Odd' THEN RAISE EXCEPTION 'an odd event' USING ERRCODE = 'P7777';
        WHEN 'Null' THEN RETURN NULL;
        WHEN 'Large' THEN RETURN jsonb_build_object('large', repeat('x', 17000000));
        WHEN 'Wide' THEN RETURN (SELECT jsonb_agg(1e100000::numeric) FROM generate_series(1, 200));
        WHEN 'Divided' THEN RETURN state || jsonb_build_object('share', (state->>'limit')::int / (event.data->>'by')::int);
        WHEN 'Deep' THEN RETURN public.account(state, event);
        ELSE RETURN state;
    END CASE;
END $$;
SELECT gundb.create_reducer_view('accounts', 'entries', 'account(jsonb, gundb.event)');
\d accounts
-- What was there is in it; what is appended comes in its own transaction, one by one in total order.
SELECT * FROM accounts;
INSERT INTO entries (type, key, data) VALUES ('Paid', 'a', '{"amount": 60}'), ('Paid', 'a', '{"amount": 60}'), ('Limited', 'a', '{"limit": 200}'), ('Paid', 'a', '{"amount": 60}'), ('Paid', 'b', '{"amount": 1}');
SELECT * FROM accounts ORDER BY key;
BEGIN;
INSERT INTO entries (type, key, data) VALUES ('Paid', 'a', '{"amount": 1.50}');
SELECT * FROM accounts WHERE key = 'a';
SAVEPOINT s;
INSERT INTO entries (type, key, data) VALUES ('Paid', 'a', '{"amount": 1}');
ROLLBACK TO s;
INSERT INTO entries (type, key, data) VALUES ('Other', 'a', '{}');
COMMIT;
SELECT * FROM accounts WHERE key = 'a';
INSERT INTO entries (type, key, data) SELECT 'Paid', 'k' || n % 7, jsonb_build_object('amount', n) FROM generate_series(1, 2000) AS n;
INSERT INTO entries (type, key, data) SELECT 'Opened', 'k' || n, '{"limit": 1000000}' FROM generate_series(0, 6) AS n;
INSERT INTO entries (type, key, data) SELECT 'Paid', 'k' || n % 7, jsonb_build_object('amount', n) FROM generate_series(1, 2000) AS n;
SELECT * FROM accounts ORDER BY key;
INSERT INTO entries (type) VALUES ('Paid');
SELECT view, stream, key, columns, types, filter, delete, strict, rows, skipped, pending, reducer, initial FROM gundb.view;
SELECT * FROM gundb.check_view('accounts');
SELECT gundb.rebuild_view('accounts');
SELECT * FROM gundb.check_view('accounts');
SELECT * FROM accounts ORDER BY key;

-- The event comes whole, whatever its stream's table has besides.
CREATE FUNCTION whole(s jsonb, e gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT jsonb_build_object('before', s->'n', 'n', coalesce((s->>'n')::int, 0) + 1, 'event', to_jsonb(e)) $$;
ALTER TABLE entries ADD COLUMN extra text DEFAULT 'extra';
SELECT gundb.create_reducer_view('wholes', 'entries', 'whole(jsonb, gundb.event)', '{"n": 10}', 'no::bigint as number, @type');
INSERT INTO entries (type, key, data, meta, extra) VALUES ('Whole', NULL, jsonb_build_object('no', 7, 'long', repeat('long ', 2000)), '{"by": "x"}', 'y') RETURNING seq AS whole_seq \gset
SELECT number, type, state->'n' AS n, state->'before' AS before, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(state->'event') AS k) AS columns FROM wholes;
SELECT w.state->'event' = to_jsonb(e) - 'extra' AS equal, w.state->'event'->'meta' AS meta FROM wholes w, entries e WHERE e.type = 'Whole';
SELECT gundb.drop_view('wholes');

-- ---------------------------------------------------------------------------------------------------------------------
-- What cannot be reduced waits, and what comes after it goes on
-- ---------------------------------------------------------------------------------------------------------------------

INSERT INTO entries (type, key, data) VALUES ('Opened', 'p', '{"limit": 100}'), ('Odd', 'p', '{}'), ('Paid', 'p', '{"amount": 10}'), ('Null', 'p', '{}'), ('Large', 'p', '{}'), ('Wide', 'p', '{}'),
    ('Divided', 'p', '{"by": 0}'), ('Divided', 'p', '{"by": 4}'), ('Odd', 'q', '{}'), ('Opened', 'r', '{"limit": "none"}'), ('Paid', 'r', '{"amount": 1}'), ('Deep', 'r', '{}'), ('Paid', 'p', '{"amount": 5}');
SELECT key, left(state::text, 120) AS state FROM accounts WHERE key IN ('p', 'q', 'r') ORDER BY key;
SELECT kind, view, p.key, e.type, reason, sqlstate, tries FROM gundb.pending p JOIN entries e ON gundb.seq_of(p.dot) = e.seq AND gundb.lane_of(p.dot) = e.lane ORDER BY e.hlc;
SELECT * FROM gundb.check_view('accounts');
SELECT gundb.retry_pending('accounts');
SELECT DISTINCT tries FROM gundb.pending;
-- CREATE OR REPLACE changes what comes from now on; pending events that it takes are put where they belong, and rebuild_view makes all of it new.
CREATE OR REPLACE FUNCTION account(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_object('all', coalesce(state->'all', '[]') || to_jsonb(event.type));
END $$;
SELECT gundb.retry_pending();
SELECT * FROM accounts WHERE key IN ('p', 'q', 'r', 'b') ORDER BY key;
SELECT count(*) FROM gundb.pending;
SELECT count(*) > 0 AS differ FROM gundb.check_view('accounts');
SELECT gundb.rebuild_view('accounts');
SELECT * FROM gundb.check_view('accounts');
SELECT * FROM accounts WHERE key IN ('p', 'q', 'r', 'b') ORDER BY key;
SELECT gundb.drop_view('accounts');

-- ---------------------------------------------------------------------------------------------------------------------
-- What is of the moment fails the statement
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION moment(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    CASE event.type
        WHEN 'Looped' THEN LOOP END LOOP;
        WHEN 'Raised' THEN RAISE EXCEPTION 'raised %', event.data->>'sqlstate' USING ERRCODE = event.data->>'sqlstate';
        ELSE RETURN jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1);
    END CASE;
END $$;
SELECT gundb.create_stream('moments');
SELECT gundb.create_reducer_view('moment', 'moments', 'moment(jsonb,gundb.event)', key => '@key as k');
SELECT statement, a.state, a.answer FROM unnest(ARRAY['40001', '40P01', '53100', '53200', '57P01', '08006', '55P03', 'XX001', 'P0001', '22012', '54001', 'XX000']) AS code,
    format($$INSERT INTO moments (type, key, data) VALUES ('Counted', 'm', '{}'), ('Raised', 'm', '{"sqlstate": "%s"}'), ('Counted', 'm', '{}')$$, code) AS statement, pg_temp.attempt(statement) AS a;
INSERT INTO moments (type, key, data) VALUES ('Counted', 'm', '{}'), ('Raised', 'm', '{"sqlstate": "57014"}');
SELECT * FROM moment;
SELECT sqlstate, reason FROM gundb.pending ORDER BY sqlstate;
SET statement_timeout = '100ms';
INSERT INTO moments (type, key) VALUES ('Counted', 'm'), ('Looped', 'm'), ('Counted', 'm');
RESET statement_timeout;
BEGIN;
INSERT INTO moments (type, key) VALUES ('Counted', 'm');
SAVEPOINT s;
SET LOCAL statement_timeout = '100ms';
INSERT INTO moments (type, key) VALUES ('Looped', 'm');
ROLLBACK TO s;
INSERT INTO moments (type, key) VALUES ('Counted', 'm');
COMMIT;
SELECT * FROM moment;
SELECT * FROM gundb.check_view('moment');

-- ---------------------------------------------------------------------------------------------------------------------
-- Late events: pending ones that are tried again are late
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE switch (is_on boolean);
INSERT INTO switch VALUES (false);
-- Not immutable in truth, so that a test can have an event fail and pass.
CREATE FUNCTION chained(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF event.type = 'Switched' AND NOT (SELECT is_on FROM public.switch) THEN RAISE EXCEPTION 'off'; END IF;
    RETURN jsonb_build_object('n', coalesce((state->>'n')::int, 0) + 1, 'hash', md5(coalesce(state->>'hash', '') || (event.data->>'n')));
END $$;
SELECT gundb.create_stream('links');
SELECT gundb.create_reducer_view('chains', 'links', 'chained(jsonb, gundb.event)');
SELECT gundb.create_reducer_view('by_type', 'links', 'chained(jsonb, gundb.event)', key => 'part');
INSERT INTO links (type, key, data) SELECT CASE WHEN n % 500 = 77 THEN 'Switched' ELSE 'Linked' END, 'c', jsonb_build_object('n', n, 'part', n % 2) FROM generate_series(1, 3000) AS n;
INSERT INTO links (type, key, data) VALUES ('Switched', 'd', '{"n": 1, "part": 5}'), ('Linked', 'd', '{"n": 2, "part": 5}');
SELECT key, state->'n' AS n FROM chains ORDER BY key;
SELECT part, state->'n' AS n FROM by_type ORDER BY part;
SELECT view, count(*) FROM gundb.pending WHERE view IN ('chains'::regclass, 'by_type'::regclass) GROUP BY view ORDER BY view::text;
SELECT * FROM gundb.check_view('chains');
UPDATE switch SET is_on = true;
SELECT gundb.retry_pending('chains'), gundb.retry_pending('by_type');
-- The same as all of them in order.
CREATE FUNCTION expected(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n text; hash text := '';
BEGIN
    FOR n IN EXECUTE format('SELECT data->>''n'' FROM links WHERE %s ORDER BY hlc', what) LOOP hash := md5(hash || n); END LOOP;
    RETURN hash;
END $$;
SELECT key, state->'n' AS n, state->>'hash' = expected(format('key = %L', key)) AS right FROM chains ORDER BY key;
SELECT part, state->'n' AS n, state->>'hash' = expected(format('data->>''part'' = %L', part)) AS right FROM by_type ORDER BY part;
SELECT count(*) FROM gundb.pending WHERE view IN ('chains'::regclass, 'by_type'::regclass);
SELECT * FROM gundb.check_view('chains');
SELECT * FROM gundb.check_view('by_type');
-- A thousand of them cost one replay, of what sorts after the first.
CREATE SEQUENCE calls;
CREATE FUNCTION counted(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('public.calls');
    RETURN public.chained(state, event);
END $$;
UPDATE switch SET is_on = false;
SELECT gundb.create_reducer_view('counted', 'links', 'counted(jsonb, gundb.event)', key => 'counted');
INSERT INTO links (type, key, data) SELECT CASE WHEN n > 4000 AND n % 2 = 0 THEN 'Switched' ELSE 'Linked' END, 'e', jsonb_build_object('n', n, 'counted', 1) FROM generate_series(1, 6000) AS n;
SELECT state->'n' AS n FROM counted;
UPDATE switch SET is_on = true;
SELECT setval('calls', 1);
SELECT gundb.retry_pending('counted');
SELECT state->'n' AS n, state->>'hash' = expected('data ? ''counted''') AS right FROM counted;
SELECT last_value BETWEEN 2000 AND 5000 AS one_replay FROM calls;
-- One that is a little late replays a little of a long history.
UPDATE switch SET is_on = false;
INSERT INTO links (type, key, data) VALUES ('Switched', 'e', '{"n": 6001, "counted": 1}'), ('Linked', 'e', '{"n": 6002, "counted": 1}');
UPDATE switch SET is_on = true;
SELECT setval('calls', 1);
SELECT gundb.retry_pending('counted');
SELECT last_value < 100 AS short_replay FROM calls;
SELECT * FROM gundb.check_view('counted');
-- An event that is tried again may make another fail that went well; a key whose every event fails loses its row.
CREATE FUNCTION spent(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF event.type = 'Switched' AND NOT (SELECT is_on FROM public.switch) THEN RAISE EXCEPTION 'off'; END IF;
    IF state ? 'spent' THEN RAISE EXCEPTION 'spent'; END IF;
    RETURN CASE event.type WHEN 'Switched' THEN '{"spent": true}' ELSE '{"used": true}'::jsonb END;
END $$;
UPDATE switch SET is_on = false;
SELECT gundb.create_reducer_view('spending', 'links', 'spent(jsonb, gundb.event)', key => 'spender');
INSERT INTO links (type, data) VALUES ('Switched', '{"n": 0, "spender": "s"}'), ('Linked', '{"n": 0, "spender": "s"}'), ('Linked', '{"n": 0, "spender": "s"}');
SELECT * FROM spending;
UPDATE switch SET is_on = true;
SELECT gundb.retry_pending('spending');
SELECT * FROM spending;
SELECT reason, tries FROM gundb.pending WHERE view = 'spending'::regclass;
SELECT * FROM gundb.check_view('spending');
UPDATE switch SET is_on = false;
SELECT gundb.rebuild_view('spending');
SELECT * FROM spending;
SELECT reason, tries FROM gundb.pending WHERE view = 'spending'::regclass;

-- ---------------------------------------------------------------------------------------------------------------------
-- Languages; what a function may be
-- ---------------------------------------------------------------------------------------------------------------------

-- A function with a search path of its own, one that is strict, one that hands its argument back.
CREATE FUNCTION set_path(jsonb, gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql SET search_path = public AS $$ SELECT $1 || jsonb_build_object(($2).type, current_setting('search_path')) $$;
CREATE FUNCTION strictly(a jsonb, b gundb.event) RETURNS jsonb IMMUTABLE STRICT LANGUAGE sql AS $$ SELECT a || jsonb_build_object(b.type, current_setting('search_path')) $$;
CREATE FUNCTION same(a jsonb, b gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT a $$;
SELECT gundb.create_stream('few');
SELECT gundb.create_reducer_view('f' || n, 'few', f, '{"s": "it''s \"q\" \\ü"}') FROM unnest(ARRAY['set_path(jsonb,gundb.event)', 'strictly(jsonb,gundb.event)', 'same(jsonb,gundb.event)']::regprocedure[]) WITH ORDINALITY AS f (f, n);
INSERT INTO few (type, key) VALUES ('A', 'k'), ('B', 'k');
INSERT INTO few (type, key) VALUES ('C', 'k');
SELECT * FROM f1 UNION ALL SELECT * FROM f2 UNION ALL SELECT * FROM f3;
-- A state of any kind.
SELECT gundb.create_reducer_view('null_first', 'few', 'same(jsonb, gundb.event)', 'null');
SELECT * FROM null_first;
SELECT gundb.drop_view('f' || n) FROM generate_series(1, 3) AS n;

CREATE FUNCTION vol(jsonb, gundb.event) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION sta(jsonb, gundb.event) RETURNS jsonb STABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION sets(jsonb, gundb.event) RETURNS SETOF jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION other_type(jsonb, few) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION three(jsonb, gundb.event, int DEFAULT 1) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION textual(text, gundb.event) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE FUNCTION three_s(jsonb, jsonb, gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE AGGREGATE agg(jsonb, gundb.event) (SFUNC = three_s, STYPE = jsonb);
SELECT statement, a.* FROM unnest(ARRAY[
    $$SELECT gundb.create_reducer_view('v', 'few', 'vol(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'sta(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'sets(jsonb, gundb.event)')$$,
    $$SELECT gundb.create_reducer_view('v', 'few', 'other_type(jsonb, few)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'three(jsonb, gundb.event, int)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'textual(text, gundb.event)')$$,
    $$SELECT gundb.create_reducer_view('v', 'few', 'agg(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'no_such(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 1::regprocedure)$$,
    $$SELECT gundb.create_reducer_view('v', 'few', NULL)$$, $$SELECT gundb.create_reducer_view('v', 'few', 'same(jsonb, gundb.event)', NULL)$$, $$SELECT gundb.create_reducer_view(NULL, 'few', 'same(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', NULL, 'same(jsonb, gundb.event)')$$,
    $$SELECT gundb.create_reducer_view('v', 'fewer', 'same(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'gundb', 'same(jsonb, gundb.event)')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'same(jsonb, gundb.event)', key => '@key as state')$$,
    $$SELECT gundb.create_reducer_view('v', 'few', 'same(jsonb, gundb.event)', key => 'a b')$$, $$SELECT gundb.create_reducer_view('v', 'few', 'same(jsonb, gundb.event)', initial => jsonb_build_object('large', repeat('x', 17000000)))$$]) AS statement, pg_temp.attempt(statement) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- The same again; the function stays while the view stands
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_reducer_view(name => 'null_first', stream => 'few', reducer => 'same(jsonb,gundb.event)', initial => 'null', key => '@key');
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_reducer_view('null_first', 'few', 'same(jsonb, gundb.event)')$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_reducer_view('null_first', 'few', 'strictly(jsonb, gundb.event)', 'null')$$);
SELECT * FROM pg_temp.attempt($$SELECT gundb.create_view('null_first', 'few', '{}')$$);
SELECT statement, a.* FROM unnest(ARRAY['DROP FUNCTION same', 'DROP FUNCTION same CASCADE', 'ALTER TABLE null_first ALTER COLUMN state DROP DEFAULT', $$ALTER TABLE null_first ALTER COLUMN state SET DEFAULT '{}'$$,
    'ALTER TABLE null_first DROP COLUMN state', 'ALTER TABLE null_first ALTER COLUMN state TYPE text', 'DROP TABLE null_first', $$INSERT INTO null_first (key) VALUES ('a')$$]) AS statement, pg_temp.attempt(statement) AS a;
CREATE SCHEMA elsewhere;
ALTER FUNCTION same SET SCHEMA elsewhere;
ALTER FUNCTION elsewhere.same RENAME TO "The Same";
SELECT reducer FROM gundb.view WHERE view = 'null_first'::regclass;
INSERT INTO few (type, key) VALUES ('D', 'l');
SELECT * FROM null_first ORDER BY key;
-- Users' own columns have their defaults.
ALTER TABLE null_first ADD COLUMN note text DEFAULT 'none';
ALTER TABLE null_first ALTER COLUMN note DROP DEFAULT;
ALTER TABLE null_first ADD COLUMN seen int DEFAULT 7;
ALTER TABLE null_first ALTER COLUMN seen SET DEFAULT 8;
INSERT INTO few (type, key) VALUES ('D', 'm');
SELECT * FROM null_first ORDER BY key;
-- A function that is no longer what it was.
ALTER FUNCTION elsewhere."The Same" VOLATILE;
INSERT INTO few (type, key) VALUES ('E', 'm');
SELECT key, reason, sqlstate FROM gundb.pending WHERE view = 'null_first'::regclass;
-- What would fold all events anew, and so none, is refused; rows stay.
SELECT count(*) AS rows FROM null_first \gset
SELECT statement, a.* FROM unnest(ARRAY[$$SELECT gundb.rebuild_view('null_first')$$, $$SELECT gundb.check_view('null_first')$$,
    $$SELECT count(*) FROM gundb.view_at(NULL::null_first)$$, $$SELECT gundb.view_history('null_first', 'm')$$]) AS statement, pg_temp.attempt(statement) AS a;
SELECT gundb.retry_pending('null_first');
SELECT count(*) = :rows AS stay, (SELECT tries FROM gundb.pending WHERE view = 'null_first'::regclass) AS tries FROM null_first;
ALTER FUNCTION elsewhere."The Same" IMMUTABLE;
SELECT gundb.retry_pending('null_first');
SELECT gundb.drop_view('null_first');
DROP FUNCTION elsewhere."The Same";

-- ---------------------------------------------------------------------------------------------------------------------
-- Rights
-- ---------------------------------------------------------------------------------------------------------------------

CREATE ROLE gundb_reducer_maker;
CREATE ROLE gundb_reducer_appender;
CREATE SCHEMA shop AUTHORIZATION gundb_reducer_maker;
SELECT gundb.grant_admin('gundb_reducer_maker');
SET ROLE gundb_reducer_maker;
SELECT gundb.create_stream('orders', 'shop.orders');
CREATE FUNCTION shop.who(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN jsonb_build_object('user', current_user, 'path', current_setting('search_path')); END $$;
CREATE FUNCTION shop.escapes(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('role', 'none', false); RETURN state; END $$;
CREATE FUNCTION shop.writes(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE t (); RETURN state; END $$;
SELECT gundb.create_reducer_view('shop.who', 'orders', 'shop.who(jsonb, gundb.event)');
SELECT gundb.create_reducer_view('shop.escapes', 'orders', 'shop.escapes(jsonb, gundb.event)');
SELECT gundb.create_reducer_view('shop.writes', 'orders', 'shop.writes(jsonb, gundb.event)');
GRANT USAGE ON SCHEMA shop TO gundb_reducer_appender;
GRANT INSERT ON shop.orders TO gundb_reducer_appender;
REVOKE EXECUTE ON FUNCTION shop.who FROM PUBLIC;
RESET ROLE;
-- It runs as the view's owner, whoever appends; and cannot become another.
SET ROLE gundb_reducer_appender;
INSERT INTO shop.orders (type, key) VALUES ('A', 'k');
SELECT current_user;
SELECT a.state, a.answer FROM pg_temp.attempt('SELECT * FROM shop.who') AS a;
RESET ROLE;
SELECT * FROM shop.who;
SELECT view, reason, sqlstate FROM gundb.pending WHERE view::text LIKE 'shop.%' ORDER BY view::text;
-- The owner needs the right to execute it: when the view is made, and later.
CREATE FUNCTION others(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$ SELECT state $$;
REVOKE EXECUTE ON FUNCTION others FROM PUBLIC;
SET ROLE gundb_reducer_maker;
SELECT a.state, a.answer FROM pg_temp.attempt($$SELECT gundb.create_reducer_view('shop.others', 'orders', 'public.others(jsonb, gundb.event)')$$) AS a;
RESET ROLE;
GRANT EXECUTE ON FUNCTION others TO gundb_reducer_maker;
SET ROLE gundb_reducer_maker;
SELECT gundb.create_reducer_view('shop.others', 'orders', 'public.others(jsonb, gundb.event)');
SELECT * FROM shop.others;
RESET ROLE;
REVOKE EXECUTE ON FUNCTION others FROM gundb_reducer_maker;
INSERT INTO shop.orders (type, key) VALUES ('A', 'l');
SELECT key, reason, sqlstate FROM gundb.pending WHERE view = 'shop.others'::regclass;
SET ROLE gundb_reducer_appender;
SELECT statement, a.state, a.answer FROM unnest(ARRAY[$$SELECT gundb.create_reducer_view('shop.mine', 'orders', 'shop.who(jsonb, gundb.event)')$$, $$SELECT gundb.drop_view('shop.who')$$, $$SELECT gundb.rebuild_view('shop.who')$$]) AS statement, pg_temp.attempt(statement) AS a;
RESET ROLE;

-- The end: views become plain tables, and nothing of gundb's holds on to them.
SELECT gundb.uninstall();
\d chains
DROP OWNED BY gundb_reducer_maker, gundb_reducer_appender CASCADE;
DROP ROLE gundb_reducer_maker, gundb_reducer_appender;
