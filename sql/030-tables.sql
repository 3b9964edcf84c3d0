-- ====================================================================================================================
-- gundb: tables
-- ====================================================================================================================

-- The parent of all streams. It stays empty; SELECT … FROM gundb.event reads every stream.
CREATE TABLE gundb.event (
    site  uuid        NOT NULL,
    lane  gundb.lane  NOT NULL,
    seq   bigint      NOT NULL,
    hlc   gundb.hlc   NOT NULL,
    xact  gundb.hlc   NOT NULL,
    epoch bigint      NOT NULL,
    id    uuid        NOT NULL,
    chain gundb.chain NOT NULL,
    salt  uuid        NOT NULL,
    type  text        NOT NULL,
    key   text,
    data  jsonb       NOT NULL DEFAULT '{}',
    meta  jsonb       NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE gundb.event IS 'Every event of every stream. Takes no rows itself: insert into a stream''s own table.';
COMMENT ON COLUMN gundb.event.site  IS 'The site that appended the event.';
COMMENT ON COLUMN gundb.event.lane  IS 'The lane, a gap-free sequence of one writer, within a run of the site.';
COMMENT ON COLUMN gundb.event.seq   IS 'The place in the lane: 1, 2, 3 …';
COMMENT ON COLUMN gundb.event.hlc   IS 'The event''s stamp.';
COMMENT ON COLUMN gundb.event.xact  IS 'The first stamp of the event''s transaction: events with equal site, run and xact were committed together.';
COMMENT ON COLUMN gundb.event.epoch IS 'The epoch, of the run, that the event''s context refers to.';
COMMENT ON COLUMN gundb.event.id    IS 'The idempotency key: given, or a uuid of version 7.';
COMMENT ON COLUMN gundb.event.chain IS 'A hash of the lane up to and including this event.';
COMMENT ON COLUMN gundb.event.salt  IS 'Random bytes that keep erased content from being guessed by its hash.';
COMMENT ON COLUMN gundb.event.type  IS 'What happened.';
COMMENT ON COLUMN gundb.event.key   IS 'The entity it happened to, if any.';
COMMENT ON COLUMN gundb.event.data  IS 'What the event says.';
COMMENT ON COLUMN gundb.event.meta  IS 'What is said about the event: an object.';
-- A scan of the parent asks for the right to the parent only, so it is nobody's but the owner's until granted.

-- Runs of this site, and so its identity: the last row's site. A run is written by the first transactions that
-- append in it, so a row may stand here several times; all copies are equal.
CREATE TABLE gundb.own_run (
    site     uuid      NOT NULL,
    run      bigint    NOT NULL,
    previous bigint,
    started  gundb.hlc NOT NULL
);
COMMENT ON TABLE gundb.own_run IS 'The runs of this site: one for each life of the server in which it appended. Copies of a row are harmless.';
CREATE INDEX own_run_started ON gundb.own_run (started);
SELECT pg_catalog.pg_extension_config_dump('gundb.own_run', '');

CREATE TABLE gundb.epoch (
    site   uuid        NOT NULL,
    run    bigint      NOT NULL,
    number bigint      NOT NULL,
    clock  gundb.clock NOT NULL,
    since  gundb.hlc
);
COMMENT ON COLUMN gundb.epoch.since IS 'The stamp of this site''s clock when the epoch began; NULL of another site''s.';
COMMENT ON TABLE gundb.epoch IS 'What each run had applied from others, and from earlier runs, by number: the contexts of events refer to these. Copies of a row are harmless.';
CREATE INDEX epoch_number ON gundb.epoch (site, run, number);
SELECT pg_catalog.pg_extension_config_dump('gundb.epoch', '');

CREATE TABLE gundb.span (
    site   uuid      NOT NULL,
    xact   gundb.hlc NOT NULL,
    hlc    gundb.hlc NOT NULL,
    stream uuid      NOT NULL,
    events bigint    NOT NULL
);
COMMENT ON TABLE gundb.span IS 'Transactions that wrote to more than one stream: their greatest stamp, and how many events each stream has of them.';
CREATE INDEX span_xact ON gundb.span (site, xact);
SELECT pg_catalog.pg_extension_config_dump('gundb.span', '');

-- The stored high-water mark of the hybrid logical clock: WAL-logged, not undone by a rollback. A stamp's bits with
-- the highest turned over, as hlc is stored: so the order of the numbers is that of the stamps.
CREATE SEQUENCE gundb.hlc_mark AS bigint MINVALUE -9223372036854775808 START WITH -9223372036854775808;
COMMENT ON SEQUENCE gundb.hlc_mark IS 'No stamp given so far is greater than this; start-up reads it instead of the streams.';
SELECT pg_catalog.pg_extension_config_dump('gundb.hlc_mark', '');
