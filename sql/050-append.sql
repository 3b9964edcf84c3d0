-- ====================================================================================================================
-- gundb: appending
-- ====================================================================================================================

-- A named type: its description is cached, where that of OUT parameters is made anew for each call.
CREATE TYPE gundb.appended AS (dot gundb.dot, id uuid, hlc gundb.hlc, version bigint, duplicate boolean);
COMMENT ON TYPE gundb.appended IS
    'What became of an append: the event''s dot, id and stamp; version, the key''s new count where expected_version was given; duplicate, whether the id was there already.';

CREATE FUNCTION gundb.append(
    stream text, type text, data jsonb DEFAULT '{}', key text DEFAULT NULL, meta jsonb DEFAULT '{}', id uuid DEFAULT NULL,
    expected_version bigint DEFAULT NULL, depends_on gundb.clock DEFAULT NULL
) RETURNS gundb.appended
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_append';
COMMENT ON FUNCTION gundb.append(text, text, jsonb, text, jsonb, uuid, bigint, gundb.clock) IS
    'Appends one event; needs INSERT on the stream''s table. id is the idempotency key: the same id and content give back the first dot (duplicate), other content GD006. expected_version counts the key''s events (0: none yet), else GD005; version is then the new count, and NULL for a duplicate. depends_on must be held here, else GD007.';

CREATE FUNCTION gundb.append_batch(stream text, events jsonb, depends_on gundb.clock DEFAULT NULL)
    RETURNS SETOF gundb.appended
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_append_batch';
COMMENT ON FUNCTION gundb.append_batch(text, jsonb, gundb.clock) IS
    'Appends an array of events, each an object with type and optionally data, key, meta, id, expected_version, as append does; all or none.';
