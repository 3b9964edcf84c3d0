-- ====================================================================================================================
-- gundb: loading
--
-- The scripts of this folder, in the order of their numbers, are the install script. Plain CREATE throughout: an
-- object that is there already is somebody else's, and the installation must fail rather than adopt it.
-- ====================================================================================================================

\echo Use "CREATE EXTENSION gundb" to load this file. \quit

-- Whoever made the schema before the extension came has put nothing into it that is found here. It is as before afterwards.
SET LOCAL search_path TO pg_catalog, pg_temp;

CREATE FUNCTION gundb.check_loading() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'gundb_check_loading';
COMMENT ON FUNCTION gundb.check_loading() IS
    'Raises an error, with the command that mends it, unless gundb was loaded when the server started and the database is in UTF8.';

SELECT gundb.check_loading();

GRANT USAGE ON SCHEMA gundb TO PUBLIC;
