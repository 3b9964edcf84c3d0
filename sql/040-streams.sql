-- ====================================================================================================================
-- gundb: streams, event types, sites
-- ====================================================================================================================

CREATE FUNCTION gundb.stamp() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stamp';
COMMENT ON FUNCTION gundb.stamp() IS 'The trigger that makes a row of a stream''s table an event: gives it its place, time, id and chain.';
CREATE FUNCTION gundb.guard() RETURNS trigger
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_guard';
COMMENT ON FUNCTION gundb.guard() IS 'The trigger that refuses UPDATE, DELETE and TRUNCATE of events (GD001), and inserts into gundb.event (42809).';

CREATE TRIGGER gundb_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON gundb.event
    FOR EACH STATEMENT EXECUTE FUNCTION gundb.guard();
ALTER TABLE gundb.event ENABLE ALWAYS TRIGGER gundb_guard;

-- A stream's table says itself which stream it is, by the argument of its stamp trigger: the word survives renames,
-- dumps and restores, and there is no second place that could say otherwise.
CREATE VIEW gundb.stream_table AS
    SELECT pg_catalog.convert_from(pg_catalog.substr(t.tgargs, 1, pg_catalog.octet_length(t.tgargs) - 1), 'UTF8') AS name,
           t.tgrelid AS relid
      FROM pg_catalog.pg_inherits i
      JOIN pg_catalog.pg_trigger t ON t.tgrelid = i.inhrelid AND t.tgfoid = 'gundb.stamp'::pg_catalog.regproc AND t.tgnargs = 1
                                  -- BEFORE INSERT FOR EACH ROW
                                  AND t.tgtype = 7
     WHERE i.inhparent = 'gundb.event'::pg_catalog.regclass;
COMMENT ON VIEW gundb.stream_table IS 'The streams that have a table here.';
GRANT SELECT ON gundb.stream_table TO PUBLIC;

CREATE FUNCTION gundb.create_stream(name text, as_table text DEFAULT NULL, closed boolean DEFAULT false) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_create_stream';
COMMENT ON FUNCTION gundb.create_stream(text, text, boolean) IS
    'Declares a stream and makes its table, named like the stream in the current schema, or as_table (schema.table). Declared again: a notice, nothing else. closed: only defined event types may be appended. The caller owns the table.';

CREATE FUNCTION gundb.drop_stream(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_drop_stream';
COMMENT ON FUNCTION gundb.drop_stream(text) IS
    'Drops a stream''s table with its events, here only. For the owner of the table. Fails where something depends on the table. No dot of it is ever issued again.';

CREATE FUNCTION gundb.detach_stream(name text) RETURNS regclass
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_detach_stream';
COMMENT ON FUNCTION gundb.detach_stream(text) IS
    'Makes a stream''s table a plain table: lane, hlc, xact and chain become text, the triggers go. Rewrites the table. For its owner.';

CREATE FUNCTION gundb.define_event(
    stream text, type text, schema jsonb, version integer DEFAULT NULL, upcast regprocedure DEFAULT NULL
) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_define_event';
COMMENT ON FUNCTION gundb.define_event(text, text, jsonb, integer, regprocedure) IS
    'Defines an event type by a JSON Schema (draft 2020-12, nothing fetched), or by NULL: any data. Checked at every append here once it has committed, and in this transaction at once. Returns the version; versions grow by one. upcast is not supported yet.';

CREATE FUNCTION gundb.site_id() RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_site_id';
COMMENT ON FUNCTION gundb.site_id() IS 'This site''s uuid. Drawn, and written, when it is first needed; 25006 in a read-only transaction before that.';
CREATE FUNCTION gundb.site_name() RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_site_name';
COMMENT ON FUNCTION gundb.site_name() IS 'This site''s name; until one is given, the first eight digits of its uuid.';
CREATE FUNCTION gundb.set_site_name(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_set_site_name';
COMMENT ON FUNCTION gundb.set_site_name(text) IS 'Names this site: 1 to 63 bytes, no control characters, no /. Names need not be unique; uuids are.';
CREATE FUNCTION gundb.hlc_now() RETURNS gundb.hlc
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_hlc_now';
COMMENT ON FUNCTION gundb.hlc_now() IS 'A new stamp of this site''s hybrid logical clock, greater than every one before it.';

-- gundb.definition, the table of the system stream, is made with the first definition; until then nothing is defined.
CREATE FUNCTION gundb.definitions()
    RETURNS TABLE (hlc gundb.hlc, site uuid, lane gundb.lane, seq bigint, type text, key text, data jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL RESTRICTED
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('gundb.definition') IS NOT NULL THEN
        RETURN QUERY SELECT d.hlc, d.site, d.lane, d.seq, d.type, d.key, d.data FROM gundb.definition d;
    END IF;
END
$$;
COMMENT ON FUNCTION gundb.definitions() IS 'The events of the system stream.';

CREATE FUNCTION gundb.runs()
    RETURNS TABLE (site uuid, run bigint, previous bigint, started gundb.hlc)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT DISTINCT r.site, r.run, r.previous, r.started FROM gundb.own_run r $$;
COMMENT ON FUNCTION gundb.runs() IS 'The runs of this site, each once.';

CREATE VIEW gundb.site AS
    WITH own AS (
        SELECT r.site, pg_catalog.count(*) AS runs, pg_catalog.min(r.started) AS since, pg_catalog.max(r.started) AS latest
          FROM gundb.runs() r GROUP BY r.site
    ), named AS (
        SELECT DISTINCT ON (d.key) d.key::uuid AS site, d.data->>'name' AS name
          FROM gundb.definitions() d
         WHERE d.type = 'SiteNamed' AND d.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
         ORDER BY d.key, d.hlc DESC, d.site DESC, d.lane DESC, d.seq DESC
    )
    SELECT site,
           coalesce(named.name, pg_catalog.substr(pg_catalog.replace(site::text, '-', ''), 1, 8)) AS name,
           coalesce(own.latest = (SELECT pg_catalog.max(o.latest) FROM own o), false) AS own,
           coalesce(own.runs, 0) AS runs,
           own.since::timestamptz AS since
      FROM own FULL JOIN named USING (site);
COMMENT ON VIEW gundb.site IS 'The sites that are known here, this one (own) among them.';
COMMENT ON COLUMN gundb.site.runs IS 'How many lives of the server the site has appended in, as far as it is this database''s own.';
GRANT SELECT ON gundb.site TO PUBLIC;

CREATE VIEW gundb.event_type AS
    SELECT DISTINCT ON (d.key, d.data->>'type')
           d.key AS stream, d.data->>'type' AS type, (d.data->>'version')::integer AS version,
           nullif(d.data->'schema', 'null') AS schema, d.hlc::timestamptz AS defined
      FROM gundb.definitions() d WHERE d.type = 'EventDefined' AND d.data->>'version' ~ '^[0-9]{1,9}$'
     ORDER BY d.key, d.data->>'type', (d.data->>'version')::integer DESC, d.hlc DESC, d.site DESC, d.lane DESC, d.seq DESC;
COMMENT ON VIEW gundb.event_type IS 'The newest version of each defined event type.';
GRANT SELECT ON gundb.event_type TO PUBLIC;

REVOKE ALL ON FUNCTION gundb.create_stream(text, text, boolean), gundb.drop_stream(text), gundb.detach_stream(text),
    gundb.define_event(text, text, jsonb, integer, regprocedure), gundb.set_site_name(text), gundb.stamp(), gundb.guard()
    FROM PUBLIC;
