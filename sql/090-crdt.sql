-- ====================================================================================================================
-- gundb: CRDT values
--
-- Eleven types whose values merge, in any order and however often, to the same value. A value is a varlena of the bytes
-- in docs/format.md; equal values have equal bytes, so comparing, hashing and sending are bytea's own functions. What
-- all kinds have in common is made in one loop, by one sentence for each object; what a site does to a value follows.
--
-- Acts that are counted must know which site acts. The first of all draws the site, and the first of a server's life
-- writes the run's record: hence VOLATILE, and PARALLEL UNSAFE, since nothing may be written while workers run. Acts
-- that only take away what the value has seen, and additions to a gset, ask for no site: IMMUTABLE and PARALLEL SAFE.
--
-- All are STRICT, as the operators of numbers are: with a NULL the result is NULL. (A column that is NOT NULL refuses it.)
-- ====================================================================================================================

-- --------------------------------------------------------------------------------------------------------------------
-- What all kinds have
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.crdt_merge_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge_combine';
COMMENT ON FUNCTION gundb.crdt_merge_combine(internal, internal) IS 'Combines two states of the aggregates merge.';
CREATE FUNCTION gundb.crdt_merge_serial(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge_serial';
COMMENT ON FUNCTION gundb.crdt_merge_serial(internal) IS 'Serializes a state of the aggregates merge.';
CREATE FUNCTION gundb.crdt_merge_deserial(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge_deserial';
COMMENT ON FUNCTION gundb.crdt_merge_deserial(bytea, internal) IS 'Reads a serialized state of the aggregates merge.';

DO $do$
DECLARE
    kind record;
    f record;
BEGIN
    FOR kind IN
        SELECT * FROM (VALUES
            ('gcounter',  'numeric', 'numeric', 'A counter that only grows.'),
            ('pncounter', 'numeric', 'numeric', 'A counter that grows and shrinks.'),
            ('bcounter',  'numeric', 'numeric', 'A counter that never falls below zero: a site takes only what it added or was given.'),
            ('lww',       'jsonb',   'jsonb',   'A register: the last write wins.'),
            ('mv',        'jsonb',   'jsonb',   'A register that keeps concurrent writes, until one that has seen them.'),
            ('gset',      'text[]',  'texts',   'A set of texts that only grows.'),
            ('set',       'text[]',  'texts',   'A set of texts: an add wins over a concurrent remove.'),
            ('rw_set',    'text[]',  'texts',   'A set of texts: a remove wins over a concurrent add.'),
            ('flag',      'boolean', 'boolean', 'A flag, off at first: an enable wins over a concurrent disable.'),
            ('dw_flag',   'boolean', 'boolean', 'A flag, off at first: a disable wins over a concurrent enable.'),
            ('map',       'jsonb',   'jsonb',   'A map from texts to JSON: a put wins over a concurrent remove, of concurrent puts of a key the last.')
        ) AS v (name, worth, symbol, meaning)
    LOOP
        EXECUTE format($sql$
            CREATE TYPE gundb.%1$I;
            CREATE FUNCTION gundb.%1$s_in(cstring) RETURNS gundb.%1$I
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_%1$s_in';
            CREATE FUNCTION gundb.%1$s_out(gundb.%1$I) RETURNS cstring
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_out';
            CREATE FUNCTION gundb.%1$s_recv(internal) RETURNS gundb.%1$I
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_%1$s_recv';
            CREATE FUNCTION gundb.%1$s_send(gundb.%1$I) RETURNS bytea
                LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteasend';
            CREATE TYPE gundb.%1$I (
                INPUT = gundb.%1$s_in, OUTPUT = gundb.%1$s_out, RECEIVE = gundb.%1$s_recv, SEND = gundb.%1$s_send,
                INTERNALLENGTH = VARIABLE, STORAGE = extended, ALIGNMENT = int4
            );
            COMMENT ON TYPE gundb.%1$I IS %2$L;
            COMMENT ON FUNCTION gundb.%1$s_in(cstring) IS 'Reads the text form of %1$s; {} is empty. 22P02 if it is malformed.';
            COMMENT ON FUNCTION gundb.%1$s_out(gundb.%1$I) IS 'Prints the text form of %1$s.';
            COMMENT ON FUNCTION gundb.%1$s_recv(internal) IS 'Reads the binary form of %1$s. 22P03 if it is malformed.';
            COMMENT ON FUNCTION gundb.%1$s_send(gundb.%1$I) IS 'Prints the binary form of %1$s.';
            $sql$, kind.name, kind.meaning || ' A value: a column of this type does not replicate by itself, streams do. '
                'Empty: ''{}''. A value that was copied to another row must be reissued before both change: see gundb.reissue().');

        -- Equality is that of the bytes. The order is too: it means nothing, and serves DISTINCT, GROUP BY and UNIQUE.
        FOR f IN
            SELECT * FROM (VALUES
                ('eq', '=',  '=',  '<>', 'eqsel',       'eqjoinsel'),
                ('ne', '<>', '<>', '=',  'neqsel',      'neqjoinsel'),
                ('lt', '<',  '>',  '>=', 'scalarltsel', 'scalarltjoinsel'),
                ('le', '<=', '>=', '>',  'scalarlesel', 'scalarlejoinsel'),
                ('gt', '>',  '<',  '<=', 'scalargtsel', 'scalargtjoinsel'),
                ('ge', '>=', '<=', '<',  'scalargesel', 'scalargejoinsel')
            ) AS v (suffix, operator, commutator, negator, restrict, joins)
        LOOP
            EXECUTE format($sql$
                CREATE FUNCTION gundb.%1$s_%2$s(gundb.%1$I, gundb.%1$I) RETURNS boolean
                    LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'bytea%2$s';
                COMMENT ON FUNCTION gundb.%1$s_%2$s(gundb.%1$I, gundb.%1$I) IS 'Implements %3$s of %1$s.';
                CREATE OPERATOR pg_catalog.%3$s (
                    LEFTARG = gundb.%1$I, RIGHTARG = gundb.%1$I, FUNCTION = gundb.%1$s_%2$s,
                    COMMUTATOR = OPERATOR(pg_catalog.%4$s), NEGATOR = OPERATOR(pg_catalog.%5$s),
                    RESTRICT = %6$s, JOIN = %7$s %8$s
                );
                $sql$, kind.name, f.suffix, f.operator, f.commutator, f.negator, f.restrict, f.joins,
                CASE f.operator WHEN '=' THEN ', HASHES, MERGES' ELSE '' END);
        END LOOP;
        EXECUTE format($sql$
            CREATE FUNCTION gundb.%1$s_cmp(gundb.%1$I, gundb.%1$I) RETURNS integer
                LANGUAGE internal IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'byteacmp';
            COMMENT ON FUNCTION gundb.%1$s_cmp(gundb.%1$I, gundb.%1$I) IS 'Orders two values of %1$s by their bytes.';
            CREATE FUNCTION gundb.%1$s_hash(gundb.%1$I) RETURNS integer
                LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashvarlena';
            COMMENT ON FUNCTION gundb.%1$s_hash(gundb.%1$I) IS 'Hash of a value of %1$s.';
            CREATE FUNCTION gundb.%1$s_hash(gundb.%1$I, bigint) RETURNS bigint
                LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'hashvarlenaextended';
            COMMENT ON FUNCTION gundb.%1$s_hash(gundb.%1$I, bigint) IS 'Hash of a value of %1$s, with a salt.';
            CREATE OPERATOR CLASS gundb.%1$s_ops DEFAULT FOR TYPE gundb.%1$I USING btree AS
                OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=,
                OPERATOR 5 pg_catalog.>, FUNCTION 1 gundb.%1$s_cmp(gundb.%1$I, gundb.%1$I);
            CREATE OPERATOR CLASS gundb.%1$s_hash_ops DEFAULT FOR TYPE gundb.%1$I USING hash AS
                OPERATOR 1 pg_catalog.=, FUNCTION 1 gundb.%1$s_hash(gundb.%1$I),
                FUNCTION 2 gundb.%1$s_hash(gundb.%1$I, bigint);

            CREATE FUNCTION gundb.merge(a gundb.%1$I, b gundb.%1$I) RETURNS gundb.%1$I
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge';
            COMMENT ON FUNCTION gundb.merge(gundb.%1$I, gundb.%1$I) IS 'All that was done to either, as ||.';
            CREATE OPERATOR pg_catalog.|| (
                LEFTARG = gundb.%1$I, RIGHTARG = gundb.%1$I, FUNCTION = gundb.merge, COMMUTATOR = OPERATOR(pg_catalog.||)
            );
            CREATE FUNCTION gundb.crdt_merge_step(internal, gundb.%1$I) RETURNS internal
                LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge_step';
            COMMENT ON FUNCTION gundb.crdt_merge_step(internal, gundb.%1$I) IS 'Step of the aggregate merge.';
            CREATE FUNCTION gundb.crdt_merge_final(internal, gundb.%1$I) RETURNS gundb.%1$I
                LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_merge_final';
            COMMENT ON FUNCTION gundb.crdt_merge_final(internal, gundb.%1$I) IS 'Result of the aggregate merge.';
            CREATE AGGREGATE gundb.merge(gundb.%1$I) (
                SFUNC = gundb.crdt_merge_step, STYPE = internal, FINALFUNC = gundb.crdt_merge_final, FINALFUNC_EXTRA,
                COMBINEFUNC = gundb.crdt_merge_combine, SERIALFUNC = gundb.crdt_merge_serial,
                DESERIALFUNC = gundb.crdt_merge_deserial, PARALLEL = SAFE
            );
            COMMENT ON AGGREGATE gundb.merge(gundb.%1$I) IS 'All that was done to any of the copies of one value, NULLs aside; NULL of none. Values begun in different rows of one database are no copies: reissue them first.';

            CREATE FUNCTION gundb.value(value gundb.%1$I) RETURNS %2$s
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_%3$s';
            COMMENT ON FUNCTION gundb.value(gundb.%1$I) IS 'What the value is worth now.';
            CREATE FUNCTION gundb.jsonb(value gundb.%1$I) RETURNS jsonb
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_jsonb';
            COMMENT ON FUNCTION gundb.jsonb(gundb.%1$I) IS 'What the value is worth now, as JSON.';
            CREATE CAST (gundb.%1$I AS jsonb) WITH FUNCTION gundb.jsonb(gundb.%1$I) AS ASSIGNMENT;
            CREATE FUNCTION gundb.inspect(
                value gundb.%1$I, OUT kind text, OUT bytes bigint, OUT replicas bigint, OUT ranges bigint, OUT entries bigint
            )
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_inspect';
            COMMENT ON FUNCTION gundb.inspect(gundb.%1$I) IS
                'What the value is made of: its size uncompressed, replicas that it names, ranges of acts that it has seen (as many as replicas where none is missing), entries.';
            CREATE FUNCTION gundb.reissue(value gundb.%1$I) RETURNS gundb.%1$I
                LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_reissue';
            COMMENT ON FUNCTION gundb.reissue(gundb.%1$I) IS
                'A copy worth the same that can change beside the original, and meet it again: all in it was done by a replica drawn for it, as which this database acts on it from now on.';
            $sql$, kind.name, kind.worth, kind.symbol);
    END LOOP;
END
$do$;

CREATE CAST (gundb.flag    AS boolean) WITH FUNCTION gundb.value(gundb.flag)    AS ASSIGNMENT;
CREATE CAST (gundb.dw_flag AS boolean) WITH FUNCTION gundb.value(gundb.dw_flag) AS ASSIGNMENT;
CREATE CAST (gundb.gset    AS text[])  WITH FUNCTION gundb.value(gundb.gset)    AS ASSIGNMENT;
CREATE CAST (gundb.set     AS text[])  WITH FUNCTION gundb.value(gundb.set)     AS ASSIGNMENT;
CREATE CAST (gundb.rw_set  AS text[])  WITH FUNCTION gundb.value(gundb.rw_set)  AS ASSIGNMENT;

CREATE FUNCTION gundb.replica() RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_replica';
COMMENT ON FUNCTION gundb.replica() IS
    'As whom this database acts on CRDT values: its site, and its incarnation, which a recovered backup, a promoted standby or a database made from a dump or template does not share (best effort: system identifier, timeline, database oid; a copied data directory does share it). 25006 during recovery.';

-- --------------------------------------------------------------------------------------------------------------------
-- Counters
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.crdt_sum_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_sum_combine';
COMMENT ON FUNCTION gundb.crdt_sum_combine(internal, internal) IS 'Combines two states of sum over counters.';
CREATE FUNCTION gundb.crdt_sum_serial(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_sum_serial';
COMMENT ON FUNCTION gundb.crdt_sum_serial(internal) IS 'Serializes a state of sum over counters.';
CREATE FUNCTION gundb.crdt_sum_deserial(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_sum_deserial';
COMMENT ON FUNCTION gundb.crdt_sum_deserial(bytea, internal) IS 'Reads a serialized state of sum over counters.';
CREATE FUNCTION gundb.crdt_sum_final(internal) RETURNS numeric
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_sum_final';
COMMENT ON FUNCTION gundb.crdt_sum_final(internal) IS 'Result of sum over counters.';

DO $do$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['gcounter', 'pncounter', 'bcounter'] LOOP
        EXECUTE format($sql$
            CREATE CAST (gundb.%1$I AS numeric) WITH FUNCTION gundb.value(gundb.%1$I) AS ASSIGNMENT;
            CREATE FUNCTION gundb.int8(value gundb.%1$I) RETURNS bigint
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_int8';
            COMMENT ON FUNCTION gundb.int8(gundb.%1$I) IS 'What the counter is worth now. 22003 where bigint does not reach.';
            CREATE CAST (gundb.%1$I AS bigint) WITH FUNCTION gundb.int8(gundb.%1$I) AS ASSIGNMENT;

            CREATE FUNCTION gundb.crdt_sum_step(internal, gundb.%1$I) RETURNS internal
                LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_sum_step';
            COMMENT ON FUNCTION gundb.crdt_sum_step(internal, gundb.%1$I) IS 'Step of sum.';
            CREATE AGGREGATE pg_catalog.sum(gundb.%1$I) (
                SFUNC = gundb.crdt_sum_step, STYPE = internal, FINALFUNC = gundb.crdt_sum_final,
                COMBINEFUNC = gundb.crdt_sum_combine, SERIALFUNC = gundb.crdt_sum_serial,
                DESERIALFUNC = gundb.crdt_sum_deserial, PARALLEL = SAFE
            );
            COMMENT ON AGGREGATE pg_catalog.sum(gundb.%1$I) IS 'The sum of what the counters are worth: they are different counters. (gundb.merge merges copies of one.)';

            CREATE FUNCTION gundb.add(counter gundb.%1$I, amount bigint) RETURNS gundb.%1$I
                LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_add';
            CREATE OPERATOR pg_catalog.+ (LEFTARG = gundb.%1$I, RIGHTARG = bigint, FUNCTION = gundb.add);
            $sql$, kind);
    END LOOP;
    FOREACH kind IN ARRAY ARRAY['pncounter', 'bcounter'] LOOP
        EXECUTE format($sql$
            CREATE FUNCTION gundb.subtract(counter gundb.%1$I, amount bigint) RETURNS gundb.%1$I
                LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_subtract';
            CREATE OPERATOR pg_catalog.- (LEFTARG = gundb.%1$I, RIGHTARG = bigint, FUNCTION = gundb.subtract);
            $sql$, kind);
    END LOOP;
END
$do$;
COMMENT ON FUNCTION gundb.add(gundb.gcounter, bigint) IS 'Counts, as +. 22023 if the amount is negative, 22003 if this site''s part would pass 2^64 - 1.';
COMMENT ON FUNCTION gundb.add(gundb.pncounter, bigint) IS 'Adds, or takes where the amount is negative, as +. 22003 if this site''s part would pass 2^64 - 1.';
COMMENT ON FUNCTION gundb.add(gundb.bcounter, bigint) IS 'Adds, as +, and gives this site the right to take as much. 22023 if the amount is negative.';
COMMENT ON FUNCTION gundb.subtract(gundb.pncounter, bigint) IS 'Takes, or adds where the amount is negative, as -.';
COMMENT ON FUNCTION gundb.subtract(gundb.bcounter, bigint) IS 'Takes, as -. 23514 if this site has not the right to take so much, whatever the counter''s value is; 22023 if the amount is negative.';

CREATE FUNCTION gundb.transfer(counter gundb.bcounter, recipient text, amount bigint) RETURNS gundb.bcounter
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_transfer';
COMMENT ON FUNCTION gundb.transfer(gundb.bcounter, text, bigint) IS
    'Gives another replica (its gundb.replica()) the right to take so much, and has it no more. 23514 if this site has not so much.';
CREATE FUNCTION gundb.available(counter gundb.bcounter, replica text DEFAULT NULL) RETURNS numeric
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_available';
COMMENT ON FUNCTION gundb.available(gundb.bcounter, text) IS 'How much this site, or another replica, may take, as far as this value knows.';

-- --------------------------------------------------------------------------------------------------------------------
-- Sets
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.add("set" gundb.gset, element text) RETURNS gundb.gset
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_gset_add';
COMMENT ON FUNCTION gundb.add(gundb.gset, text) IS 'Puts an element in, for ever.';
CREATE FUNCTION gundb.add("set" gundb.set, element text) RETURNS gundb.set
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_add_element';
COMMENT ON FUNCTION gundb.add(gundb.set, text) IS 'Puts an element in, also against removes that have not seen this add.';
CREATE FUNCTION gundb.add("set" gundb.rw_set, element text) RETURNS gundb.rw_set
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_add_element';
COMMENT ON FUNCTION gundb.add(gundb.rw_set, text) IS 'Puts an element in, unless there is a remove that this add has not seen.';
CREATE FUNCTION gundb.remove("set" gundb.set, element text) RETURNS gundb.set
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_remove';
COMMENT ON FUNCTION gundb.remove(gundb.set, text) IS 'Takes an element out: the adds that the value has seen.';
CREATE FUNCTION gundb.remove("set" gundb.rw_set, element text) RETURNS gundb.rw_set
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_rw_set_remove';
COMMENT ON FUNCTION gundb.remove(gundb.rw_set, text) IS 'Takes an element out, also from adds that have not seen this remove. The element is remembered.';

DO $do$
DECLARE
    kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['gset', 'set', 'rw_set'] LOOP
        EXECUTE format($sql$
            CREATE FUNCTION gundb.contains("set" gundb.%1$I, element text) RETURNS boolean
                LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_contains';
            COMMENT ON FUNCTION gundb.contains(gundb.%1$I, text) IS 'Whether an element is in, as @>.';
            CREATE OPERATOR pg_catalog.@> (
                LEFTARG = gundb.%1$I, RIGHTARG = text, FUNCTION = gundb.contains, RESTRICT = contsel, JOIN = contjoinsel
            );
            $sql$, kind);
    END LOOP;
END
$do$;

-- --------------------------------------------------------------------------------------------------------------------
-- Registers
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.set(register gundb.lww, value text) RETURNS gundb.lww
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_set_text';
COMMENT ON FUNCTION gundb.set(gundb.lww, text) IS 'Writes a text, after all that the register has seen.';
CREATE FUNCTION gundb.set(register gundb.lww, value jsonb) RETURNS gundb.lww
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_set_jsonb';
COMMENT ON FUNCTION gundb.set(gundb.lww, jsonb) IS 'Writes JSON, after all that the register has seen.';
CREATE FUNCTION gundb.set(register gundb.mv, value text) RETURNS gundb.mv
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_set_text';
COMMENT ON FUNCTION gundb.set(gundb.mv, text) IS 'Writes a text over the values that are seen.';
CREATE FUNCTION gundb.set(register gundb.mv, value jsonb) RETURNS gundb.mv
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_set_jsonb';
COMMENT ON FUNCTION gundb.set(gundb.mv, jsonb) IS 'Writes JSON over the values that are seen.';
CREATE FUNCTION gundb.clear(register gundb.mv) RETURNS gundb.mv
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_clear';
COMMENT ON FUNCTION gundb.clear(gundb.mv) IS 'Takes away the values that are seen.';
CREATE FUNCTION gundb.text_array(register gundb.mv) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(gundb.value(register)));
COMMENT ON FUNCTION gundb.text_array(gundb.mv) IS 'The values that no other has seen: strings as they are, other JSON as it prints, null as NULL.';
CREATE CAST (gundb.mv AS text[]) WITH FUNCTION gundb.text_array(gundb.mv) AS ASSIGNMENT;

-- --------------------------------------------------------------------------------------------------------------------
-- Flags
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.enable(flag gundb.flag) RETURNS gundb.flag
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_enable';
COMMENT ON FUNCTION gundb.enable(gundb.flag) IS 'Turns it on, also against disables that have not seen this.';
CREATE FUNCTION gundb.enable(flag gundb.dw_flag) RETURNS gundb.dw_flag
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_enable';
COMMENT ON FUNCTION gundb.enable(gundb.dw_flag) IS 'Turns it on, unless there is a disable that this has not seen.';
CREATE FUNCTION gundb.disable(flag gundb.flag) RETURNS gundb.flag
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_clear';
COMMENT ON FUNCTION gundb.disable(gundb.flag) IS 'Turns it off, but for enables that the value has not seen.';
CREATE FUNCTION gundb.disable(flag gundb.dw_flag) RETURNS gundb.dw_flag
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_dw_flag_disable';
COMMENT ON FUNCTION gundb.disable(gundb.dw_flag) IS 'Turns it off, also against enables that have not seen this.';

-- --------------------------------------------------------------------------------------------------------------------
-- Map
-- --------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION gundb.put(map gundb.map, key text, value jsonb) RETURNS gundb.map
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_crdt_put';
COMMENT ON FUNCTION gundb.put(gundb.map, text, jsonb) IS 'Puts a value under a key, also against removes that have not seen this.';
CREATE FUNCTION gundb.remove(map gundb.map, key text) RETURNS gundb.map
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'gundb_crdt_remove';
COMMENT ON FUNCTION gundb.remove(gundb.map, text) IS 'Takes a key away: the puts that the value has seen.';
