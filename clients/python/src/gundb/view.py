"""Views: a class a view, mapped to the table that gundb maintains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, DateTime, Float, Integer, Numeric, String, Uuid, event
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import NullType, TypeEngine

from gundb.base import Base, note_row
from gundb.errors import DeclarationError
from gundb.event import Event
from gundb.fold import INFO, Source
from gundb.stream import EventStream
from gundb.types import Crdt, ExactJSON

DEFAULT_TYPES = dict.fromkeys(("sum", "min", "max", "avg"), "numeric") | dict.fromkeys(
    ("lww", "fww", "mv", "set", "rw_set"), "text"
)
"""What gundb takes a fold's type to be; folds that are not here have none to choose."""
FIXED_TYPES = {"count": "bigint", "flag": "boolean", "dw_flag": "boolean", "map": "jsonb"}
ARRAYS = frozenset(("mv", "set", "rw_set"))

# A path that begins with a plain segment: a field of the event.
FIELD = re.compile(r"-?([A-Za-z_][A-Za-z0-9_]*)")


class Definition(NamedTuple):
    """What ``gundb.create_view`` is given."""

    key: str
    columns: dict[str, dict[str, Any]]
    types: list[str] | None
    filter: str | None
    delete: list[str] | None
    strict: bool


class View(Base):
    """The base of views.

        class Stock(View):
            __viewname__ = "stock"
            __stream__ = StockMoves

            sku: Mapped[str] = key_column()
            on_hand: Mapped[Decimal] = fold.sum({Received: "qty", Sold: "-qty"})

    ``__types__``: the event types that are folded, all unless said; ``__filter__``: which of them; ``__delete__``: the
    types that delete a row; ``__strict__ = True``: an append that cannot be folded fails.

    Of a view that is made by a reducer: ``__reducer__ = "spend(jsonb, gundb.event)"``, ``__initial__``, key columns,
    and ``state: Mapped[Any]``.
    """

    __abstract__ = True
    __viewname__: ClassVar[str]
    __stream__: ClassVar[type[EventStream]]
    __types__: ClassVar[Sequence[type[Event] | str] | None] = None
    __filter__: ClassVar[str | None] = None
    __delete__: ClassVar[Sequence[type[Event] | str]] = ()
    __strict__: ClassVar[bool] = False
    __reducer__: ClassVar[str | None] = None
    __initial__: ClassVar[Any] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        if "__abstract__" in cls.__dict__:
            super().__init_subclass__(**keywords)
            return
        stream = cls.__dict__.get("__stream__")
        if not (isinstance(stream, type) and issubclass(stream, EventStream)):
            raise DeclarationError(f"{cls.__name__} needs the stream that it is made of: __stream__ = …")
        if not isinstance(cls.__dict__.get("__viewname__"), str):
            raise DeclarationError(f'{cls.__name__} needs a name: __viewname__ = "…"')
        cls.__tablename__ = cls.__viewname__
        super().__init_subclass__(**keywords)
        cls._table().info[INFO] = cls
        cls.metadata.views.append(cls)


event.listen(View, "load", note_row, propagate=True)


def key_column(path: str | None = None) -> MappedColumn[Any]:
    """A part of the view's key: the place in the event that the path leads to, ``@key`` for the event's own key.

    The path is the column's name unless it is given.
    """
    return mapped_column(primary_key=True, autoincrement=False, info={INFO: {"key": path}})


# --- what gundb is told -----------------------------------------------------------------------------------------------


def definition_of(view: type[View]) -> Definition:
    """What the class declares, checked as far as it can be without the site."""
    keys, columns = [], {}
    for column in view._table().columns:
        told = column.info.get(INFO)
        if told is None:
            continue
        if "fold" not in told:
            keys.append(_key(view, column, told["key"]))
        else:
            columns[column.name] = _column(view, column, told)
    if not keys:
        raise DeclarationError(f"{view.__name__} has no key: key: Mapped[str] = key_column('@key')")
    types = None if view.__types__ is None else [_type_name(view, one) for one in view.__types__]
    delete = [_type_name(view, one) for one in view.__delete__] or None
    return Definition(", ".join(keys), columns, types, view.__filter__, delete, view.__strict__)


def _key(view: type[View], column: Column[Any], path: str | None) -> str:
    path = column.name if path is None else path
    _check_path(view, path, None)
    kind = _sql_type(view, column)
    told = path if kind == "text" else f"{path}::{kind}"
    named = re.fullmatch(r"(?:.*[.@])?([A-Za-z_][A-Za-z0-9_]*)", path)
    return told if named and named[1] == column.name else f"{told} as {_word(column.name)}"


def _word(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '\\"') + '"'


def _column(view: type[View], column: Column[Any], told: dict[str, Any]) -> dict[str, Any]:
    fold = told["fold"]
    said = {name: _value(view, value) if name not in ("fold", "type") else value for name, value in told.items()}
    if fold == "merge":
        return said
    kind = _sql_type(view, column, array=fold in ARRAYS)
    if fold in FIXED_TYPES:
        if kind != FIXED_TYPES[fold]:
            raise DeclarationError(
                f"{view.__name__}.{column.name}: a {fold} is of type {FIXED_TYPES[fold]}, and it is mapped as {kind}"
            )
    elif kind != DEFAULT_TYPES[fold]:
        said["type"] = kind
    return said


def _value(view: type[View], value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_type_name(view, one): _source(view, source, one) for one, source in value.items()}
    return _source(view, value, None)


def _source(view: type[View], source: Source, kind: type[Event] | str | None) -> Source:
    if isinstance(source, str):
        _check_path(view, source, kind)
    elif not isinstance(source, int | float | type(None)) and not hasattr(source, "as_tuple"):
        raise DeclarationError(f"{view.__name__}: {source!r} is neither a path nor a constant")
    return source


def _type_name(view: type[View], kind: type[Event] | str) -> str:
    if isinstance(kind, str):
        return kind
    if not (isinstance(kind, type) and issubclass(kind, Event) and hasattr(kind, "__type__")):
        raise DeclarationError(f"{view.__name__}: {kind!r} is no event type")
    if kind.__stream__ is not view.__stream__:
        raise DeclarationError(
            f"{view.__name__} is made of {view.__stream__.__name__}, and {kind.__name__} is an event of "
            f"{kind.__stream__.__name__}"
        )
    return kind.__type__


def _check_path(view: type[View], path: str, kind: type[Event] | str | None) -> None:
    """That a path begins with a field of the event, where that can be known."""
    field = FIELD.match(path)
    if field is None or isinstance(kind, str):
        return
    within = list(view.__stream__.__events__.values()) if kind is None else [kind]
    if within and not any(one.name == field[1] for event in within for one in event.__fields__.fields):
        of = "no event of the stream" if kind is None else kind.__name__
        raise DeclarationError(
            f"{view.__name__}: the path {path!r}: {of} has {'a' if kind is None else 'no'} field {field[1]!r}. "
            'For types that have no class: {"TypeName": "path"}'
        )


def _sql_type(view: type[View], column: Column[Any], array: bool = False) -> str:
    """gundb's name of a column's type."""
    found: TypeEngine[Any] = column.type
    if array:
        if not isinstance(found, ARRAY):
            raise DeclarationError(f"{view.__name__}.{column.name} holds several values: Mapped[list[…]]")
        found = found.item_type
    # Float is a Numeric in some versions, a DateTime a Date in none.
    for kinds, name in (
        ((BigInteger, Integer), "bigint"),
        ((Numeric, Float), "numeric"),
        ((String,), "text"),
        ((Boolean,), "boolean"),
        ((DateTime,), "timestamptz"),
        ((Date,), "date"),
        ((Uuid,), "uuid"),
        ((ExactJSON,), "jsonb"),
    ):
        if isinstance(found, kinds):
            return name
    if isinstance(found, NullType | Crdt):
        raise DeclarationError(f"{view.__name__}.{column.name} needs an annotation, Mapped[…], that says what it holds")
    raise DeclarationError(f"{view.__name__}.{column.name}: gundb's views have no columns of type {found!r}")
