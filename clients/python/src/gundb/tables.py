"""Which tables of a database are gundb's: those of streams and views. (Its own are in the schema gundb.)"""

from __future__ import annotations

SCHEMA = "gundb"

TABLES = """
    SELECT n.nspname AS schema, c.relname AS name, n.nspname = current_schema() AS in_default,
           pg_catalog.pg_table_is_visible(c.oid) AS visible
      FROM (SELECT relid FROM gundb.stream_table UNION SELECT view::oid FROM gundb.view) AS ours (relid)
      JOIN pg_catalog.pg_class c ON c.oid = ours.relid
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
IS_SITE = "SELECT to_regclass('gundb.stream_table') IS NOT NULL AND to_regclass('gundb.view') IS NOT NULL"
