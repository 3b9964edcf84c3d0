"""JSON as jsonb holds it: exact numbers, and no text that PostgreSQL would refuse.

What always holds: what ``to_json`` returns, jsonb takes; what it cannot take is an ``EventDataError`` that names the
place, before any SQL.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from gundb.errors import EventDataError

# What PostgreSQL's numeric holds: digits before and after the point.
DIGITS_BEFORE_MAX = 131_072
DIGITS_AFTER_MAX = 16_383
# Beyond it Python itself refuses to print an int (sys.set_int_max_str_digits).
INT_BITS_MAX = 14_000


def to_json(value: Any, where: str = "the value") -> str:
    """JSON text of plain Python values: dict, list, tuple, str, int, float, Decimal, bool, None."""
    try:
        return "".join(_write(value, where))
    except RecursionError:
        raise EventDataError(f"{where} is nested too deeply") from None


def from_json(text: str) -> Any:
    """JSON text as Python values; numbers with a fraction or an exponent as Decimal."""
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError:
        # An int with more digits than Python reads.
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def exact(text: Any) -> Any:
    """A column's text as Python values; NULL as None."""
    return from_json(text) if isinstance(text, str) else text


def _write(value: Any, where: str) -> Iterator[str]:
    match value:
        case None:
            yield "null"
        case bool():
            yield "true" if value else "false"
        case str():
            yield _text(value, where)
        case int():
            if value.bit_length() > INT_BITS_MAX:
                raise EventDataError(f"{where}: an int of so many digits must be given as a Decimal")
            yield str(int(value))
        case Decimal():
            yield number(value, where)
        case float():
            if not math.isfinite(value):
                raise EventDataError(f"{where}: JSON has no {value}")
            yield repr(float(value))
        case dict():
            yield "{"
            for at, (name, inner) in enumerate(value.items()):
                if not isinstance(name, str):
                    raise EventDataError(f"{where}: a name in JSON is a str, not {told(name)}")
                yield ", " if at else ""
                yield _text(name, where)
                yield ": "
                yield from _write(inner, f"{where}.{name}")
            yield "}"
        case list() | tuple():
            yield "["
            for at, inner in enumerate(value):
                yield ", " if at else ""
                yield from _write(inner, f"{where}[{at}]")
            yield "]"
        case _:
            raise EventDataError(f"{where}: {told(value)} is nothing that JSON has")


def number(value: Decimal, where: str) -> str:
    """A Decimal as a JSON number."""
    if not value.is_finite():
        raise EventDataError(f"{where}: JSON has no {value}")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if (value and value.adjusted() >= DIGITS_BEFORE_MAX) or exponent < -DIGITS_AFTER_MAX:
        raise EventDataError(f"{where}: PostgreSQL's numeric does not hold a number of this size")
    return str(value)


def check_text(value: str, where: str) -> str:
    """The text, if PostgreSQL can hold it."""
    if "\x00" in value:
        raise EventDataError(f"{where}: PostgreSQL holds no text with the character \\u0000")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise EventDataError(f"{where}: a surrogate by itself is no character") from None
    return value


def _text(value: str, where: str) -> str:
    return json.dumps(check_text(value, where), ensure_ascii=False)


def told(value: object) -> str:
    """A value for a message: its type, and the beginning of what it is."""
    try:
        return f"{type(value).__name__} {value!r:.80}"
    except (ValueError, RecursionError):
        # An int with more digits than Python prints, or what contains itself.
        return type(value).__name__
