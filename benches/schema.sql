-- What the benchmark measures with, in each database that it uses: the events to append, and plain tables to compare
-- with. docs/performance.md says why they are made like this.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION gundb;
CREATE SCHEMA bench;

-- One event's data: ten properties, 200 bytes as jsonb.
CREATE FUNCTION bench.data() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT '{"order": "A-20417", "sku": "B-1093", "quantity": 3, "price": 19.95, "currency": "EUR", "from": "dock 2",
             "to": "shelf 14", "express": false, "note": null, "at": "2026-05-12T09:41Z"}'::jsonb
$$;

-- Its JSON Schema: a check for each property, as people write them.
CREATE FUNCTION bench.data_schema() RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT '{
        "type": "object",
        "required": ["order", "sku", "quantity", "price", "currency", "from", "to", "at"],
        "additionalProperties": false,
        "properties": {
            "order":    {"type": "string", "minLength": 1, "maxLength": 20},
            "sku":      {"type": "string", "pattern": "^[A-Z]-[0-9]+$"},
            "quantity": {"type": "integer", "minimum": 1},
            "price":    {"type": "number", "minimum": 0},
            "currency": {"enum": ["EUR", "USD", "JPY"]},
            "from":     {"type": "string", "maxLength": 40},
            "to":       {"type": "string", "maxLength": 40},
            "express":  {"type": "boolean"},
            "note":     {"type": ["string", "null"]},
            "at":       {"type": "string", "minLength": 10}
        }
    }'::jsonb
$$;

-- A plain table like a stream's: the same columns, defaults and indexes, no triggers. gundb's types become built-in ones
-- of the same bytes, so that nothing of gundb runs; what a row must have and is not given is a constant.
CREATE FUNCTION bench.make_twin(stream regclass, twin text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changes text;
BEGIN
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', twin, stream);
    SELECT string_agg(format('ALTER %I TYPE %s USING NULL', a.attname, CASE t.typlen WHEN 8 THEN 'bigint' ELSE 'uuid' END), ', ')
      INTO changes
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = twin::regclass AND t.typnamespace = 'gundb'::regnamespace;
    EXECUTE format('ALTER TABLE %s %s', twin, changes);
    SELECT string_agg(format('ALTER %I SET DEFAULT %s', a.attname, CASE a.atttypid
               WHEN 'uuid'::regtype THEN '''6f1d2c3b-4a59-4687-9cab-d0e1f2a3b4c5''' ELSE '0' END), ', ')
      INTO changes
      FROM pg_attribute a
     WHERE a.attrelid = twin::regclass AND a.attnum > 0 AND a.attnotnull AND NOT a.atthasdef
       AND a.atttypid <> 'text'::regtype;
    EXECUTE format('ALTER TABLE %s %s', twin, changes);
END
$$;

-- Prepares an INSERT into each of the plain tables p0, p1 …
CREATE FUNCTION bench.prepare_plain(tables integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET plan_cache_mode = force_generic_plan;
    FOR i IN 0 .. tables - 1 LOOP
        EXECUTE format('PREPARE plain_%1$s (bigint, bigint, bigint, text, jsonb) AS
                        INSERT INTO p%1$s (lane, seq, hlc, id, type, key, data)
                        VALUES ($1, $2, $3, (''01900000000070008'' || $3)::uuid, ''ItemMoved'', $4, $5)', i);
    END LOOP;
END
$$;

-- Copies a stream's rows into its twin, as they lie.
CREATE FUNCTION bench.fill_twin(stream regclass, twin regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns text;
BEGIN
    SELECT string_agg(format('%I::%s', a.attname, format_type(a.atttypid, NULL)), ', ' ORDER BY a.attnum)
      INTO columns
      FROM pg_attribute a WHERE a.attrelid = twin AND a.attnum > 0;
    EXECUTE format('INSERT INTO %s SELECT %s FROM ONLY %s', twin, columns, stream);
END
$$;

-- The rival in size: what people make for events, with as many indexes as the stream has. Its times are those of the
-- stream's stamps, with the counter for microseconds, so that they differ as those of a real table do.
CREATE FUNCTION bench.make_simple(stream regclass, simple text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    indexes CONSTANT text[] := ARRAY['time', 'key, time', 'type, time', 'type, key, time'];
    wanted bigint;
BEGIN
    SELECT count(*) INTO wanted FROM pg_index WHERE indrelid = stream;
    EXECUTE format('CREATE TABLE %s (id uuid PRIMARY KEY, type text NOT NULL, key text, data jsonb NOT NULL, time timestamptz NOT NULL)', simple);
    FOR i IN 1 .. wanted - 1 LOOP
        EXECUTE format('CREATE INDEX ON %s (%s)', simple, indexes[i]);
    END LOOP;
    EXECUTE format('INSERT INTO %s SELECT id, type, key, data,
                           hlc::timestamptz + (hlc::bigint & 65535) * interval ''1 microsecond''
                      FROM ONLY %s ORDER BY hlc', simple, stream);
END
$$;

-- Where the bytes of a table go, a row of the table on average.
CREATE FUNCTION bench.bytes(measured regclass) RETURNS TABLE (part text, what text, bytes numeric) LANGUAGE plpgsql AS $$
DECLARE
    attribute name;
    events numeric;
    stored numeric := 0;
BEGIN
    EXECUTE format('SELECT count(*) FROM ONLY %s', measured) INTO events;
    FOR attribute IN
        SELECT attname FROM pg_attribute WHERE attrelid = measured AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    LOOP
        EXECUTE format('SELECT coalesce(sum(pg_column_size(%I)), 0) / $1 FROM ONLY %s', attribute, measured)
           INTO bytes USING events;
        part := 'column';
        what := attribute;
        stored := stored + bytes;
        RETURN NEXT;
    END LOOP;
    part := 'overhead';
    what := 'row header, alignment, page';
    bytes := pg_relation_size(measured) / events - stored;
    RETURN NEXT;
    RETURN QUERY
        SELECT 'index', regexp_replace(pg_get_indexdef(indexrelid), '^.* USING btree ', ''), pg_relation_size(indexrelid) / events
          FROM pg_index WHERE indrelid = measured ORDER BY indisprimary DESC, indexrelid;
    part := 'overhead';
    what := 'maps of free space and visibility, TOAST';
    bytes := (pg_table_size(measured) - pg_relation_size(measured)) / events;
    RETURN NEXT;
END
$$;

-- Reads a stream to its end in pages of 1,000, inside the server. Returns the number of events.
CREATE FUNCTION bench.read_pages(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    event record;
    position gundb.clock := '{}';
    events bigint := 0;
BEGIN
    LOOP
        FOR event IN SELECT * FROM gundb.read(name, position, 1000) LOOP
            events := events + 1;
        END LOOP;
        EXIT WHEN NOT FOUND;
        position := event.next;
    END LOOP;
    RETURN events;
END
$$;

-- Reads a plain table in order, the same way.
CREATE FUNCTION bench.read_plain(twin regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    event record;
    events bigint := 0;
BEGIN
    FOR event IN EXECUTE format('SELECT site, lane, seq, hlc, xact, id, type, key, data, meta FROM %s ORDER BY hlc', twin) LOOP
        events := events + 1;
    END LOOP;
    RETURN events;
END
$$;

-- What people write by hand instead of a view of three columns: a row trigger that keeps a table of state.
CREATE FUNCTION bench.keep_by_hand(plain regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE by_hand (key text PRIMARY KEY, total numeric, place text, placed bigint, moves bigint) WITH (fillfactor = 80);
    CREATE OR REPLACE FUNCTION bench.by_hand() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        INSERT INTO by_hand AS h VALUES (NEW.key, (NEW.data->>'quantity')::numeric, NEW.data->>'to', NEW.hlc, 1)
        ON CONFLICT (key) DO UPDATE
           SET total = h.total + excluded.total, moves = h.moves + 1, placed = greatest(h.placed, excluded.placed),
               place = CASE WHEN excluded.placed >= h.placed THEN excluded.place ELSE h.place END;
        RETURN NULL;
    END
    $f$;
    EXECUTE format('CREATE TRIGGER by_hand AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION bench.by_hand()', plain);
END
$$;

-- A reducer, for events of a row type: the stream's, or the plain table's.
CREATE FUNCTION bench.make_reducer(event regtype) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($f$
        CREATE OR REPLACE FUNCTION bench.reduced(state jsonb, event %s) RETURNS jsonb IMMUTABLE LANGUAGE plpgsql AS $body$
        BEGIN
            RETURN state || jsonb_build_object(
                'total', coalesce((state->>'total')::numeric, 0) + (event.data->>'quantity')::numeric,
                'place', event.data->>'to',
                'moves', coalesce((state->>'moves')::bigint, 0) + 1);
        END
        $body$ $f$, event);
END
$$;

-- What people write by hand instead of a reducer view: a row trigger that calls the reducer.
CREATE FUNCTION bench.keep_reduced_by_hand(plain regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    CREATE TABLE by_hand (key text PRIMARY KEY, state jsonb NOT NULL) WITH (fillfactor = 80);
    CREATE OR REPLACE FUNCTION bench.reduced_by_hand() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        UPDATE by_hand SET state = bench.reduced(state, NEW) WHERE key = NEW.key;
        IF NOT FOUND THEN
            INSERT INTO by_hand AS h VALUES (NEW.key, bench.reduced('{}', NEW))
            ON CONFLICT (key) DO UPDATE SET state = bench.reduced(h.state, NEW);
        END IF;
        RETURN NULL;
    END
    $f$;
    EXECUTE format('CREATE TRIGGER by_hand AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION bench.reduced_by_hand()', plain);
END
$$;

-- The same state by one GROUP BY.
CREATE FUNCTION bench.grouped(plain regclass) RETURNS TABLE (key text, total numeric, place text, moves bigint)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT key, sum((data->>''quantity'')::numeric),
                (array_agg(data->>''to'' ORDER BY hlc DESC, site DESC, lane DESC, seq DESC))[1], count(*)
           FROM %s GROUP BY key', plain);
END
$$;
