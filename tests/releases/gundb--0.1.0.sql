-- ====================================================================================================================
-- gundb: loading
--
-- The scripts of this folder, in the order of their numbers, are the install script. Plain CREATE throughout: an
-- object that is there already is somebody else's, and the installation must fail rather than adopt it.
-- ====================================================================================================================

\echo Use "CREATE EXTENSION gundb" to load this file. \quit

CREATE FUNCTION gundb.check_loading() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'gundb_check_loading';
COMMENT ON FUNCTION gundb.check_loading() IS
    'Raises an error, with the command that mends it, unless gundb was loaded when the server started and the database is in UTF8.';

SELECT gundb.check_loading();

GRANT USAGE ON SCHEMA gundb TO PUBLIC;
-- ====================================================================================================================
-- gundb: types
--
-- hlc and lane are 64-bit numbers, stored so that PostgreSQL's own bigint functions order them: comparing them costs
-- what comparing a bigint costs. Operators and min/max stand in pg_catalog, so that hlc >= … and a || b work whatever
-- the search path; everything else stands in gundb. chain and dot are fixed-length bytes; clock is a varlena. docs/format.md has the bytes.
-- ====================================================================================================================

-- --------------------------------------------------------------------------------------------------------------------
-- hlc: hybrid logical clock
-- --------------------------------------------------------------------------------------------------------------------

CREATE TYPE gundb.hlc;
CREATE FUNCTION gundb.hlc_in(cstring) RETURNS gundb.hlc
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_in';
CREATE FUNCTION gundb.hlc_out(gundb.hlc) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_out';
CREATE FUNCTION gundb.hlc_recv(internal) RETURNS gundb.hlc
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_recv';
CREATE FUNCTION gundb.hlc_send(gundb.hlc) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_send';
CREATE TYPE gundb.hlc (
    INPUT = gundb.hlc_in, OUTPUT = gundb.hlc_out, RECEIVE = gundb.hlc_recv, SEND = gundb.hlc_send,
    LIKE = bigint, CATEGORY = 'D'
);
COMMENT ON TYPE gundb.hlc IS
    'A hybrid logical clock''s stamp: 48 bits of milliseconds since 1970, 16 bits of counter. Text: 2026-11-23T00:41:07.123Z-0005. Up to the end of year 9999.';

-- --------------------------------------------------------------------------------------------------------------------
-- lane: one writer's sequence, within a run
-- --------------------------------------------------------------------------------------------------------------------

CREATE TYPE gundb.lane;
CREATE FUNCTION gundb.lane_in(cstring) RETURNS gundb.lane
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_lane_in';
CREATE FUNCTION gundb.lane_out(gundb.lane) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_lane_out';
CREATE FUNCTION gundb.lane_recv(internal) RETURNS gundb.lane
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_lane_recv';
CREATE FUNCTION gundb.lane_send(gundb.lane) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_lane_send';
CREATE TYPE gundb.lane (
    INPUT = gundb.lane_in, OUTPUT = gundb.lane_out, RECEIVE = gundb.lane_recv, SEND = gundb.lane_send,
    LIKE = bigint, CATEGORY = 'U'
);
COMMENT ON TYPE gundb.lane IS
    'A lane: 48 bits of run, 16 bits of number. Text: 9f3c01ab77e2-3.';

-- --------------------------------------------------------------------------------------------------------------------
-- Order of hlc and lane: bigint's own functions under their types' names
-- --------------------------------------------------------------------------------------------------------------------

DO LANGUAGE plpgsql $do$
DECLARE
    t text;
    f record;
BEGIN
    FOREACH t IN ARRAY ARRAY['hlc', 'lane'] LOOP
        FOR f IN
            SELECT * FROM (VALUES
                ('eq', 'int8eq', '=',  '=',  '<>', 'eqsel',       'eqjoinsel'),
                ('ne', 'int8ne', '<>', '<>', '=',  'neqsel',      'neqjoinsel'),
                ('lt', 'int8lt', '<',  '>',  '>=', 'scalarltsel', 'scalarltjoinsel'),
                ('le', 'int8le', '<=', '>=', '>',  'scalarlesel', 'scalarlejoinsel'),
                ('gt', 'int8gt', '>',  '<',  '<=', 'scalargtsel', 'scalargtjoinsel'),
                ('ge', 'int8ge', '>=', '<=', '<',  'scalargesel', 'scalargejoinsel')
            ) AS v (suffix, internal, operator, commutator, negator, restrict, joins)
        LOOP
            EXECUTE format(
                'CREATE FUNCTION gundb.%1$s_%2$s(gundb.%1$s, gundb.%1$s) RETURNS boolean
                     LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L',
                t, f.suffix, f.internal);
            EXECUTE format(
                'CREATE OPERATOR pg_catalog.%2$s (LEFTARG = gundb.%1$s, RIGHTARG = gundb.%1$s, FUNCTION = gundb.%1$s_%3$s,
                     COMMUTATOR = OPERATOR(pg_catalog.%4$s), NEGATOR = OPERATOR(pg_catalog.%5$s),
                     RESTRICT = %6$s, JOIN = %7$s %8$s)',
                t, f.operator, f.suffix, f.commutator, f.negator, f.restrict, f.joins,
                CASE f.operator WHEN '=' THEN ', HASHES, MERGES' ELSE '' END);
            EXECUTE format('COMMENT ON FUNCTION gundb.%1$s_%2$s(gundb.%1$s, gundb.%1$s) IS %3$L',
                t, f.suffix, format('Implements %s of %s.', f.operator, t));
        END LOOP;
        EXECUTE format(
            'CREATE FUNCTION gundb.%1$s_cmp(gundb.%1$s, gundb.%1$s) RETURNS integer
                 LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS ''btint8cmp''', t);
        EXECUTE format(
            'CREATE FUNCTION gundb.%1$s_sortsupport(internal) RETURNS void
                 LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS ''btint8sortsupport''', t);
        EXECUTE format(
            'CREATE FUNCTION gundb.%1$s_hash(gundb.%1$s) RETURNS integer
                 LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS ''hashint8''', t);
        EXECUTE format('COMMENT ON FUNCTION gundb.%1$s_cmp(gundb.%1$s, gundb.%1$s) IS ''Orders two values of %1$s: less than, equal to or greater than 0.''', t);
        EXECUTE format('COMMENT ON FUNCTION gundb.%1$s_sortsupport(internal) IS ''Sort support of %1$s.''', t);
        EXECUTE format('COMMENT ON FUNCTION gundb.%1$s_hash(gundb.%1$s) IS ''Hash of a value of %1$s.''', t);
        EXECUTE format(
            'CREATE OPERATOR CLASS gundb.%1$s_ops DEFAULT FOR TYPE gundb.%1$s USING btree AS
                 OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
                 FUNCTION 1 gundb.%1$s_cmp(gundb.%1$s, gundb.%1$s),
                 FUNCTION 2 gundb.%1$s_sortsupport(internal)', t);
        EXECUTE format(
            'CREATE OPERATOR CLASS gundb.%1$s_hash_ops DEFAULT FOR TYPE gundb.%1$s USING hash AS
                 OPERATOR 1 pg_catalog.=, FUNCTION 1 gundb.%1$s_hash(gundb.%1$s)', t);
    END LOOP;
END
$do$;

CREATE FUNCTION gundb.min_hlc(gundb.hlc, gundb.hlc) RETURNS gundb.hlc
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int8smaller';
COMMENT ON FUNCTION gundb.min_hlc(gundb.hlc, gundb.hlc) IS 'The earlier of two stamps.';
CREATE FUNCTION gundb.max_hlc(gundb.hlc, gundb.hlc) RETURNS gundb.hlc
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'int8larger';
COMMENT ON FUNCTION gundb.max_hlc(gundb.hlc, gundb.hlc) IS 'The later of two stamps.';

CREATE AGGREGATE pg_catalog.min(gundb.hlc) (
    SFUNC = gundb.min_hlc, STYPE = gundb.hlc, COMBINEFUNC = gundb.min_hlc, SORTOP = OPERATOR(pg_catalog.<), PARALLEL = SAFE
);
COMMENT ON AGGREGATE pg_catalog.min(gundb.hlc) IS 'The earliest stamp.';
CREATE AGGREGATE pg_catalog.max(gundb.hlc) (
    SFUNC = gundb.max_hlc, STYPE = gundb.hlc, COMBINEFUNC = gundb.max_hlc, SORTOP = OPERATOR(pg_catalog.>), PARALLEL = SAFE
);
COMMENT ON AGGREGATE pg_catalog.max(gundb.hlc) IS 'The latest stamp.';

-- Casts to and from time. From a timestamp gives the first stamp of its millisecond, so that
-- hlc >= '2026-01-01'::timestamptz::gundb.hlc is a condition on the column that an index serves.
CREATE FUNCTION gundb.hlc(timestamptz) RETURNS gundb.hlc
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_from_timestamptz';
COMMENT ON FUNCTION gundb.hlc(timestamptz) IS 'The first stamp of the millisecond that holds this time. 22008 outside 1970 to 9999.';
CREATE FUNCTION gundb.timestamptz(gundb.hlc) RETURNS timestamptz
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_hlc_to_timestamptz';
COMMENT ON FUNCTION gundb.timestamptz(gundb.hlc) IS 'The stamp''s time, to the millisecond.';
CREATE CAST (timestamptz AS gundb.hlc) WITH FUNCTION gundb.hlc(timestamptz);
CREATE CAST (gundb.hlc AS timestamptz) WITH FUNCTION gundb.timestamptz(gundb.hlc) AS ASSIGNMENT;
-- Without a function: a stream that is made a plain table keeps its bytes and its indexes.
CREATE CAST (gundb.hlc AS bigint) WITHOUT FUNCTION;
CREATE CAST (gundb.lane AS bigint) WITHOUT FUNCTION;

-- --------------------------------------------------------------------------------------------------------------------
-- chain: the hash of a lane up to an event
-- --------------------------------------------------------------------------------------------------------------------

CREATE TYPE gundb.chain;
CREATE FUNCTION gundb.chain_in(cstring) RETURNS gundb.chain
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_chain_in';
CREATE FUNCTION gundb.chain_out(gundb.chain) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_chain_out';
CREATE FUNCTION gundb.chain_recv(internal) RETURNS gundb.chain
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_chain_recv';
CREATE FUNCTION gundb.chain_send(gundb.chain) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_chain_send';
CREATE TYPE gundb.chain (
    INPUT = gundb.chain_in, OUTPUT = gundb.chain_out, RECEIVE = gundb.chain_recv, SEND = gundb.chain_send,
    INTERNALLENGTH = 16, ALIGNMENT = char
);
COMMENT ON TYPE gundb.chain IS 'A chain: 16 bytes of BLAKE3 over a lane up to and including an event. Text: 32 hexadecimal digits.';
CREATE FUNCTION gundb.chain_eq(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_eq';
COMMENT ON FUNCTION gundb.chain_eq(gundb.chain, gundb.chain) IS 'Implements = of chain.';
CREATE FUNCTION gundb.chain_ne(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_ne';
COMMENT ON FUNCTION gundb.chain_ne(gundb.chain, gundb.chain) IS 'Implements <> of chain.';
CREATE OPERATOR pg_catalog.= (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_eq,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
CREATE OPERATOR pg_catalog.<> (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_ne,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE FUNCTION gundb.chain_lt(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_lt';
COMMENT ON FUNCTION gundb.chain_lt(gundb.chain, gundb.chain) IS 'Implements < of chain.';
CREATE OPERATOR pg_catalog.< (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_lt, COMMUTATOR = OPERATOR(pg_catalog.>),
    NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
CREATE FUNCTION gundb.chain_le(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_le';
COMMENT ON FUNCTION gundb.chain_le(gundb.chain, gundb.chain) IS 'Implements <= of chain.';
CREATE OPERATOR pg_catalog.<= (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_le, COMMUTATOR = OPERATOR(pg_catalog.>=),
    NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
CREATE FUNCTION gundb.chain_gt(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_gt';
COMMENT ON FUNCTION gundb.chain_gt(gundb.chain, gundb.chain) IS 'Implements > of chain.';
CREATE OPERATOR pg_catalog.> (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_gt, COMMUTATOR = OPERATOR(pg_catalog.<),
    NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
CREATE FUNCTION gundb.chain_ge(gundb.chain, gundb.chain) RETURNS boolean
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_ge';
COMMENT ON FUNCTION gundb.chain_ge(gundb.chain, gundb.chain) IS 'Implements >= of chain.';
CREATE OPERATOR pg_catalog.>= (
    LEFTARG = gundb.chain, RIGHTARG = gundb.chain, FUNCTION = gundb.chain_ge, COMMUTATOR = OPERATOR(pg_catalog.<=),
    NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel
);
CREATE FUNCTION gundb.chain_cmp(gundb.chain, gundb.chain) RETURNS integer
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_cmp';
COMMENT ON FUNCTION gundb.chain_cmp(gundb.chain, gundb.chain) IS 'Orders two chains by their bytes.';
CREATE FUNCTION gundb.chain_hash(gundb.chain) RETURNS integer
    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'uuid_hash';
COMMENT ON FUNCTION gundb.chain_hash(gundb.chain) IS 'Hash of a chain.';
CREATE OPERATOR CLASS gundb.chain_ops DEFAULT FOR TYPE gundb.chain USING btree AS
    OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>, FUNCTION 1 gundb.chain_cmp(gundb.chain, gundb.chain);
CREATE OPERATOR CLASS gundb.chain_hash_ops DEFAULT FOR TYPE gundb.chain USING hash AS
    OPERATOR 1 pg_catalog.=, FUNCTION 1 gundb.chain_hash(gundb.chain);
CREATE CAST (gundb.chain AS uuid) WITHOUT FUNCTION;

-- --------------------------------------------------------------------------------------------------------------------
-- dot: an event's identity
-- --------------------------------------------------------------------------------------------------------------------

CREATE TYPE gundb.dot;
CREATE FUNCTION gundb.dot_in(cstring) RETURNS gundb.dot
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_in';
CREATE FUNCTION gundb.dot_out(gundb.dot) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_out';
CREATE FUNCTION gundb.dot_recv(internal) RETURNS gundb.dot
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_recv';
CREATE FUNCTION gundb.dot_send(gundb.dot) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_send';
CREATE TYPE gundb.dot (
    INPUT = gundb.dot_in, OUTPUT = gundb.dot_out, RECEIVE = gundb.dot_recv, SEND = gundb.dot_send,
    INTERNALLENGTH = 48, ALIGNMENT = char
);
COMMENT ON TYPE gundb.dot IS 'An event''s identity everywhere: site, stream, lane, seq. Text: site/stream/lane/seq with uuids.';

CREATE FUNCTION gundb.dot_eq(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_eq';
COMMENT ON FUNCTION gundb.dot_eq(gundb.dot, gundb.dot) IS
    'Implements = of dot.';
CREATE OPERATOR pg_catalog.= (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_eq, COMMUTATOR = OPERATOR(pg_catalog.=),
    NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
CREATE FUNCTION gundb.dot_ne(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_ne';
COMMENT ON FUNCTION gundb.dot_ne(gundb.dot, gundb.dot) IS
    'Implements <> of dot.';
CREATE OPERATOR pg_catalog.<> (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_ne, COMMUTATOR = OPERATOR(pg_catalog.<>),
    NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE FUNCTION gundb.dot_lt(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_lt';
COMMENT ON FUNCTION gundb.dot_lt(gundb.dot, gundb.dot) IS
    'Implements < of dot.';
CREATE OPERATOR pg_catalog.< (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_lt, COMMUTATOR = OPERATOR(pg_catalog.>),
    NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
CREATE FUNCTION gundb.dot_le(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_le';
COMMENT ON FUNCTION gundb.dot_le(gundb.dot, gundb.dot) IS
    'Implements <= of dot.';
CREATE OPERATOR pg_catalog.<= (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_le, COMMUTATOR = OPERATOR(pg_catalog.>=),
    NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
CREATE FUNCTION gundb.dot_gt(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_gt';
COMMENT ON FUNCTION gundb.dot_gt(gundb.dot, gundb.dot) IS
    'Implements > of dot.';
CREATE OPERATOR pg_catalog.> (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_gt, COMMUTATOR = OPERATOR(pg_catalog.<),
    NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
CREATE FUNCTION gundb.dot_ge(gundb.dot, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_ge';
COMMENT ON FUNCTION gundb.dot_ge(gundb.dot, gundb.dot) IS
    'Implements >= of dot.';
CREATE OPERATOR pg_catalog.>= (
    LEFTARG = gundb.dot, RIGHTARG = gundb.dot, FUNCTION = gundb.dot_ge, COMMUTATOR = OPERATOR(pg_catalog.<=),
    NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel
);
CREATE FUNCTION gundb.dot_cmp(gundb.dot, gundb.dot) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_cmp';
COMMENT ON FUNCTION gundb.dot_cmp(gundb.dot, gundb.dot) IS
    'Orders two dots by site, stream, lane, seq.';
CREATE FUNCTION gundb.dot_hash(gundb.dot) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_hash';
COMMENT ON FUNCTION gundb.dot_hash(gundb.dot) IS
    'Hash of a dot.';
CREATE OPERATOR CLASS gundb.dot_ops DEFAULT FOR TYPE gundb.dot USING btree AS
    OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>, FUNCTION 1 gundb.dot_cmp(gundb.dot, gundb.dot);
CREATE OPERATOR CLASS gundb.dot_hash_ops DEFAULT FOR TYPE gundb.dot USING hash AS
    OPERATOR 1 pg_catalog.=, FUNCTION 1 gundb.dot_hash(gundb.dot);

CREATE FUNCTION gundb.dot(site uuid, stream uuid, lane gundb.lane, seq bigint) RETURNS gundb.dot
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_make';
COMMENT ON FUNCTION gundb.dot(uuid, uuid, gundb.lane, bigint) IS
    'A dot of its parts. 22023 if seq is not positive.';
CREATE FUNCTION gundb.site_of(dot gundb.dot) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_site';
COMMENT ON FUNCTION gundb.site_of(gundb.dot) IS
    'The site that appended the event.';
CREATE FUNCTION gundb.stream_of(dot gundb.dot) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_stream';
COMMENT ON FUNCTION gundb.stream_of(gundb.dot) IS
    'The stream''s uuid.';
CREATE FUNCTION gundb.lane_of(dot gundb.dot) RETURNS gundb.lane
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_lane';
COMMENT ON FUNCTION gundb.lane_of(gundb.dot) IS
    'The lane.';
CREATE FUNCTION gundb.seq_of(dot gundb.dot) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_dot_seq';
COMMENT ON FUNCTION gundb.seq_of(gundb.dot) IS
    'The place in the lane, from 1.';
CREATE FUNCTION gundb.stream_id(name text) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_stream_id';
COMMENT ON FUNCTION gundb.stream_id(text) IS
    'The uuid of the stream of this name, the same everywhere: version 5 of the name. 42602 if no stream can have the name.';

-- --------------------------------------------------------------------------------------------------------------------
-- clock: vector clock
-- --------------------------------------------------------------------------------------------------------------------

CREATE TYPE gundb.clock;
CREATE FUNCTION gundb.clock_in(cstring) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_in';
CREATE FUNCTION gundb.clock_out(gundb.clock) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_out';
CREATE FUNCTION gundb.clock_recv(internal) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_recv';
CREATE FUNCTION gundb.clock_send(gundb.clock) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_send';
CREATE TYPE gundb.clock (
    INPUT = gundb.clock_in, OUTPUT = gundb.clock_out, RECEIVE = gundb.clock_recv, SEND = gundb.clock_send,
    INTERNALLENGTH = VARIABLE, STORAGE = extended, ALIGNMENT = int4
);
COMMENT ON TYPE gundb.clock IS
    'A vector clock: for each (site, stream, lane) the seq up to which it covers. Text: {"site": {"stream": {"lane": seq}}}. A partial order: of two clocks neither need be <= the other.';

CREATE FUNCTION gundb.clock_eq(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_eq';
COMMENT ON FUNCTION gundb.clock_eq(gundb.clock, gundb.clock) IS
    'Whether two clocks cover the same.';
CREATE OPERATOR pg_catalog.= (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_eq,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, HASHES
);
CREATE FUNCTION gundb.clock_ne(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_ne';
COMMENT ON FUNCTION gundb.clock_ne(gundb.clock, gundb.clock) IS
    'Whether two clocks differ.';
CREATE OPERATOR pg_catalog.<> (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_ne,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
CREATE FUNCTION gundb.clock_lt(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_lt';
COMMENT ON FUNCTION gundb.clock_lt(gundb.clock, gundb.clock) IS
    'Whether the right clock covers all that the left does, and more.';
CREATE OPERATOR pg_catalog.< (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_lt,
    COMMUTATOR = OPERATOR(pg_catalog.>), RESTRICT = contsel, JOIN = contjoinsel
);
CREATE FUNCTION gundb.clock_le(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_le';
COMMENT ON FUNCTION gundb.clock_le(gundb.clock, gundb.clock) IS
    'Whether the right clock covers all that the left does.';
CREATE OPERATOR pg_catalog.<= (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_le,
    COMMUTATOR = OPERATOR(pg_catalog.>=), RESTRICT = contsel, JOIN = contjoinsel
);
CREATE FUNCTION gundb.clock_gt(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_gt';
COMMENT ON FUNCTION gundb.clock_gt(gundb.clock, gundb.clock) IS
    'Whether the left clock covers all that the right does, and more.';
CREATE OPERATOR pg_catalog.> (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_gt,
    COMMUTATOR = OPERATOR(pg_catalog.<), RESTRICT = contsel, JOIN = contjoinsel
);
CREATE FUNCTION gundb.clock_ge(gundb.clock, gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_ge';
COMMENT ON FUNCTION gundb.clock_ge(gundb.clock, gundb.clock) IS
    'Whether the left clock covers all that the right does.';
CREATE OPERATOR pg_catalog.>= (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_ge,
    COMMUTATOR = OPERATOR(pg_catalog.<=), RESTRICT = contsel, JOIN = contjoinsel
);
CREATE FUNCTION gundb.clock_join(gundb.clock, gundb.clock) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_join';
COMMENT ON FUNCTION gundb.clock_join(gundb.clock, gundb.clock) IS
    'The least clock that covers all that either covers.';
CREATE OPERATOR pg_catalog.|| (
    LEFTARG = gundb.clock, RIGHTARG = gundb.clock, FUNCTION = gundb.clock_join, COMMUTATOR = OPERATOR(pg_catalog.||)
);
CREATE FUNCTION gundb.clock_meet(gundb.clock, gundb.clock) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_meet';
COMMENT ON FUNCTION gundb.clock_meet(gundb.clock, gundb.clock) IS
    'The greatest clock that covers only what both cover.';
CREATE FUNCTION gundb.clock_difference(gundb.clock, gundb.clock) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_difference';
COMMENT ON FUNCTION gundb.clock_difference(gundb.clock, gundb.clock) IS
    'The entries of the left clock that go beyond the right one.';
CREATE FUNCTION gundb.clock_covers(gundb.clock, gundb.dot) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_covers';
COMMENT ON FUNCTION gundb.clock_covers(gundb.clock, gundb.dot) IS
    'Whether the clock covers the dot.';
CREATE OPERATOR pg_catalog.@> (
    LEFTARG = gundb.clock, RIGHTARG = gundb.dot, FUNCTION = gundb.clock_covers, RESTRICT = contsel, JOIN = contjoinsel
);
CREATE FUNCTION gundb.concurrent(a gundb.clock, b gundb.clock) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_concurrent';
COMMENT ON FUNCTION gundb.concurrent(gundb.clock, gundb.clock) IS
    'Whether neither clock covers all that the other does.';
CREATE FUNCTION gundb.clock_digest(clock gundb.clock) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_digest';
COMMENT ON FUNCTION gundb.clock_digest(gundb.clock) IS
    'A hash of the clock: equal for equal clocks.';
CREATE FUNCTION gundb.clock_entries(clock gundb.clock) RETURNS TABLE (site uuid, stream uuid, lane gundb.lane, seq bigint)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_entries';
COMMENT ON FUNCTION gundb.clock_entries(gundb.clock) IS
    'The clock''s entries as rows.';
CREATE FUNCTION gundb.clock_hash(gundb.clock) RETURNS integer
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashvarlena';
COMMENT ON FUNCTION gundb.clock_hash(gundb.clock) IS 'Hash of a clock: equal clocks have equal bytes.';
CREATE OPERATOR CLASS gundb.clock_hash_ops DEFAULT FOR TYPE gundb.clock USING hash AS
    OPERATOR 1 pg_catalog.=, FUNCTION 1 gundb.clock_hash(gundb.clock);
CREATE CAST (gundb.clock AS jsonb) WITH INOUT;
CREATE CAST (jsonb AS gundb.clock) WITH INOUT;

CREATE FUNCTION gundb.clock_of_add(internal, gundb.dot) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_of_add';
COMMENT ON FUNCTION gundb.clock_of_add(internal, gundb.dot) IS
    'Step of the aggregate clock_of.';
CREATE FUNCTION gundb.clock_of_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_of_combine';
COMMENT ON FUNCTION gundb.clock_of_combine(internal, internal) IS
    'Combines two states of the aggregate clock_of.';
CREATE FUNCTION gundb.clock_of_serial(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_of_serial';
COMMENT ON FUNCTION gundb.clock_of_serial(internal) IS
    'Serializes a state of the aggregate clock_of.';
CREATE FUNCTION gundb.clock_of_deserial(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_of_deserial';
COMMENT ON FUNCTION gundb.clock_of_deserial(bytea, internal) IS
    'Reads a serialized state of the aggregate clock_of.';
CREATE FUNCTION gundb.clock_of_final(internal) RETURNS gundb.clock
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_clock_of_final';
COMMENT ON FUNCTION gundb.clock_of_final(internal) IS
    'Result of the aggregate clock_of.';
CREATE AGGREGATE gundb.clock_of(gundb.dot) (
    SFUNC = gundb.clock_of_add, STYPE = internal, FINALFUNC = gundb.clock_of_final,
    COMBINEFUNC = gundb.clock_of_combine, SERIALFUNC = gundb.clock_of_serial, DESERIALFUNC = gundb.clock_of_deserial,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE gundb.clock_of(gundb.dot) IS 'The least clock that covers all these dots; of none, the empty clock.';
COMMENT ON FUNCTION gundb.hlc_in(cstring) IS 'Reads the text form of hlc. 22P02 if it is malformed.';
COMMENT ON FUNCTION gundb.hlc_out(gundb.hlc) IS 'Prints the text form of hlc.';
COMMENT ON FUNCTION gundb.hlc_recv(internal) IS 'Reads the binary form of hlc. 22P03 if it is malformed.';
COMMENT ON FUNCTION gundb.hlc_send(gundb.hlc) IS 'Prints the binary form of hlc.';
COMMENT ON FUNCTION gundb.lane_in(cstring) IS 'Reads the text form of lane. 22P02 if it is malformed.';
COMMENT ON FUNCTION gundb.lane_out(gundb.lane) IS 'Prints the text form of lane.';
COMMENT ON FUNCTION gundb.lane_recv(internal) IS 'Reads the binary form of lane. 22P03 if it is malformed.';
COMMENT ON FUNCTION gundb.lane_send(gundb.lane) IS 'Prints the binary form of lane.';
COMMENT ON FUNCTION gundb.chain_in(cstring) IS 'Reads the text form of chain. 22P02 if it is malformed.';
COMMENT ON FUNCTION gundb.chain_out(gundb.chain) IS 'Prints the text form of chain.';
COMMENT ON FUNCTION gundb.chain_recv(internal) IS 'Reads the binary form of chain. 22P03 if it is malformed.';
COMMENT ON FUNCTION gundb.chain_send(gundb.chain) IS 'Prints the binary form of chain.';
COMMENT ON FUNCTION gundb.dot_in(cstring) IS 'Reads the text form of dot. 22P02 if it is malformed.';
COMMENT ON FUNCTION gundb.dot_out(gundb.dot) IS 'Prints the text form of dot.';
COMMENT ON FUNCTION gundb.dot_recv(internal) IS 'Reads the binary form of dot. 22P03 if it is malformed.';
COMMENT ON FUNCTION gundb.dot_send(gundb.dot) IS 'Prints the binary form of dot.';
COMMENT ON FUNCTION gundb.clock_in(cstring) IS 'Reads the text form of clock. 22P02 if it is malformed.';
COMMENT ON FUNCTION gundb.clock_out(gundb.clock) IS 'Prints the text form of clock.';
COMMENT ON FUNCTION gundb.clock_recv(internal) IS 'Reads the binary form of clock. 22P03 if it is malformed.';
COMMENT ON FUNCTION gundb.clock_send(gundb.clock) IS 'Prints the binary form of clock.';
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
-- ====================================================================================================================
-- gundb: reading
-- ====================================================================================================================

GRANT SELECT ON gundb.span TO PUBLIC;

CREATE FUNCTION gundb.read(
    stream text DEFAULT NULL, after gundb.clock DEFAULT '{}', max integer DEFAULT 1000, types text[] DEFAULT NULL,
    key text DEFAULT NULL
) RETURNS TABLE (
    stream text, dot gundb.dot, hlc gundb.hlc, xact gundb.hlc, id uuid, type text, key text, data jsonb, meta jsonb,
    next gundb.clock
)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1000 AS 'MODULE_PATHNAME', 'gundb_read';
COMMENT ON FUNCTION gundb.read(text, gundb.clock, integer, text[], text) IS
    'A page of events after a clock, of one stream or of all that the caller may read: whole transactions in the order of their greatest stamp, total order inside. max is exceeded only by one larger transaction. next, the clock after the row''s whole transaction, is what to pass as after.';

CREATE FUNCTION gundb.site_clock() RETURNS gundb.clock
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_site_clock';
COMMENT ON FUNCTION gundb.site_clock() IS
    'What this site holds, as this transaction sees it: covers a dot exactly when the event is here. Two index probes a lane.';

CREATE FUNCTION gundb.history(stream text, key text)
    RETURNS TABLE (dot gundb.dot, hlc gundb.hlc, id uuid, type text, data jsonb, meta jsonb)
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF stream IS NULL OR key IS NULL THEN
        RAISE EXCEPTION 'arguments "stream" and "key" must not be null' USING ERRCODE = '22004';
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT gundb.dot(e.site, gundb.stream_id(%1$L), e.lane, e.seq), e.hlc, e.id, e.type, e.data, e.meta
           FROM ONLY %2$s e WHERE e.key = $1 ORDER BY e.hlc, e.site, e.lane, e.seq',
        stream, gundb.stream_regclass(stream)) USING key;
END
$$;
COMMENT ON FUNCTION gundb.history(text, text) IS 'The events of one key, in total order. Needs SELECT on the stream''s table.';

CREATE FUNCTION gundb.stream_regclass(stream text) RETURNS regclass
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_regclass';
COMMENT ON FUNCTION gundb.stream_regclass(text) IS 'The table of a stream; GD008 if there is none.';

CREATE FUNCTION gundb.stream_rows(stream text) RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_rows';
COMMENT ON FUNCTION gundb.stream_rows(text) IS 'How many events a stream holds: exact, two index probes a lane.';
CREATE FUNCTION gundb.stream_rows_since(stream text, since gundb.hlc) RETURNS bigint
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_stream_rows_since';
COMMENT ON FUNCTION gundb.stream_rows_since(text, gundb.hlc) IS 'How many events of a stream have this stamp or a later one: each lane is halved.';
CREATE FUNCTION gundb.events_after(stream text, clock gundb.clock) RETURNS bigint
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_events_after';
COMMENT ON FUNCTION gundb.events_after(text, gundb.clock) IS 'How many events of a stream, or of all, a clock does not cover.';

CREATE VIEW gundb.stream AS
    SELECT t.name,
           gundb.stream_id(t.name) AS stream,
           t.relid::regclass AS "table",
           coalesce((SELECT d.data->'closed' = 'true' FROM gundb.definitions() d
                      WHERE d.type = 'StreamDeclared' AND d.key = t.name
                      ORDER BY d.hlc DESC, d.site DESC, d.lane DESC, d.seq DESC LIMIT 1), false) AS closed,
           r.rows,
           s.bytes,
           CASE WHEN r.rows > 0 THEN (s.bytes::numeric * r.today / r.rows)::bigint ELSE 0 END AS bytes_a_day
      FROM gundb.stream_table t
     CROSS JOIN LATERAL (SELECT pg_catalog.pg_total_relation_size(t.relid) AS bytes) s
     CROSS JOIN LATERAL (SELECT gundb.stream_rows(t.name) AS rows,
                                gundb.stream_rows_since(t.name, (pg_catalog.now() - interval '1 day')::gundb.hlc) AS today) r;
COMMENT ON VIEW gundb.stream IS 'The streams that have a table here.';
COMMENT ON COLUMN gundb.stream.rows IS 'Events, exactly.';
COMMENT ON COLUMN gundb.stream.bytes IS 'Size with indexes, in bytes.';
COMMENT ON COLUMN gundb.stream.bytes_a_day IS 'What the events of the last 24 hours take, at the stream''s mean size, in bytes.';
GRANT SELECT ON gundb.stream TO PUBLIC;

-- --------------------------------------------------------------------------------------------------------------------
-- Consumers
-- --------------------------------------------------------------------------------------------------------------------

CREATE TABLE gundb.consumer_state (
    name     text        PRIMARY KEY,
    stream   text,
    types    text[],
    position gundb.clock NOT NULL,
    owner    regrole     NOT NULL,
    created  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    moved    timestamptz
);
COMMENT ON TABLE gundb.consumer_state IS 'The consumers, and the clock up to which each has read.';
SELECT pg_catalog.pg_extension_config_dump('gundb.consumer_state', '');

CREATE FUNCTION gundb.consumers()
    RETURNS TABLE (name text, stream text, types text[], "position" gundb.clock, owner name, lag bigint, moved timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT c.name, c.stream, c.types, c.position, pg_get_userbyid(c.owner::oid), gundb.events_after(c.stream, c.position), c.moved
            FROM gundb.consumer_state c $$;
COMMENT ON FUNCTION gundb.consumers() IS 'The consumers with their lag.';
CREATE VIEW gundb.consumer AS SELECT * FROM gundb.consumers();
COMMENT ON VIEW gundb.consumer IS 'The consumers. lag: events that the position does not cover yet, filtered types included.';
GRANT SELECT ON gundb.consumer TO PUBLIC;

CREATE FUNCTION gundb.create_consumer(
    name text, stream text DEFAULT NULL, types text[] DEFAULT NULL, start text DEFAULT 'beginning',
    after gundb.clock DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_create_consumer';
COMMENT ON FUNCTION gundb.create_consumer(text, text, text[], text, gundb.clock) IS
    'Makes a durable reader of a stream, or of all that its owner may read, that starts at the beginning, the end, or after a clock. The caller owns it.';
CREATE FUNCTION gundb.consume(name text, max integer DEFAULT 100, wait interval DEFAULT '0') RETURNS TABLE (
    stream text, dot gundb.dot, hlc gundb.hlc, xact gundb.hlc, id uuid, type text, key text, data jsonb, meta jsonb,
    next gundb.clock
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 AS 'MODULE_PATHNAME', 'gundb_consume';
COMMENT ON FUNCTION gundb.consume(text, integer, interval) IS
    'The consumer''s next events, whole transactions; its position moves in this transaction, so rolling back gives them again. wait: how long to wait for news where there is none (READ COMMITTED only). A second caller waits for the first.';
CREATE FUNCTION gundb.seek_consumer(name text, start text DEFAULT 'beginning', after gundb.clock DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_seek_consumer';
COMMENT ON FUNCTION gundb.seek_consumer(text, text, gundb.clock) IS 'Moves a consumer to the beginning, the end, or a clock.';
CREATE FUNCTION gundb.drop_consumer(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_drop_consumer';
COMMENT ON FUNCTION gundb.drop_consumer(text) IS 'Drops a consumer.';
-- ====================================================================================================================
-- gundb: causality, digests, proofs
-- ====================================================================================================================

CREATE FUNCTION gundb.context(event anyelement) RETURNS gundb.clock
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_context';
COMMENT ON FUNCTION gundb.context(anyelement) IS
    'What the author of an event had seen: a row of a stream''s table, of gundb.event, or a dot. Needs SELECT on the stream''s table.';
CREATE FUNCTION gundb.happened_before(a anyelement, b anyelement) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_happened_before';
COMMENT ON FUNCTION gundb.happened_before(anyelement, anyelement) IS
    'Whether event a is in the context of event b; rows of one table, or dots. Not transitive across sites while transactions stay open.';
CREATE FUNCTION gundb.concurrent(a anyelement, b anyelement) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_concurrent';
COMMENT ON FUNCTION gundb.concurrent(anyelement, anyelement) IS
    'Whether neither event is in the other''s context; rows of one table, or dots.';
CREATE FUNCTION gundb.causal_sort(dots gundb.dot[], contexts gundb.clock[] DEFAULT NULL)
    RETURNS TABLE (place bigint, dot gundb.dot)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_causal_sort';
COMMENT ON FUNCTION gundb.causal_sort(gundb.dot[], gundb.clock[]) IS
    'The events in an order in which none comes before what is in its context; ties by dot. contexts: instead of the stored ones, for events held elsewhere. A cycle is GD012.';

CREATE FUNCTION gundb.dot_name(dot gundb.dot) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_dot_name';
COMMENT ON FUNCTION gundb.dot_name(gundb.dot) IS 'A dot with names: site/stream/lane/seq. GD011, with the uuids, if several sites bear the name.';
CREATE FUNCTION gundb.dot_named(name text) RETURNS gundb.dot
    LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_dot_named';
COMMENT ON FUNCTION gundb.dot_named(text) IS 'The dot of a name that dot_name printed. GD011, with the uuids, if several sites bear the site''s name.';

CREATE FUNCTION gundb.digest(stream text DEFAULT NULL, clock gundb.clock DEFAULT NULL) RETURNS uuid
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_digest';
COMMENT ON FUNCTION gundb.digest(text, gundb.clock) IS
    'A hash of what is held of a stream, or of all: equal at two sites exactly when they hold the same events. With a clock: of what it covers, GD007 if not all of that is held. Costs lanes, not events.';
CREATE FUNCTION gundb.verify(stream text DEFAULT NULL)
    RETURNS TABLE (stream text, site uuid, lane gundb.lane, seq bigint, problem text)
    LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_verify';
COMMENT ON FUNCTION gundb.verify(text) IS
    'Recomputes the chains of a stream, or of all that the caller may read, and returns the first damaged or missing event of each lane; no rows: all is well. Reads every event.';
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
             gundb.set_site_name(text)
         TO %I', role);
END
$$;
COMMENT ON FUNCTION gundb.grant_admin(name) IS
    'Lets a role declare, drop and detach streams, define event types and name the site. REVOKE takes it back.';

CREATE FUNCTION gundb.status(
    OUT worker boolean, OUT library_version text, OUT run text, OUT hlc gundb.hlc, OUT drift_ms bigint,
    OUT lane_floor bigint, OUT restoring boolean
)
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_status';
COMMENT ON FUNCTION gundb.status() IS 'What shared memory knows of this database: the worker, the run, the clock. gundb.health reads it.';

CREATE VIEW gundb.health AS
    WITH s AS MATERIALIZED (SELECT * FROM gundb.status()),
    t AS (
        SELECT tr.tgrelid::pg_catalog.regclass::text AS name
          FROM pg_catalog.pg_trigger tr
          JOIN pg_catalog.pg_proc p ON p.oid = tr.tgfoid AND p.pronamespace = pg_catalog.to_regnamespace('gundb')
         WHERE p.proname IN ('stamp', 'guard') AND tr.tgenabled <> 'A' AND NOT tr.tgisinternal
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
               CASE WHEN pg_catalog.count(*) > 0 THEN 'For each of them: ALTER TABLE … ENABLE TRIGGER ALL;' END
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
COMMENT ON VIEW gundb.health IS 'What is well and what is not, and what to do about it. status: OK, WARNING or CRITICAL.';

REVOKE ALL ON FUNCTION gundb.reset(), gundb.uninstall(boolean), gundb.begin_restore(), gundb.end_restore(),
    gundb.grant_admin(name), gundb.status() FROM PUBLIC;
GRANT SELECT ON gundb.health TO pg_monitor;
GRANT EXECUTE ON FUNCTION gundb.status() TO pg_monitor;
