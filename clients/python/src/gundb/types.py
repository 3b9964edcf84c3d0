"""gundb's types as SQLAlchemy's, and JSON that keeps numbers exact."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NewType

from sqlalchemy import Text, cast, func, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.types import TypeDecorator, UserDefinedType

from gundb.json import exact, to_json

Clock = NewType("Clock", str)
"""A vector clock, as text: opaque, to be kept, sent on, and given back."""

Dot = NewType("Dot", str)
"""An event's identity everywhere, as text."""

CRDTS = frozenset("gcounter pncounter bcounter lww mv gset set rw_set flag dw_flag map".split())


class Opaque(UserDefinedType[str]):
    """A type of the schema gundb whose text form is all that Python sees."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return f"gundb.{self.name}"

    def bind_expression(self, bindvalue: Any) -> ColumnElement[str]:
        return cast(bindvalue, self)

    @property
    def python_type(self) -> type[str]:
        return str


class Crdt(UserDefinedType[Any]):
    """A column of a CRDT value, read as what it is worth now."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return f"gundb.{self.name}"

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(cast(func.gundb.jsonb(column), Text), self)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return exact


class ExactJSON(TypeDecorator[Any]):
    """jsonb whose numbers are int and Decimal: jsonb is exact, and float is not. Operators are those of JSONB."""

    impl = JSONB
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(cast(column, Text), self)

    def bind_expression(self, bindvalue: Any) -> ColumnElement[Any]:
        return cast(bindvalue, JSONB)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str | None]:
        return lambda value: None if value is None else to_json(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return exact


# So that SQLAlchemy knows them in tables that it reflects.
for _name in ("lane", "hlc", "chain", "clock", "dot"):
    PGDialect.ischema_names[f"gundb.{_name}"] = partial(Opaque, _name)  # type: ignore[assignment]
for _name in CRDTS:
    PGDialect.ischema_names[f"gundb.{_name}"] = partial(Crdt, _name)  # type: ignore[assignment]
