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
