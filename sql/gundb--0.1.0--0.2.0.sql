-- ====================================================================================================================
-- gundb 0.1.0 to 0.2.0: views and CRDT values
--
-- A line "-- include FILE" stands for a file of this folder, put in its place when the script is installed.
-- ====================================================================================================================

\echo Use "ALTER EXTENSION gundb UPDATE" to load this file. \quit

-- include 090-crdt.sql
-- include 100-views.sql
-- include 110-past.sql
-- include 120-apply.sql

CREATE OR REPLACE FUNCTION gundb.grant_admin(role name) RETURNS void
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

CREATE OR REPLACE VIEW gundb.health AS
    WITH s AS MATERIALIZED (SELECT * FROM gundb.status()),
    t AS (
        SELECT tr.tgrelid::pg_catalog.regclass::text AS name
          FROM pg_catalog.pg_trigger tr
          JOIN pg_catalog.pg_proc p ON p.oid = tr.tgfoid AND p.pronamespace = pg_catalog.to_regnamespace('gundb')
         WHERE p.proname IN ('stamp', 'guard', 'maintain', 'guard_view') AND tr.tgenabled <> 'A' AND NOT tr.tgisinternal
    ), checks ("check", status, message, what_to_do) AS (
        SELECT 'worker',
               CASE WHEN s.worker THEN 'OK' ELSE 'WARNING' END,
               CASE WHEN s.worker THEN 'The worker is running.' ELSE 'The worker is not running: consumers that wait look by themselves every second, and NOTIFY is not sent.' END,
               CASE WHEN NOT s.worker THEN 'Look for "gundb" in the server''s log; raise max_worker_processes if no slot is free.' END
          FROM s
        UNION ALL
        SELECT 'version',
               CASE WHEN x.extversion = s.library_version THEN 'OK' ELSE 'WARNING' END,
               pg_catalog.format('Extension %s, library %s.', x.extversion, s.library_version),
               CASE WHEN x.extversion <> s.library_version THEN 'Run ALTER EXTENSION gundb UPDATE;' END
          FROM s, pg_catalog.pg_extension x WHERE x.extname = 'gundb'
        UNION ALL
        SELECT 'clock',
               CASE WHEN s.drift_ms > m.ms THEN 'CRITICAL' WHEN s.drift_ms > m.ms / 2 THEN 'WARNING' ELSE 'OK' END,
               pg_catalog.format('The hybrid logical clock is %s ms ahead of the server''s.', greatest(s.drift_ms, 0)),
               CASE WHEN s.drift_ms > m.ms / 2 THEN 'Set the server''s clock right (NTP). Stamps stay ahead until it has caught up; peers hold events from too far ahead back.' END
          FROM s, (SELECT setting::bigint * 1000 AS ms FROM pg_catalog.pg_settings WHERE name = 'gundb.max_time_drift') m
        UNION ALL
        SELECT 'lanes',
               CASE WHEN s.lane_floor > 60000 THEN 'CRITICAL' WHEN s.lane_floor > 30000 THEN 'WARNING' ELSE 'OK' END,
               pg_catalog.format('%s of 65536 lane numbers of this run are used up by dropped streams.', s.lane_floor),
               CASE WHEN s.lane_floor > 30000 THEN 'Restart the server: that begins a new run.' END
          FROM s
        UNION ALL
        SELECT 'restore',
               CASE WHEN s.restoring THEN 'WARNING' ELSE 'OK' END,
               CASE WHEN s.restoring THEN 'Rows may be loaded with coordinates.' ELSE 'No restore is open.' END,
               CASE WHEN s.restoring THEN 'Run SELECT gundb.end_restore(); when the load has ended.' END
          FROM s
        UNION ALL
        SELECT 'triggers',
               CASE WHEN pg_catalog.count(*) = 0 THEN 'OK' ELSE 'CRITICAL' END,
               coalesce('Tables with a disabled trigger of gundb: ' || pg_catalog.string_agg(DISTINCT t.name, ', ') || '.',
                        'All triggers of gundb are enabled.'),
               CASE WHEN pg_catalog.count(*) > 0 THEN 'For each of them: ALTER TABLE … ENABLE TRIGGER ALL; for views, SELECT gundb.check_view(…) and rebuild_view(…) then.' END
          FROM t
        UNION ALL
        SELECT 'durability',
               CASE WHEN pg_catalog.bool_and(setting = 'on') THEN 'OK' ELSE 'CRITICAL' END,
               CASE WHEN pg_catalog.bool_and(setting = 'on') THEN 'fsync and full_page_writes are on.' ELSE 'fsync or full_page_writes is off: a power failure can damage the database.' END,
               CASE WHEN NOT pg_catalog.bool_and(setting = 'on') THEN 'Turn them on in postgresql.conf.' END
          FROM pg_catalog.pg_settings WHERE name IN ('fsync', 'full_page_writes')
        UNION ALL
        SELECT 'disk', 'OK',
               pg_catalog.format('Streams take %s, and grow by %s a day.',
                                 pg_catalog.pg_size_pretty(coalesce(pg_catalog.sum(bytes), 0)),
                                 pg_catalog.pg_size_pretty(coalesce(pg_catalog.sum(bytes_a_day), 0))),
               NULL
          FROM gundb.stream
    )
    SELECT * FROM checks;

-- Sessions remember where the extension's tables are, and forget it when gundb.event changes.
ALTER TABLE gundb.event SET (autovacuum_enabled = true);
ALTER TABLE gundb.event RESET (autovacuum_enabled);
