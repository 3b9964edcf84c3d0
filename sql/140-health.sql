-- ====================================================================================================================
-- gundb: health
-- ====================================================================================================================

CREATE VIEW gundb.health AS
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
        UNION ALL
        SELECT 'peers',
               CASE WHEN pg_catalog.bool_or(p.trouble IS NOT NULL) THEN 'WARNING' ELSE 'OK' END,
               CASE pg_catalog.count(*) WHEN 0 THEN 'There are no peers.' WHEN 1 THEN '1 peer, ' ELSE pg_catalog.format('%s peers, ', pg_catalog.count(*)) END
               || CASE WHEN pg_catalog.count(*) > 0 THEN pg_catalog.format('%s connected.', pg_catalog.count(*) FILTER (WHERE p.state = 'connected')) ELSE '' END
               || coalesce(' ' || pg_catalog.string_agg(pg_catalog.format('%s: %s.', p.peer, pg_catalog.rtrim(p.trouble, '.; ')), ' ' ORDER BY p.peer) FILTER (WHERE p.trouble IS NOT NULL), ''),
               CASE WHEN pg_catalog.bool_or(p.trouble IS NOT NULL) THEN 'SELECT * FROM gundb.peer_status says more; SELECT gundb.resume_peer(…) goes on with a paused one.' END
          FROM (SELECT coalesce(s.peer, s.site::text) AS peer, s.state,
                       -- What is tried again within a minute is no trouble, nor is a site that dials in when it likes.
                       CASE WHEN s.state = 'paused' THEN coalesce('paused: ' || s.last_error, 'paused')
                            WHEN s.url IS NULL THEN NULL
                            WHEN s.state IN ('waiting', 'connecting', 'gone', 'new') AND s.since < pg_catalog.clock_timestamp() - interval '1 min'
                                THEN 'no session since ' || pg_catalog.date_trunc('second', s.since) || coalesce(': ' || s.last_error, '')
                            WHEN s.oldest_to_send > interval '5 min' THEN pg_catalog.format('%s events wait to be sent', s.to_send) END AS trouble
                  FROM gundb.peer_status s WHERE s.url IS NOT NULL OR s.site IS NOT NULL AND s.state IN ('connected', 'paused')) p
        UNION ALL
        SELECT 'skew',
               CASE WHEN pg_catalog.max(pg_catalog.abs(p.skew_ms)) > m.ms / 2 THEN 'WARNING' ELSE 'OK' END,
               coalesce('The clocks of peers differ from this one by at most ' || pg_catalog.max(pg_catalog.abs(p.skew_ms)) || ' ms.',
                        'No peer has said what its clock shows.'),
               CASE WHEN pg_catalog.max(pg_catalog.abs(p.skew_ms)) > m.ms / 2 THEN 'Set the clocks right (NTP): events from too far ahead wait.' END
          FROM (SELECT setting::bigint * 1000 AS ms FROM pg_catalog.pg_settings WHERE name = 'gundb.max_time_drift') m
          LEFT JOIN gundb.peer_states() p ON true GROUP BY m.ms
        UNION ALL
        SELECT 'pending',
               CASE WHEN pg_catalog.count(*) FILTER (WHERE n.kind IN ('fork', 'malformed')) > 0 THEN 'CRITICAL'
                    WHEN pg_catalog.count(*) > 0 THEN 'WARNING' ELSE 'OK' END,
               CASE WHEN pg_catalog.count(*) = 0 THEN 'Nothing is pending.'
                    ELSE pg_catalog.format('Pending: %s, of them refused: %s.', pg_catalog.count(*),
                                           pg_catalog.count(*) FILTER (WHERE n.kind IN ('fork', 'malformed'))) END,
               CASE WHEN pg_catalog.count(*) FILTER (WHERE n.kind = 'fork') > 0
                    THEN 'SELECT * FROM gundb.pending says what waits, and why. A fork means that a site was copied while it ran: SELECT gundb.new_identity(…) or a restart there goes on.'
                    WHEN pg_catalog.count(*) > 0 THEN 'SELECT * FROM gundb.pending says what waits, and why.' END
          FROM gundb.pending n
        UNION ALL
        SELECT 'copies',
               CASE WHEN f.copies > 0 THEN 'CRITICAL' ELSE 'OK' END,
               CASE WHEN f.copies > 0 THEN pg_catalog.format('Another copy of this site is alive: it has written in %s runs since this one began.', f.copies)
                    ELSE 'No other copy of this site has been seen.' END,
               CASE WHEN f.copies > 0 THEN 'Nothing is lost. In one of the copies: SELECT gundb.new_identity(''name'');' END
          FROM gundb.clock_figures() f
        UNION ALL
        SELECT 'clocks',
               CASE WHEN f.lanes > 100000 THEN 'WARNING' ELSE 'OK' END,
               pg_catalog.format('The clock of this site has %s lanes of %s runs.', f.lanes, f.runs),
               CASE WHEN f.lanes > 100000 THEN 'Each start of a server begins a run: find out which one starts so often.' END
          FROM gundb.clock_figures() f
        UNION ALL
        SELECT 'adoption',
               CASE WHEN pg_catalog.count(*) > 0 THEN 'WARNING' ELSE 'OK' END,
               coalesce('Streams of peers: ' || pg_catalog.string_agg(pg_catalog.format('"%s": %s', a.name, a.problem), '; ' ORDER BY a.name) || '.',
                        'Every stream of a peer has the table that it should have.'),
               CASE WHEN pg_catalog.count(*) > 0 THEN 'ALTER TABLE … RENAME, or SELECT gundb.create_stream(''name'', ''schema.table'') under another name; gundb.stream_schema says where such tables are made.' END
          FROM gundb.adoption a
          -- A table that was renamed bears the name that somebody wants.
         WHERE a.made IS NULL OR EXISTS (SELECT FROM gundb.stream_table t JOIN pg_catalog.pg_class c ON c.oid = t.relid
                                          WHERE t.name = a.name AND c.relname = a.made)
    )
    SELECT * FROM checks;
COMMENT ON VIEW gundb.health IS 'What is well and what is not, and what to do about it. status: OK, WARNING or CRITICAL.';
GRANT SELECT ON gundb.health TO pg_monitor;
