"""Alembic leaves alone what is gundb's.

In ``env.py``::

    from gundb.alembic import hooks

    context.configure(connection=connection, target_metadata=…, **hooks(connection))

Then autogenerate neither creates nor drops gundb's schema, nor the tables of streams and views, wherever they were
declared: in Python, in SQL, or at another site.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.sql.schema import SchemaItem

from gundb.fold import INFO
from gundb.tables import IS_SITE, SCHEMA, TABLES

Tables = set[tuple[str | None, str | None]]
IncludeName = Callable[[str | None, Any, MutableMapping[Any, Any]], bool]
IncludeObject = Callable[[SchemaItem, str | None, Any, bool, SchemaItem | None], bool]


def hooks(
    connection: Connection | None,
    include_name: IncludeName | None = None,
    include_object: IncludeObject | None = None,
) -> dict[str, Any]:
    """``include_name`` and ``include_object`` for ``context.configure``. Hooks of yours are asked about all else.

    The database is asked when Alembic first asks, in Alembic's transaction: one that was begun before, it would not
    commit. Offline there is no connection, None: then all that is known is what Python declares.
    """

    @cache
    def ours() -> Tables:
        return _tables(connection)

    def name(name: str | None, type_: Any, parents: MutableMapping[Any, Any]) -> bool:
        if type_ == "schema" and name == SCHEMA:
            return False
        schema = parents.get("schema_name")
        if schema == SCHEMA or (type_ == "table" and (schema, name) in ours()):
            return False
        return include_name is None or include_name(name, type_, parents)

    def object(thing: SchemaItem, name: str | None, type_: Any, reflected: bool, other: SchemaItem | None) -> bool:
        if type_ == "table":
            schema = getattr(thing, "schema", None)
            if INFO in thing.info or schema == SCHEMA or (schema, name) in ours():
                return False
        return include_object is None or include_object(thing, name, type_, reflected, other)

    return {"include_name": name, "include_object": object}


def _tables(connection: Connection | None) -> Tables:
    """The tables of streams and views, by schema (None: the default one) and name."""
    if connection is None or not connection.execute(text(IS_SITE)).scalar_one():
        return set()
    found = connection.execute(text(TABLES)).all()
    # What stands in the default schema Alembic names without it, and metadata may name either way.
    return {(schema, name) for schema, name, _, _ in found} | {(None, name) for _, name, default, _ in found if default}
