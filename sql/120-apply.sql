-- ====================================================================================================================
-- gundb: events of other sites, and what waits
--
-- Applying never waits for a key of a view that a local transaction holds, nor for a stream, nor for the clock: what
-- cannot be taken now is stored here, and taken when it can be. What is refused is kept as evidence.
-- ====================================================================================================================

CREATE TABLE gundb.view_late (
    view     integer     NOT NULL,
    key      bytea       NOT NULL,
    shown    text        NOT NULL,
    dot      gundb.dot   NOT NULL,
    again    boolean     NOT NULL,
    reason   text        NOT NULL,
    sqlstate text        NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    tries    integer     NOT NULL DEFAULT 0,
    tried    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE gundb.view_late IS 'Events that stand in the stream and not yet in a key of a view, since the key was busy when they came, or its row could not be written. Whoever next writes to the key takes them in, or the worker. again: the event may be in the key, which must be folded again. gundb.pending is for reading.';
CREATE INDEX view_late_key ON gundb.view_late (view, key);
SELECT pg_catalog.pg_extension_config_dump('gundb.view_late', '');

CREATE TABLE gundb.staged (
    site     uuid        NOT NULL,
    run      bigint      NOT NULL,
    xact     gundb.hlc   NOT NULL,
    greatest gundb.hlc   NOT NULL,
    dot      gundb.dot   NOT NULL,
    kind     text        NOT NULL CHECK (kind IN ('time', 'stream', 'behind')),
    stream   uuid,
    until    gundb.hlc,
    accepted boolean     NOT NULL DEFAULT false,
    reason   text        NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    tries    integer     NOT NULL DEFAULT 1,
    document jsonb       NOT NULL,
    PRIMARY KEY (site, run, xact)
);
COMMENT ON TABLE gundb.staged IS 'Transactions of other sites that wait: for the time of their stamps, for a stream, or behind such a one. Of one that came in parts the document says where it begins and ends, and gundb.inbox has the parts. gundb.pending is for reading.';
SELECT pg_catalog.pg_extension_config_dump('gundb.staged', '');

CREATE TABLE gundb.refused (
    dot         gundb.dot   NOT NULL,
    chain       gundb.chain NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('fork', 'malformed')),
    reason      text        NOT NULL,
    since       timestamptz NOT NULL DEFAULT now(),
    tries       integer     NOT NULL DEFAULT 1,
    transaction jsonb       NOT NULL,
    PRIMARY KEY (dot, chain)
);
COMMENT ON TABLE gundb.refused IS 'Evidence: transactions that cannot be true beside what is held, by the event that does not fit. Two histories under one dot mean that a site was copied while it ran, or that somebody lies.';
SELECT pg_catalog.pg_extension_config_dump('gundb.refused', '');

CREATE FUNCTION gundb.retry_pending(view regclass DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_retry_pending';
COMMENT ON FUNCTION gundb.retry_pending(regclass) IS
    'Tries the pending events of a view again, and waits for its busy keys; without a view those of all views that the caller owns, and for the extension''s owner also the transactions of other sites that wait. Returns how much was taken in; the rest stays pending, with one try more.';

CREATE FUNCTION gundb.accept_pending(dot gundb.dot DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_accept_pending';
COMMENT ON FUNCTION gundb.accept_pending(gundb.dot) IS
    'Takes the transaction that gundb.pending lists with kind time under this dot, or all of them, however far ahead their stamps are, and what waited behind them. This site''s clock moves past those stamps. Returns how many transactions were taken.';
REVOKE ALL ON FUNCTION gundb.accept_pending(gundb.dot) FROM PUBLIC;
