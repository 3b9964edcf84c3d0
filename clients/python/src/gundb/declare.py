"""Making at a site what is declared in Python: streams, event types, views.

What always holds: where all of it is there as declared, nothing is written and no right but to read is needed. What is
there otherwise is never dropped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from gundb.base import SiteMetaData, metadata, qualified
from gundb.errors import DeclarationError, GundbError, ViewChangedError
from gundb.json import from_json, to_json
from gundb.stream import EventStream
from gundb.view import Definition, View, definition_of

Bind = Engine | Connection | Session

# Two programs that start together make it once. (The lock is not one that gundb takes.)
LOCK = text("SELECT pg_advisory_xact_lock(hashtext('gundb.create_all'))")
STREAM = text(
    'SELECT closed, "table"::text AS "table", "table" IS NOT DISTINCT FROM to_regclass(:mapped) AS as_mapped '
    "FROM gundb.stream WHERE name = :name"
)
CREATE_STREAM = text("SELECT gundb.create_stream(:name, as_table => CAST(:as_table AS text), closed => :closed)")
TYPES = text(
    "SELECT data->>'type' AS type, coalesce(data->'schema', 'null')::text AS schema FROM gundb.definitions() "
    "WHERE type = 'EventDefined' AND key = :name"
)
DEFINE_EVENT = text("SELECT gundb.define_event(:stream, :type, CAST(:schema AS jsonb))")
VIEW = text(
    "SELECT stream, key, columns::text AS columns, types, filter, delete, strict, reducer::text AS reducer, "
    "initial::text AS initial FROM gundb.view WHERE view = to_regclass(:name)"
)
CREATE_VIEW = text(
    "SELECT gundb.create_view(:name, :stream, CAST(:columns AS json), key => :key, types => CAST(:types AS text[]), "
    "filter => CAST(:filter AS text), delete => CAST(:delete AS text[]), strict => :strict)"
)
CREATE_REDUCER_VIEW = text(
    "SELECT gundb.create_reducer_view(:name, :stream, CAST(:reducer AS regprocedure), "
    "initial => CAST(:initial AS jsonb), key => :key)"
)
ALTER_VIEW = text(
    "SELECT gundb.alter_view(to_regclass(:name), add => CAST(:add AS json), change => CAST(:change AS json), "
    "drop => CAST(:drop AS text[]))"
)


class Step(NamedTuple):
    """One statement that brings a site nearer to what is declared."""

    statement: Any
    parameters: dict[str, Any]
    view: type[View] | None = None


def create_all(bind: Bind, metadata: SiteMetaData = metadata) -> None:
    """Makes what is declared and missing; defines event types anew, and alters views, whose declaration changed.

    - An event type gets a new version if its schema is one that the site has never had. A program that is older than
      the site so leaves newer versions as they are.
    - A view's columns are added, changed and dropped. Where its key, types, filter, deletes, ``strict`` or reducer
      changed, ``ViewChangedError`` says so: drop the view, and it is made anew.

    Of asyncio: ``await connection.run_sync(gundb.create_all)``.
    """
    if any(hasattr(bind, f"sync_{kind}") for kind in ("engine", "connection", "session")):
        raise TypeError("of asyncio: await connection.run_sync(gundb.create_all)")
    if isinstance(bind, Engine):
        with bind.begin() as connection:
            create_all(connection, metadata)
        return
    for view in metadata.views:
        definition_of(view)
    locked = False
    # What comes first may be needed by what comes next, so each is looked at when its turn has come.
    for look, cls in [(_stream, one) for one in metadata.streams.values()] + [(_view, one) for one in metadata.views]:
        steps = look(bind, cls)
        if steps and not locked:
            locked = True
            bind.execute(LOCK)
            steps = look(bind, cls)
        for step in steps:
            _take(bind, step)


def _take(bind: Connection | Session, step: Step) -> None:
    try:
        bind.execute(step.statement, step.parameters)
    except ProgrammingError as error:
        if step.view is not None and getattr(error.orig, "sqlstate", None) == "42710":
            raise ViewChangedError(
                f"the view {step.view.__viewname__!r} is there with another key, types, filter, delete, strict or "
                "reducer. gundb.drop_view() drops it, and create_all then makes it anew of the same events; its "
                "indexes, privileges and columns of your own are to be made anew too"
            ) from error
        raise


def _stream(bind: Connection | Session, stream: Any) -> list[Step]:
    found = _one(bind, STREAM, {"name": stream.__streamname__, "mapped": qualified(stream)})
    if found is None or (stream.__closed__ and not found.closed):
        table = None if stream._table().fullname == stream.__streamname__ else qualified(stream)
        steps = [
            Step(CREATE_STREAM, {"name": stream.__streamname__, "as_table": table, "closed": stream.__closed__}),
        ]
        if found is None:
            return steps + [_define(stream, kind, one.json_schema()) for kind, one in stream.__events__.items()]
        return steps
    if not found.as_mapped:
        raise DeclarationError(
            f"the stream {stream.__streamname__!r} has the table {found.table} here: say so by __tablename__ and "
            f'__table_args__ = {{"schema": …}} in {stream.__name__}, or set search_path'
        )
    known: dict[str, list[Any]] = {}
    for kind, schema in bind.execute(TYPES, {"name": stream.__streamname__}):
        known.setdefault(kind, []).append(from_json(schema))
    return [
        _define(stream, kind, schema)
        for kind, schema in ((kind, one.json_schema()) for kind, one in stream.__events__.items())
        if from_json(to_json(schema)) not in known.get(kind, [])
    ]


def _define(stream: type[EventStream], kind: str, schema: dict[str, Any]) -> Step:
    where = f"the schema of {kind}"
    return Step(DEFINE_EVENT, {"stream": stream.__streamname__, "type": kind, "schema": to_json(schema, where)})


def _view(bind: Connection | Session, view: Any) -> list[Step]:
    wanted = definition_of(view)
    name, stream = qualified(view), view.__stream__.__streamname__
    found = _one(bind, VIEW, {"name": name})
    if view.__reducer__ is not None:
        initial = to_json(view.__initial__, f"{view.__name__}.__initial__")
        as_wanted = found is not None and (found.stream, found.key, from_json(found.initial or "null")) == (
            stream,
            wanted.key,
            from_json(initial),
        )
        if found is not None and as_wanted and _names(found.reducer, view.__reducer__):
            return []
        told = {"name": name, "stream": stream, "reducer": view.__reducer__, "initial": initial, "key": wanted.key}
        return [Step(CREATE_REDUCER_VIEW, told, view)]
    create = Step(
        CREATE_VIEW,
        {"name": name, "stream": stream, **wanted._asdict(), "columns": to_json(wanted.columns, view.__name__)},
        view,
    )
    if found is None:
        return [create]
    steps = []
    changes = _changes(from_json(found.columns), wanted.columns)
    if any(changes.values()) and found.reducer is None and found.stream == stream:
        told = {"name": name, "drop": changes["drop"] or None}
        for what in ("add", "change"):
            told[what] = to_json(changes[what], view.__name__) if changes[what] else None
        steps.append(Step(ALTER_VIEW, told, view))
    there = Definition(found.key, wanted.columns, found.types, found.filter, found.delete or None, found.strict)
    if there != wanted or found.stream != stream or found.reducer is not None:
        # The same in other words, or the site says that it is another view; then the transaction ends, and with it what
        # was altered.
        steps.append(create)
    return steps


def _changes(there: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What ``alter_view`` is to be told. Numbers are compared by value."""
    wanted = from_json(to_json(wanted))
    return {
        "add": {name: one for name, one in wanted.items() if name not in there},
        "change": {name: one for name, one in wanted.items() if name in there and there[name] != one},
        "drop": [name for name in there if name not in wanted],
    }


def _names(reducer: str | None, declared: str) -> bool:
    """Whether the catalog's name of a function is the declared one, but for spaces and a schema left out."""
    there, wanted = ("".join((one or "").split()) for one in (reducer, declared))
    return there == wanted or there.endswith("." + wanted) or wanted.endswith("." + there)


def _one(bind: Connection | Session, statement: Any, parameters: dict[str, Any]) -> Row[Any] | None:
    try:
        return bind.execute(statement, parameters).one_or_none()
    except ProgrammingError as error:
        # Undefined table, or schema.
        if getattr(error.orig, "sqlstate", None) in ("42P01", "3F000"):
            raise GundbError("this database is no site: CREATE EXTENSION gundb") from error
        raise
