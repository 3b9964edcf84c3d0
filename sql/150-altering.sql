-- ====================================================================================================================
-- gundb: views with other columns
-- ====================================================================================================================

CREATE FUNCTION gundb.alter_view(
    view regclass, add json DEFAULT NULL, change json DEFAULT NULL, drop text[] DEFAULT NULL
) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'gundb_alter_view';
COMMENT ON FUNCTION gundb.alter_view(regclass, json, json, text[]) IS
    'Drops columns of a view by their names, defines columns anew and adds columns, both as create_view takes them. The table stays, with its indexes, privileges, triggers and columns of yours. For the owner of its table. Folds the whole stream; appends and reads wait only while the new columns are written.';
