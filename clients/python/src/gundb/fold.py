"""Folds: how the columns of a view combine events (docs/folds.md).

    on_hand: Mapped[Decimal] = fold.sum({Received: "qty", Sold: "-qty"})

A value is a path into the event (a str), a constant, or either by event type: a mapping whose keys are event classes.
What the column holds says its annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import MappedColumn, mapped_column

from gundb.types import CRDTS, Crdt

Source = str | int | float | Decimal | bool | None
"""A path, or a constant."""
Value = Source | Mapping[Any, Source]
"""Or by event type: by classes of events, or by names of types that have none here."""

INFO = "gundb"
"""Under which a column's or table's ``info`` has what gundb is told of it."""


def _column(fold: str, of_type: Any = None, **properties: Any) -> MappedColumn[Any]:
    given = {name: value for name, value in properties.items() if value is not ...}
    arguments = () if of_type is None else (of_type,)
    return mapped_column(*arguments, info={INFO: {"fold": fold, **given}})


def sum(value: Value) -> MappedColumn[Any]:
    """The exact sum; None without any value. ``Mapped[Decimal | None]`` or ``Mapped[int | None]``."""
    return _column("sum", value=value)


def count(value: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """How many events, or how many that have a value which is not null. ``Mapped[int]``."""
    return _column("count", value=value)


def min(value: Value) -> MappedColumn[Any]:
    """The least value; None without any."""
    return _column("min", value=value)


def max(value: Value) -> MappedColumn[Any]:
    """The greatest value; None without any."""
    return _column("max", value=value)


def avg(value: Value) -> MappedColumn[Any]:
    """The exact mean; None without any value. ``Mapped[Decimal | None]``."""
    return _column("avg", value=value)


def lww(value: Value, by: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """What the last write wrote, by ``by`` if given, then by the total order."""
    return _column("lww", value=value, by=by)


def fww(value: Value, by: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """What the first write wrote, compared likewise."""
    return _column("fww", value=value, by=by)


def mv(value: Value) -> MappedColumn[Any]:
    """What was written by writes that no other write has seen. ``Mapped[list[…]]``."""
    return _column("mv", value=value)


def set(add: Value, remove: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """The values with an add that no remove has seen. ``Mapped[list[…]]``, ascending."""
    return _column("set", add=add, remove=remove)


def rw_set(add: Value, remove: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """The values with an add that has seen every remove. ``Mapped[list[…]]``, ascending."""
    return _column("rw_set", add=add, remove=remove)


def flag(value: Value) -> MappedColumn[Any]:
    """Whether some enable (true) has been seen by no disable (false). ``Mapped[bool]``."""
    return _column("flag", value=value)


def dw_flag(value: Value) -> MappedColumn[Any]:
    """Whether some enable has seen every disable. ``Mapped[bool]``."""
    return _column("dw_flag", value=value)


def map(key: Value, value: Value, remove: Value = ...) -> MappedColumn[Any]:  # type: ignore[assignment]
    """Of each key what was put last. ``Mapped[dict[str, Any]]``."""
    return _column("map", key=key, value=value, remove=remove)


def merge(value: Value, type: str) -> MappedColumn[Any]:
    """The CRDT values that events carry, merged, read as what they are worth. ``type``: ``"gcounter"``, ``"set"`` …"""
    if type not in CRDTS:
        raise ValueError(f"{type!r} is no CRDT type; those are {', '.join(sorted(CRDTS))}")
    return _column("merge", Crdt(type), value=value, type=type)
