-- ====================================================================================================================
-- gundb: peers
--
-- Whom this site exchanges events with, what flows each way, and how it goes. What is configured is dumped; secrets, and
-- what is only known of a peer for now, are not.
-- ====================================================================================================================

CREATE TABLE gundb.peer (
    name          text        PRIMARY KEY,
    url           text        NOT NULL,
    push          text[]      NOT NULL,
    pull          text[]      NOT NULL,
    accept        text        NOT NULL CHECK (accept IN ('own', 'any')),
    options       jsonb       NOT NULL,
    paused_since  timestamptz,
    paused_reason text,
    added         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.peer IS 'The peers that this site dials. gundb.add_peer and its like write it; gundb.peer_status is for reading.';
SELECT pg_catalog.pg_extension_config_dump('gundb.peer', '');

CREATE TABLE gundb.peer_grant (
    role    name        PRIMARY KEY,
    push    text[]      NOT NULL,
    pull    text[]      NOT NULL,
    accept  text        NOT NULL CHECK (accept IN ('own', 'any')),
    granted timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.peer_grant IS 'The roles as which other sites may dial in, and which streams they may bring (push) and take (pull). gundb.grant_peer writes it. By name, so that a dump can be restored before the roles are made; the role also has EXECUTE on gundb.session_hello, so that PostgreSQL refuses to drop it until gundb.revoke_peer.';
SELECT pg_catalog.pg_extension_config_dump('gundb.peer_grant', '');

-- Not dumped: a dump is copied to places where no password should be.
CREATE TABLE gundb.peer_secret (
    name   text PRIMARY KEY REFERENCES gundb.peer ON DELETE CASCADE,
    secret text NOT NULL
);
COMMENT ON TABLE gundb.peer_secret IS 'The passwords with which this site dials. For the extension''s owner alone; pg_dump leaves them out.';

CREATE TABLE gundb.peering (
    began timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.peering IS 'A row as soon as this site ever had a peer: what it has written may be elsewhere from then on.';
SELECT pg_catalog.pg_extension_config_dump('gundb.peering', '');

CREATE TABLE gundb.definer (
    site  uuid        PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.definer IS 'Sites whose definitions count here: they came from a peer that may bring anybody''s events. Those of others are listed in gundb.definition, and not followed.';
SELECT pg_catalog.pg_extension_config_dump('gundb.definer', '');

CREATE TABLE gundb.left_stream (
    name  text        PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.left_stream IS 'Streams that were dropped or detached here: they are not taken from peers, until gundb.create_stream declares them again.';
SELECT pg_catalog.pg_extension_config_dump('gundb.left_stream', '');

CREATE TABLE gundb.adoption (
    name    text        PRIMARY KEY,
    problem text        NOT NULL,
    since   timestamptz NOT NULL DEFAULT now(),
    tries   integer     NOT NULL DEFAULT 1,
    made    name
);
COMMENT ON TABLE gundb.adoption IS 'Streams of peers that did not become a table here of the same name in gundb.stream_schema, and why. gundb.health tells.';
COMMENT ON COLUMN gundb.adoption.made IS 'The name of the table that was made instead; NULL where there is none.';
SELECT pg_catalog.pg_extension_config_dump('gundb.adoption', '');

CREATE TABLE gundb.known_links (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    known  bytea
);
COMMENT ON TABLE gundb.known_links IS 'One row, once there was a hello: who was heard over which link, and by which ways events come to this site and to those from whom they come (docs/protocol.md).';
SELECT pg_catalog.pg_extension_config_dump('gundb.known_links', '');

CREATE TABLE gundb.inbox (
    peer    text        NOT NULL,
    site    uuid        NOT NULL,
    run     bigint      NOT NULL,
    number  bigint      NOT NULL,
    part    bigint      NOT NULL,
    is_last boolean     NOT NULL,
    bundle  bytea       NOT NULL,
    since   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (peer, site, run, number, part)
);
ALTER TABLE gundb.inbox ALTER COLUMN bundle SET STORAGE EXTERNAL;
COMMENT ON TABLE gundb.inbox IS 'What has come and cannot be applied yet: parts of transactions that are larger than a bundle, and bundles that were imported before what they build on (part -1). By the peer whose session brings them; empty for what was imported, /own for what couriers brought of peers that may only bring their own, /staged for parts of what gundb.staged lists.';
SELECT pg_catalog.pg_extension_config_dump('gundb.inbox', '');

CREATE VIEW gundb.pending WITH (security_barrier) AS
    WITH me AS (
        SELECT pg_catalog.pg_has_role('pg_monitor', 'USAGE') OR pg_catalog.pg_has_role(x.extowner, 'USAGE') AS sees_all
          FROM pg_catalog.pg_extension x WHERE x.extname = 'gundb'
    ), mine AS (
        SELECT d.relation, d.number
          FROM gundb.view_definition d JOIN pg_catalog.pg_class c ON c.oid = d.relation
         WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR (SELECT sees_all FROM me)
    )
    SELECT 'event' AS kind, m.relation AS view, p.key, p.dot, p.reason, p.sqlstate, p.since, p.tries
      FROM gundb.view_pending p JOIN mine m ON m.number = p.view
     UNION ALL
    SELECT 'key', m.relation, nullif(l.shown, ''), l.dot, l.reason, l.sqlstate, l.since, l.tries
      FROM gundb.view_late l JOIN mine m ON m.number = l.view
     UNION ALL
    SELECT s.kind, NULL, NULL, s.dot, s.reason, CASE s.kind WHEN 'stream' THEN 'GD008' ELSE '55000' END, s.since, s.tries
      FROM gundb.staged s WHERE (SELECT sees_all FROM me)
     UNION ALL
    SELECT r.kind, NULL, NULL, r.dot, r.reason, CASE r.kind WHEN 'fork' THEN 'GD016' ELSE '22023' END, r.since, r.tries
      FROM gundb.refused r WHERE (SELECT sees_all FROM me)
     UNION ALL
    SELECT 'bundle', NULL, NULL, NULL,
           CASE WHEN pg_catalog.max(i.part) < 0 THEN pg_catalog.format('a bundle of site %s: what it builds on has not come', i.site)
                ELSE pg_catalog.format('%s parts of a large transaction: others have not come', pg_catalog.count(*)) END,
           '55000', pg_catalog.min(i.since), 0
      FROM gundb.inbox i WHERE (SELECT sees_all FROM me) AND i.peer <> '/staged' GROUP BY i.peer, i.site, i.run, i.number;
COMMENT ON VIEW gundb.pending IS
    'What waits, and why: for members of pg_monitor and the extension''s owner all of it, for others what concerns their own views. SELECT gundb.retry_pending() tries again; gundb.accept_pending() takes stamps that are ahead.';
COMMENT ON COLUMN gundb.pending.kind IS
    'event: an event that a view could not fold, or whose row its table refused. key: an event that has not come to a key of a view, since the key was busy, or a trigger or constraint of the view''s table refused it; it does within a second of the key being free, and what was refused is tried again, ever less often. time, stream, behind: a transaction of another site, named by its first event, that waits for the time of its stamp, for a stream, or behind one that does. bundle: what was imported too early, or parts of a large transaction. fork, malformed: one that was refused, named by the event that does not fit.';
COMMENT ON COLUMN gundb.pending.view IS 'The view; NULL where a whole transaction waits or was refused.';
COMMENT ON COLUMN gundb.pending.key IS 'The key whose row lacks the event, its values with a comma and a space between; NULL where it cannot be read, or none is concerned.';
COMMENT ON COLUMN gundb.pending.dot IS 'The event.';
COMMENT ON COLUMN gundb.pending.reason IS 'Why it waits: the message of the last try.';
COMMENT ON COLUMN gundb.pending.sqlstate IS 'The SQLSTATE of that (docs/errors.md).';
COMMENT ON COLUMN gundb.pending.since IS 'When it was first tried.';
COMMENT ON COLUMN gundb.pending.tries IS 'How often it was tried.';
GRANT SELECT ON gundb.pending TO PUBLIC;

-- What is known of a peer for now. A crash empties it, and a standby has none.
CREATE UNLOGGED TABLE gundb.peer_state (
    name            text NOT NULL,
    role            text NOT NULL,
    site            uuid,
    run             bigint,
    site_name       text,
    software        text,
    state           text NOT NULL,
    since           timestamptz NOT NULL DEFAULT now(),
    last_contact    timestamptz,
    last_error      text,
    last_error_at   timestamptz,
    events_sent     bigint NOT NULL DEFAULT 0,
    bytes_sent      bigint NOT NULL DEFAULT 0,
    events_received bigint NOT NULL DEFAULT 0,
    bytes_received  bigint NOT NULL DEFAULT 0,
    round_trip_ms   double precision,
    skew_ms         bigint,
    holds           gundb.clock,
    synced          timestamptz,
    pid             integer,
    lost            timestamptz,
    their_push      text[],
    their_pull      text[],
    their_accept    text,
    offences        integer NOT NULL DEFAULT 0,
    offended        boolean NOT NULL DEFAULT false,
    paused_since    timestamptz,
    paused_reason   text,
    PRIMARY KEY (name, role)
) WITH (fillfactor = 50);
COMMENT ON TABLE gundb.peer_state IS 'How it goes with each peer: those that this site dials, or gundb run serves, by name (role empty), those that dial in by the text of their site''s uuid and the role. Written by the worker, by gundb run and by sessions about once a second. gundb.peer_status is for reading.';
COMMENT ON COLUMN gundb.peer_state.holds IS 'What the peer has said that it holds.';
COMMENT ON COLUMN gundb.peer_state.synced IS 'When last nothing was left to send or to receive.';
COMMENT ON COLUMN gundb.peer_state.pid IS 'The process that serves or dials.';
COMMENT ON COLUMN gundb.peer_state.lost IS 'Since when there is no session with one that is dialled; NULL while there is one.';
COMMENT ON COLUMN gundb.peer_state.their_push IS 'What flows by the peer''s own word, in its last hello: which streams it sends, which it takes (their_pull), and whose events (their_accept).';
COMMENT ON COLUMN gundb.peer_state.offences IS 'Sessions in a row in which one that dials in brought what cannot be; it is paused after some (paused_since, paused_reason).';
COMMENT ON COLUMN gundb.peer_state.offended IS 'Whether the last session did.';

-- What the worker found for gundb.compare, which fetches it at once.
CREATE UNLOGGED TABLE gundb.comparison (
    token   bigint      PRIMARY KEY,
    made    timestamptz NOT NULL DEFAULT now(),
    problem text,
    report  jsonb
);
COMMENT ON TABLE gundb.comparison IS 'What came of comparisons with peers, for who asked. gundb.compare is for reading.';

-- --------------------------------------------------------------------------------------------------------------------
-- Whom to exchange with
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.add_peer(
    name text, url text, push text[] DEFAULT '{*}', pull text[] DEFAULT '{*}', accept text DEFAULT 'any',
    options jsonb DEFAULT '{}'
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_add_peer';
COMMENT ON FUNCTION gundb.add_peer(text, text, text[], text[], text, jsonb) IS
    'Exchanges events with another site from now on, both ways over one outbound connection. url: postgres://user@host/database, with libpq''s parameters; no password (gundb.set_peer_secret, or passfile=). Peers with URLs that begin with grpc, file or exec are served by gundb run. push: the streams to send there; pull: those to take from there: patterns in which * stands for any text and a leading ! excludes, the last that matches decides; the system stream always flows. accept: any, or own: only what that site wrote itself.';

CREATE FUNCTION gundb.alter_peer(
    name text, url text DEFAULT NULL, push text[] DEFAULT NULL, pull text[] DEFAULT NULL, accept text DEFAULT NULL,
    options jsonb DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_alter_peer';
COMMENT ON FUNCTION gundb.alter_peer(text, text, text[], text[], text, jsonb) IS
    'Changes what is not NULL of a peer. The connection is made anew.';

CREATE FUNCTION gundb.drop_peer(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_drop_peer';
COMMENT ON FUNCTION gundb.drop_peer(text) IS 'Ends the exchange with a peer and forgets it with its secret. What came from it stays. By the name of a site that dialled in and has gone: forgets its row in gundb.peer_status.';

CREATE FUNCTION gundb.pause_peer(name text, reason text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_pause_peer';
COMMENT ON FUNCTION gundb.pause_peer(text, text) IS 'Ends the exchange with a peer until gundb.resume_peer. It costs nothing meanwhile, and catches up then.';

CREATE FUNCTION gundb.resume_peer(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_resume_peer';
COMMENT ON FUNCTION gundb.resume_peer(text) IS 'Goes on with a peer that was paused, by hand or for what it sent; also one that dials in, by the name of its site.';

CREATE FUNCTION gundb.set_peer_secret(name text, secret text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_set_peer_secret';
COMMENT ON FUNCTION gundb.set_peer_secret(text, text) IS
    'The password with which a peer is dialled; NULL forgets it. Only the extension''s owner can read it, and pg_dump leaves it out. The server''s log may hold the statement: SET log_statement = none before, or use passfile= in the URL.';

CREATE FUNCTION gundb.sync_now(name text, timeout interval DEFAULT '10 s') RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_sync_now';
COMMENT ON FUNCTION gundb.sync_now(text, interval) IS
    'Has a peer that this site dials, or gundb run serves, dialled at once, and waits until nothing is left to send or to receive; false if that took longer. Not in a transaction that has appended: its events are not there yet for others.';

CREATE FUNCTION gundb.grant_peer(
    role name, push text[] DEFAULT '{*}', pull text[] DEFAULT '{*}', accept text DEFAULT 'own'
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_grant_peer';
COMMENT ON FUNCTION gundb.grant_peer(name, text[], text[], text) IS
    'Lets sites dial in as a role, and says which streams they may bring (push) and take (pull), as patterns; the system stream always flows. It needs no right to any table; a stream whose row security binds the role does not flow. accept own: only what the site wrote itself, and its definitions are listed, not followed. accept any: it may forward, and define. Granted again: changes it.';

CREATE FUNCTION gundb.revoke_peer(role name) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_revoke_peer';
COMMENT ON FUNCTION gundb.revoke_peer(name) IS 'Takes back what gundb.grant_peer gave. Sessions that are open end at their next call.';

CREATE FUNCTION gundb.new_identity(name text) RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_new_identity';
COMMENT ON FUNCTION gundb.new_identity(text) IS
    'Makes a copy of a database a site of its own: draws a new uuid, under this name, for what is appended from the commit on. Events keep the site that wrote them. Locks out all appenders.';

-- --------------------------------------------------------------------------------------------------------------------
-- Sessions: what the other site calls. docs/protocol.md
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.session_hello(hello bytea) RETURNS bytea
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_session_hello';
COMMENT ON FUNCTION gundb.session_hello(bytea) IS
    'Begins a session, and ends the one before: takes the other site''s hello, gives this one''s. For roles given by gundb.grant_peer; 42501 for others, before anything is read.';
CREATE FUNCTION gundb.session_push(bundle bytea) RETURNS bytea
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_session_push';
COMMENT ON FUNCTION gundb.session_push(bytea) IS 'Takes a bundle; gives the receipt: what became of it. In a session that gundb.session_hello began.';
CREATE FUNCTION gundb.session_pull(receipt bytea DEFAULT NULL) RETURNS bytea
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_session_pull';
COMMENT ON FUNCTION gundb.session_pull(bytea) IS 'Takes the receipt of a bundle that was pulled before, if any; gives the next, or NULL: there is nothing to send now. In a session that gundb.session_hello began.';

CREATE FUNCTION gundb.session_compare(question bytea) RETURNS bytea
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_session_compare';
COMMENT ON FUNCTION gundb.session_compare(bytea) IS 'Answers a site that compares: what this one holds, or its digests at the clocks that are asked about. In a session that gundb.session_hello began.';

-- --------------------------------------------------------------------------------------------------------------------
-- Served peers: what gundb run calls for those whose URLs the worker does not dial
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.served_peers()
    RETURNS TABLE (name text, url text, push text[], pull text[], accept text, options jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.name, p.url, p.push, p.pull, p.accept, p.options
      FROM gundb.peer p
     WHERE p.paused_since IS NULL AND p.url NOT LIKE 'postgres%' AND current_setting('gundb.dial_peers') = 'on'
     ORDER BY p.name
$$;
COMMENT ON FUNCTION gundb.served_peers() IS
    'The peers that gundb run is to serve now: those with URLs that the worker does not dial, and that are not paused. NOTIFY on gundb with the word peers says that they may have changed, sync that somebody waits for gundb.sync_now.';
CREATE FUNCTION gundb.session_greet(peer text) RETURNS bytea
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_session_greet';
COMMENT ON FUNCTION gundb.session_greet(text) IS
    'Gives this site''s hello for a peer that gundb run serves. Its answer is for gundb.session_hello in the same connection, which begins a session on this site''s behalf: what flows says the peer''s row in gundb.peer.';
CREATE FUNCTION gundb.note_peer(
    peer text, state text DEFAULT NULL, error text DEFAULT NULL, synced boolean DEFAULT false,
    bytes_sent bigint DEFAULT 0, bytes_received bigint DEFAULT 0, round_trip_ms double precision DEFAULT NULL,
    hello bytea DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_note_peer';
COMMENT ON FUNCTION gundb.note_peer(text, text, text, boolean, bigint, bigint, double precision, bytea) IS
    'Notes for gundb.peer_status how it goes with a peer that gundb run serves. What is NULL stays as it was. synced: nothing is left to send or to receive; hello: what the peer said last by courier.';
CREATE FUNCTION gundb.known_streams() RETURNS SETOF text
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'gundb_known_streams';
COMMENT ON FUNCTION gundb.known_streams() IS 'The names of all streams that are here or were declared anywhere.';
CREATE FUNCTION gundb.courier_export(peer text, hello bytea, since gundb.clock, bundle_bytes bigint) RETURNS SETOF bytea
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'gundb_courier_export';
COMMENT ON FUNCTION gundb.courier_export(text, bytea, gundb.clock, bigint) IS
    'The next bundles to be carried to a peer that has said hello (NULL: nothing yet) and holds since, once what is on its way has come: some megabytes, or none. bundle_bytes: about how large each may be before compression.';
CREATE FUNCTION gundb.courier_import(
    peer text, bundle bytea, OUT new bigint, OUT known bigint, OUT pending bigint, OUT refused bigint, OUT reason text
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_courier_import';
COMMENT ON FUNCTION gundb.courier_import(text, bytea) IS
    'Takes in a bundle that was carried from a peer. Returns how many events were new, known already, or wait, how many transactions were refused, and why the first of them was. One that comes before what it builds on is kept, as by gundb.import_bundle.';

CREATE FUNCTION gundb.grant_daemon(role name) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NULL THEN
        RAISE EXCEPTION 'argument "role" must not be null' USING ERRCODE = '22004';
    END IF;
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION gundb.served_peers(), gundb.session_greet(text),
             gundb.note_peer(text, text, text, boolean, bigint, bigint, double precision, bytea), gundb.known_streams(),
             gundb.courier_export(text, bytea, gundb.clock, bigint), gundb.courier_import(text, bytea)
         TO %I', role);
END
$$;
COMMENT ON FUNCTION gundb.grant_daemon(name) IS
    'Lets a role serve, by gundb run, the peers whose URLs the worker does not dial. It may speak to them as this site, and read whatever flows to them. REVOKE takes it back.';

-- --------------------------------------------------------------------------------------------------------------------
-- Couriers: bundles that go by other ways
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.export_bundle(streams text[] DEFAULT NULL, since gundb.clock DEFAULT '{}') RETURNS SETOF bytea
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'gundb_export_bundle';
COMMENT ON FUNCTION gundb.export_bundle(text[], gundb.clock) IS
    'What this site holds of some streams, or of all, beyond a clock, as bundles for gundb.import_bundle at another site: whole transactions in causal order, the system stream with them. since: what the other site is known to hold, such as its site_clock.';
CREATE FUNCTION gundb.import_bundle(bundle bytea, OUT new bigint, OUT known bigint, OUT pending bigint)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_import_bundle';
COMMENT ON FUNCTION gundb.import_bundle(bytea) IS
    'Takes a bundle in, whoever wrote what is in it. Returns how many events were new, known already, or wait. One that comes before what it builds on is kept, and taken in after that. 22P03 for what is no bundle, and nothing of it is taken.';
CREATE FUNCTION gundb.inspect_bundle(bundle bytea) RETURNS jsonb
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_inspect_bundle';
COMMENT ON FUNCTION gundb.inspect_bundle(bytea) IS 'What is in a bundle, without taking it in: who sent it, what it builds on, its transactions and events by stream.';

-- --------------------------------------------------------------------------------------------------------------------
-- Seeing
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.wait_for(clock gundb.clock, peer text DEFAULT NULL, timeout interval DEFAULT '10 s') RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_wait_for';
COMMENT ON FUNCTION gundb.wait_for(gundb.clock, text, interval) IS
    'Waits until this site holds all that a clock covers and its views show it, or until a peer is known to hold what of it flows there; false if that took longer. The next statement sees it (at READ COMMITTED). Not in a transaction that has appended.';

CREATE FUNCTION gundb.compare(peer text, timeout interval DEFAULT '10 s')
    RETURNS TABLE (kind text, name text, result text, differs_at gundb.dot, common bigint, only_here bigint, only_there bigint,
                   first_only_here gundb.dot, first_only_there gundb.dot, digest_here uuid, digest_there uuid, detail text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'gundb_compare';
COMMENT ON FUNCTION gundb.compare(text, interval) IS
    'Compares with a peer that this site dials: of each stream what both hold (kind stream), and the definitions of views over streams that flow (kind view). result: equal, differs, only here, only there, not exchanged. Events that only one side has said it holds, such as those on their way, are no difference: only_here and only_there count them, first_only_… are the first. differs_at: the first event, by site, lane and seq, that is another one there, or that one side has lost. The digests are those at what both hold.';

CREATE FUNCTION gundb.peer_states() RETURNS SETOF gundb.peer_state
    LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An unlogged table cannot be read on a standby.
    IF NOT pg_is_in_recovery() THEN
        RETURN QUERY SELECT * FROM gundb.peer_state;
    END IF;
END
$$;
COMMENT ON FUNCTION gundb.peer_states() IS 'How it goes with each peer; nothing on a standby.';

CREATE FUNCTION gundb.peer_lag()
    RETURNS TABLE (name text, role text, site uuid, missing bigint, oldest gundb.hlc, behind bigint)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'gundb_peer_lag';
COMMENT ON FUNCTION gundb.peer_lag() IS
    'For each peer and each site that wrote events: how many of those that flow the peer lacks, as far as it has said, the first stamp of them, and how many it holds that this site lacks.';

CREATE VIEW gundb.lag AS
    SELECT coalesce(p.site_name, l.name) AS peer, l.site,
           (SELECT s.name FROM gundb.site s WHERE s.site = l.site) AS site_name,
           l.missing AS events, pg_catalog.clock_timestamp() - l.oldest::timestamptz AS age, l.behind
      FROM gundb.peer_lag() l
      LEFT JOIN gundb.peer_states() p ON p.name = l.name AND p.role = l.role AND p.role <> '';
COMMENT ON VIEW gundb.lag IS 'What each peer lacks of each site''s events, as far as it has said.';
COMMENT ON COLUMN gundb.lag.events IS 'Events that this site holds, that flow to the peer, and that it lacks.';
COMMENT ON COLUMN gundb.lag.age IS 'How long ago the oldest of them was appended.';
COMMENT ON COLUMN gundb.lag.behind IS 'Events that the peer holds and this site lacks.';

CREATE VIEW gundb.peer_status AS
    WITH lag AS MATERIALIZED (
        SELECT l.name, l.role, pg_catalog.sum(l.missing)::bigint AS missing, pg_catalog.min(l.oldest) AS oldest,
               pg_catalog.sum(l.behind)::bigint AS behind
          FROM gundb.peer_lag() l GROUP BY l.name, l.role
    ), known AS (
        SELECT p.name AS peer, NULL::name AS role, p.url, p.push, p.pull, p.accept, p.paused_since, p.paused_reason,
               p.name AS state_name, ''::text AS state_role,
               p.url NOT LIKE 'postgres%' AS is_elsewhere, p.added,
               pg_catalog.current_setting('gundb.dial_peers', true) = 'off' AS is_off
          FROM gundb.peer p
         UNION ALL
        SELECT NULL, g.role, NULL, g.pull, g.push, g.accept, s.paused_since, s.paused_reason, s.name, g.role::text, false, NULL, false
          FROM gundb.peer_grant g LEFT JOIN gundb.peer_states() s ON s.role = g.role::text
    )
    SELECT coalesce(k.peer, s.site_name) AS peer, k.role, s.site, k.url,
           CASE WHEN k.paused_since IS NOT NULL OR k.is_off THEN 'paused'
                WHEN s.pid IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = s.pid) THEN 'gone'
                ELSE coalesce(s.state, 'new') END AS state,
           coalesce(k.paused_since, s.lost, s.since, CASE WHEN k.is_elsewhere THEN k.added END) AS since,
           s.last_contact,
           CASE WHEN k.paused_since IS NOT NULL THEN coalesce(k.paused_reason, s.last_error)
                WHEN k.is_off THEN 'gundb.dial_peers is off'
                WHEN k.is_elsewhere AND s.name IS NULL THEN 'not dialled from inside the server: gundb run serves URLs of this kind'
                WHEN k.is_elsewhere AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = s.pid) THEN 'gundb run, which served it, has ended'
                ELSE s.last_error END AS last_error,
           s.last_error_at,
           s.events_sent, s.bytes_sent, s.events_received, s.bytes_received,
           l.missing AS to_send, pg_catalog.clock_timestamp() - l.oldest::timestamptz AS oldest_to_send, l.behind AS to_receive,
           s.round_trip_ms * interval '1 ms' AS round_trip, s.skew_ms * interval '1 ms' AS skew,
           k.push, k.pull, k.accept, s.software
      FROM known k
      LEFT JOIN gundb.peer_states() s ON s.name = k.state_name AND s.role = k.state_role
      LEFT JOIN lag l ON l.name = k.state_name AND l.role = k.state_role;
COMMENT ON VIEW gundb.peer_status IS 'The peers: those that this site dials, those that gundb run serves, and those that dial in as a role.';
COMMENT ON COLUMN gundb.peer_status.state IS 'new, connecting, connected, waiting (to dial again), paused (by hand, for what it sent, or by gundb.dial_peers), or gone: the process that served it has ended.';
COMMENT ON COLUMN gundb.peer_status.since IS 'The last change of state; of one that is dialled and has no session, since when it has none.';
COMMENT ON COLUMN gundb.peer_status.last_error IS 'Why it was paused, or the last that went wrong.';
COMMENT ON COLUMN gundb.peer_status.to_send IS 'Events that flow there, by both sides'' word, and that the peer lacks, as far as it has said.';
COMMENT ON COLUMN gundb.peer_status.to_receive IS 'Events that flow here, by both sides'' word, that the peer has said it holds, and that this site lacks.';
COMMENT ON COLUMN gundb.peer_status.skew IS 'How far the peer''s wall clock is ahead of this one.';
COMMENT ON COLUMN gundb.peer_status.push IS 'The streams that flow there.';
COMMENT ON COLUMN gundb.peer_status.pull IS 'The streams that are taken from there.';

CREATE FUNCTION gundb.clock_figures(OUT lanes bigint, OUT runs bigint, OUT copies bigint)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_clock_figures';
COMMENT ON FUNCTION gundb.clock_figures() IS
    'How many lanes and runs this site''s clock names, and in how many runs of this very site something else has written since this run began, and within a day: a copy of the database that is alive.';

COMMENT ON TABLE gundb.span IS 'Transactions that wrote to more than one stream, here or elsewhere: their greatest stamp, and how many events each stream here has of them.';

-- A publication FOR ALL TABLES has these too, and whatever updates or deletes their rows would fail there.
ALTER TABLE gundb.own_run REPLICA IDENTITY FULL;
ALTER TABLE gundb.epoch REPLICA IDENTITY FULL;
ALTER TABLE gundb.span REPLICA IDENTITY FULL;
ALTER TABLE gundb.view_pending REPLICA IDENTITY FULL;
ALTER TABLE gundb.view_late REPLICA IDENTITY FULL;
ALTER TABLE gundb.reverting REPLICA IDENTITY FULL;
ALTER TABLE gundb.peering REPLICA IDENTITY FULL;

REVOKE ALL ON FUNCTION gundb.add_peer(text, text, text[], text[], text, jsonb),
    gundb.alter_peer(text, text, text[], text[], text, jsonb), gundb.drop_peer(text), gundb.pause_peer(text, text),
    gundb.resume_peer(text), gundb.set_peer_secret(text, text), gundb.sync_now(text, interval),
    gundb.grant_peer(name, text[], text[], text), gundb.revoke_peer(name), gundb.new_identity(text),
    gundb.export_bundle(text[], gundb.clock), gundb.import_bundle(bytea), gundb.peer_states(), gundb.peer_lag(),
    gundb.clock_figures(), gundb.compare(text, interval), gundb.served_peers(), gundb.session_greet(text),
    gundb.note_peer(text, text, text, boolean, bigint, bigint, double precision, bytea), gundb.known_streams(),
    gundb.courier_export(text, bytea, gundb.clock, bigint), gundb.courier_import(text, bytea), gundb.grant_daemon(name)
    FROM PUBLIC;
GRANT SELECT ON gundb.peer_status, gundb.lag TO pg_monitor;
GRANT EXECUTE ON FUNCTION gundb.peer_states(), gundb.peer_lag(), gundb.clock_figures() TO pg_monitor;
