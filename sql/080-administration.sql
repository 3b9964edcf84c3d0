-- ====================================================================================================================
-- gundb: administration and health
-- ====================================================================================================================

CREATE FUNCTION gundb.reset() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_reset';
COMMENT ON FUNCTION gundb.reset() IS
    'Empties every stream and sets every consumer to the beginning; definitions stay. Locks out all appenders. For test suites, while no peer was ever added.';
CREATE FUNCTION gundb.uninstall(keep_tables boolean DEFAULT true) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_uninstall';
COMMENT ON FUNCTION gundb.uninstall(boolean) IS
    'Makes every stream a plain table (or drops it), so that DROP EXTENSION gundb can follow. Rewrites the tables.';
CREATE FUNCTION gundb.begin_restore() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_begin_restore';
COMMENT ON FUNCTION gundb.begin_restore() IS
    'Lets rows be loaded into streams with their coordinates, for a data-only dump, in every session until end_restore or the first append. Superusers only; 55000 once this site has appended.';
CREATE FUNCTION gundb.end_restore() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_end_restore';
COMMENT ON FUNCTION gundb.end_restore() IS 'Ends what begin_restore began.';

CREATE FUNCTION gundb.grant_admin(role name) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NULL THEN
        RAISE EXCEPTION 'argument "role" must not be null' USING ERRCODE = '22004';
    END IF;
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION gundb.create_stream(text, text, boolean), gundb.drop_stream(text),
             gundb.detach_stream(text), gundb.define_event(text, text, jsonb, integer, regprocedure),
             gundb.set_site_name(text), gundb.create_view(text, text, json, text, text[], text, text[], boolean),
             gundb.create_reducer_view(text, text, regprocedure, jsonb, text)
         TO %I', role);
END
$$;
COMMENT ON FUNCTION gundb.grant_admin(name) IS
    'Lets a role declare, drop and detach streams, make views of its own streams, define event types and name the site. REVOKE takes it back.';

CREATE FUNCTION gundb.status(
    OUT worker boolean, OUT library_version text, OUT run text, OUT hlc gundb.hlc, OUT drift_ms bigint,
    OUT lane_floor bigint, OUT restoring boolean
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_status';
COMMENT ON FUNCTION gundb.status() IS 'What shared memory knows of this database: the worker, the run, the clock. gundb.health reads it.';

REVOKE ALL ON FUNCTION gundb.reset(), gundb.uninstall(boolean), gundb.begin_restore(), gundb.end_restore(),
    gundb.grant_admin(name), gundb.status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gundb.status() TO pg_monitor;
