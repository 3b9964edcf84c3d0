-- Event types: JSON Schemas, versions, closed streams.
\i include/attempt.sql
SET DateStyle = ISO;
SET TimeZone = 'UTC';

SELECT gundb.create_stream('orders');

-- A type that is not defined takes any data. Once it is defined, data has to fit.
INSERT INTO orders (type, data) VALUES ('Received', '"anything"');
SELECT gundb.define_event('orders', 'Received', '{
    "type": "object", "required": ["sku", "qty"], "additionalProperties": false,
    "properties": {"sku": {"type": "string", "minLength": 1}, "qty": {"type": "integer", "minimum": 1},
                   "lines": {"type": "array", "items": {"type": "object", "required": ["price"], "properties": {"price": {"type": "number"}}}},
                   "a/b": {"type": "object", "properties": {"~": {"type": "null"}}}}}');
INSERT INTO orders (type, data) VALUES ('Received', '{"sku": "A-1", "qty": 3, "lines": [{"price": 1.5}], "a/b": {"~": null}}');
SELECT duplicate FROM gundb.append('orders', 'Received', '{"sku": "A-1", "qty": 3}');
-- DETAIL names the path.
\set ECHO errors
SELECT data, a.state, a.detail FROM (VALUES
    (1, '{}'), (2, '{"sku": "A-1"}'), (3, '{"sku": "", "qty": 1}'), (4, '{"sku": "A-1", "qty": 0}'), (5, '{"sku": "A-1", "qty": 1.5}'), (6, '{"sku": "A-1", "qty": 1.0}'),
    (7, '{"sku": "A-1", "qty": "1"}'), (8, '{"sku": "A-1", "qty": 1, "colour": "red"}'),
    (9, '{"sku": "A-1", "qty": 1, "lines": [{"price": 1}, {"price": "2"}]}'), (10, '{"sku": "A-1", "qty": 1, "lines": [{}]}'),
    (11, '{"sku": "A-1", "qty": 1, "a/b": {"~": 1}}'), (12, '[]'), (13, '"text"'), (14, 'null'), (15, '7'),
    (16, '{"sku": "A-1", "qty": 100000000000000000000000000000000000000000}')) AS v (n, data),
    pg_temp.attempt(format('INSERT INTO orders (type, data) VALUES (''Received'', %L)', data)) AS a ORDER BY n;
\set ECHO all
SELECT answer, hint FROM pg_temp.attempt($$INSERT INTO orders (type, data) VALUES ('Received', '{}')$$);
-- The same by append, append_batch, COPY.
SELECT a.state, a.detail FROM (VALUES ($$SELECT gundb.append('orders', 'Received')$$),
    ($$SELECT gundb.append_batch('orders', '[{"type": "Received", "data": {"sku": "A-1", "qty": 1}}, {"type": "Received"}]')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
\set VERBOSITY sqlstate
COPY orders (type, data) FROM STDIN;
Received	{"sku": "A-1", "qty": -1}
\.
\set VERBOSITY default
SELECT count(*) FROM orders;
SELECT count(*) FROM gundb.verify('orders');

-- Every argument by its name; NULL for each.
SELECT gundb.define_event(stream => 'orders', type => 'Sold', schema => '{"required": ["sku"]}', version => 1, upcast => NULL);
SELECT a.* FROM (VALUES (1, $$SELECT gundb.define_event(NULL, 'A', '{}')$$), (2, $$SELECT gundb.define_event('orders', NULL, '{}')$$),
    (3, $$SELECT gundb.define_event('orders', 'Anything', NULL)$$), (4, $$SELECT gundb.define_event('orders', 'Sold', '{"required": ["qty"]}', version => NULL)$$),
    (5, $$SELECT gundb.define_event('orders', 'Sold', '{}', upcast => 'lower(text)'::regprocedure)$$), (6, $$SELECT gundb.define_event('order', 'A', '{}')$$),
    (7, $$SELECT gundb.define_event('orders', '', '{}')$$), (8, format($$SELECT gundb.define_event('orders', %L, '{}')$$, repeat('x', 256))),
    (9, format($$SELECT gundb.define_event('orders', %L, '{}')$$, repeat('x', 255)))) AS v (n, statement), pg_temp.attempt(statement) AS a ORDER BY n;
-- What any data fits is defined all the same.
INSERT INTO orders (type, data) VALUES ('Anything', '[1, "two"]');

-- ---------------------------------------------------------------------------------------------------------------------
-- Versions grow by one
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount"]}');
-- The same again is nothing new.
SELECT gundb.define_event('orders', 'Paid', '{"required":["amount"]}');
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount"]}', 1);
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount", "currency"]}');
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount"]}', 3);
SELECT version, a.state, a.answer, a.hint FROM unnest(ARRAY[-1, 0, 1, 2, 3, 5, 2147483647]) AS version,
    pg_temp.attempt(format('SELECT gundb.define_event(''orders'', ''Paid'', ''{"required": ["amount", "date"]}'', %L)', version)) AS a;
SELECT stream, type, version, schema, defined <= now() AS defined FROM gundb.event_type WHERE type IN ('Paid', 'Anything') ORDER BY type;
-- The newest holds, from this transaction on; what is stored stays as it is.
INSERT INTO orders (type, data) VALUES ('Paid', '{"amount": 1}');
BEGIN;
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount", "date"]}');
SELECT state, detail FROM pg_temp.attempt($$INSERT INTO orders (type, data) VALUES ('Paid', '{"amount": 2}')$$);
ROLLBACK;
INSERT INTO orders (type, data) VALUES ('Paid', '{"amount": 3}');
BEGIN;
SAVEPOINT s;
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount", "date"]}');
ROLLBACK TO s;
INSERT INTO orders (type, data) VALUES ('Paid', '{"amount": 4}');
COMMIT;
SELECT gundb.define_event('orders', 'Paid', '{"required": ["amount", "date"]}');
SELECT state FROM pg_temp.attempt($$INSERT INTO orders (type, data) VALUES ('Paid', '{"amount": 5}')$$);
SELECT data FROM orders WHERE type = 'Paid' ORDER BY seq;
SELECT gundb.define_event('orders', 'Paid', NULL);
INSERT INTO orders (type) VALUES ('Paid');

-- ---------------------------------------------------------------------------------------------------------------------
-- Schemas
-- ---------------------------------------------------------------------------------------------------------------------

-- Schemas that are none.
\set ECHO errors
SELECT left(schema, 70) AS schema, a.state, a.detail FROM (VALUES (1, '[]'), (2, '1'), (3, '"object"'), (4, 'null'), (5, '{"type": "objekt"}'), (6, '{"type": 5}'),
    (7, '{"required": "sku"}'), (8, '{"properties": {"a": {"minimum": "1"}}}'), (9, '{"pattern": "("}'), (10, '{"$schema": "http://example.com/other"}'),
    -- Nothing outside is referred to, nothing is fetched.
    (11, '{"$ref": "https://example.com/schema.json"}'), (12, '{"$ref": "file:///etc/passwd"}'), (13, '{"properties": {"a": {"$ref": "other.json"}}}'),
    (14, '{"$ref": "#/$defs/missing"}'), (15, '{"$dynamicRef": "https://example.com/x"}')) AS v (n, schema),
    pg_temp.attempt(format('SELECT gundb.define_event(''orders'', ''Bad'', %L)', schema)) AS a ORDER BY n;
\set ECHO all
SELECT answer, hint FROM pg_temp.attempt($$SELECT gundb.define_event('orders', 'Bad', '{"type": "objekt"}')$$);
SELECT count(*) FROM gundb.event_type WHERE type = 'Bad';
-- Inside, references work: $defs, recursion, anchors; true, false and {} are schemas.
SELECT gundb.define_event('orders', 'Tree', '{"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "required": ["name"], "properties": {"name": {"$ref": "#/$defs/name"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}}},
              "name": {"type": "string", "pattern": "^[a-z]+$"}}}');
SELECT data, a.state, a.detail FROM (VALUES (1, '{"name": "root", "children": [{"name": "leaf"}]}'), (2, '{"name": "root", "children": [{"name": "leaf", "children": [{"name": "7"}]}]}'),
    (3, '{"name": "root", "children": [{}]}')) AS v (n, data), pg_temp.attempt(format('INSERT INTO orders (type, data) VALUES (''Tree'', %L)', data)) AS a ORDER BY n;
SELECT gundb.define_event('orders', 'Never', 'false');
SELECT gundb.define_event('orders', 'Always', 'true');
SELECT type, a.state FROM (VALUES ('Never'), ('Always')) AS v (type), pg_temp.attempt(format('INSERT INTO orders (type) VALUES (%L)', type)) AS a;
-- A format says what is meant, as the draft has it; it is not checked.
SELECT gundb.define_event('orders', 'Formats', '{"properties": {"at": {"format": "date-time"}, "id": {"format": "uuid"}, "mail": {"format": "email"}, "x": {"format": "of my own"}}}');
SELECT data, a.state, a.detail FROM (VALUES (1, '{"at": "2026-11-23T00:41:07Z", "id": "00000000-0000-0000-0000-000000000001", "mail": "ann@example.com", "x": "y"}'),
    (2, '{"at": "yesterday"}'), (3, '{"id": "7"}'), (4, '{"mail": "ann"}')) AS v (n, data),
    pg_temp.attempt(format('INSERT INTO orders (type, data) VALUES (''Formats'', %L)', data)) AS a ORDER BY n;
-- A schema and data that would take a careless checker long.
SELECT gundb.define_event('orders', 'Pattern', '{"pattern": "^(a+)+$"}');
SELECT a.state FROM pg_temp.attempt(format('INSERT INTO orders (type, data) VALUES (''Pattern'', %L)', to_jsonb(repeat('a', 50) || '!'))) AS a;
-- Numbers are compared as they are written, not as floats.
SELECT gundb.define_event('orders', 'Exact', '{"properties": {"n": {"maximum": 9007199254740993}}}');
SELECT n, a.state FROM unnest(ARRAY['9007199254740993', '9007199254740994', '9007199254740993.5', '1e400']) AS n,
    pg_temp.attempt(format('INSERT INTO orders (type, data) VALUES (''Exact'', ''{"n": %s}'')', n)) AS a;

-- ---------------------------------------------------------------------------------------------------------------------
-- Closed streams take only what is defined
-- ---------------------------------------------------------------------------------------------------------------------

SELECT gundb.create_stream('ledger', closed => true);
SELECT closed FROM gundb.stream WHERE name = 'ledger';
SELECT * FROM pg_temp.attempt($$SELECT gundb.append('ledger', 'Booked')$$);
SELECT gundb.define_event('ledger', 'Booked', NULL);
SELECT gundb.define_event('ledger', 'Reversed', '{"required": ["of"]}');
SELECT statement, a.state, a.answer, a.hint FROM (VALUES ('INSERT INTO ledger (type) VALUES (''Booked'')'), ('INSERT INTO ledger (type) VALUES (''booked'')'),
    ('INSERT INTO ledger (type) VALUES (''Bookd'')'), ('INSERT INTO ledger (type) VALUES (''Something else'')'), ('INSERT INTO ledger (type) VALUES (''Reversed'')'),
    ('INSERT INTO ledger (type, data) VALUES (''Reversed'', ''{"of": 1}'')')) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT a.state, a.answer FROM (VALUES ($$SELECT gundb.create_stream('ledger')$$), ($$SELECT gundb.create_stream('orders', closed => true)$$)) AS v (statement), pg_temp.attempt(statement) AS a;
SELECT gundb.create_stream('ledger', closed => true);
-- Dropped and declared anew, open: what was defined of it stays defined.
SELECT gundb.drop_stream('ledger');
SELECT gundb.create_stream('ledger');
SELECT statement, a.state FROM (VALUES ('INSERT INTO ledger (type) VALUES (''Something else'')'), ('INSERT INTO ledger (type) VALUES (''Reversed'')')) AS v (statement), pg_temp.attempt(statement) AS a;

-- The system stream's types are gundb's.
SELECT a.state <> '00000' AS refused FROM (VALUES ($$SELECT gundb.define_event('gundb', 'SiteNamed', '{"type": "string"}')$$)) AS v (statement), pg_temp.attempt(statement) AS a;
-- Definitions are events, that can be read.
SELECT type, key, data - 'schema' AS data FROM gundb.read('gundb') WHERE key = 'ledger';
SELECT count(*) FROM gundb.verify('gundb');
