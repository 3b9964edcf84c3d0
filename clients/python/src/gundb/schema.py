"""A class with typed fields as a JSON Schema, and its values as JSON and back.

What always holds: what ``Fields.encode`` lets through fits the schema that ``Fields`` made (but for what ``Schema``
adds, which the site checks), and ``decode`` of it gives an equal value. An annotation that has no JSON form is a
``DeclarationError`` when the class is declared.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Union
from uuid import UUID

from gundb.errors import DeclarationError, EventDataError
from gundb.json import check_text, told

Encode = Callable[[Any, str], Any]
Decode = Callable[[Any], Any]

UUID_PATTERN = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
DATETIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})$"


class Schema(dict[str, Any]):
    """More to be said of a field in JSON Schema: ``qty: Annotated[int, Schema(minimum=1)]``. The site checks it."""


class Codec(NamedTuple):
    """A type: its JSON Schema, its values as plain JSON values, and back."""

    schema: dict[str, Any]
    encode: Encode
    decode: Decode


class Field(NamedTuple):
    name: str
    codec: Codec
    default: Callable[[], Any] | None
    """What makes the default; None: the field must be given."""
    silent: bool
    """Whether None, being the default, is left out: an event that says nothing of a field, rather than null."""


class Fields:
    """The fields of a dataclass."""

    def __init__(self, cls: type[Any], outer: tuple[type[Any], ...] = ()) -> None:
        self.cls = cls
        hints = _hints(cls)
        self.fields = [self._field(one, hints[one.name], (*outer, cls)) for one in dataclasses.fields(cls)]

    def _field(self, field: dataclasses.Field[Any], hint: Any, outer: tuple[type[Any], ...]) -> Field:
        codec = codec_of(hint, f"{self.cls.__name__}.{field.name}", outer)
        default: Callable[[], Any] | None = None
        if field.default_factory is not MISSING:
            default = field.default_factory
        elif field.default is not MISSING:
            default = _always(field.default)
        return Field(field.name, codec, default, field.default is None)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object"}
        if self.fields:
            schema["properties"] = {one.name: one.codec.schema for one in self.fields}
        required = [one.name for one in self.fields if one.default is None]
        if required:
            schema["required"] = required
        return schema

    def encode(self, value: Any, where: str) -> dict[str, Any]:
        said = {}
        for name, codec, _, silent in self.fields:
            inner = getattr(value, name)
            if not (silent and inner is None):
                said[name] = codec.encode(inner, f"{where}.{name}")
        return said

    def decode(self, data: Any) -> Any:
        if not isinstance(data, Mapping):
            raise EventDataError(f"{self.cls.__name__}: the data is no object")
        value = object.__new__(self.cls)
        for name, codec, default, _ in self.fields:
            if name in data:
                try:
                    inner = codec.decode(data[name])
                except (ValueError, TypeError, ArithmeticError) as why:
                    raise EventDataError(f"{self.cls.__name__}.{name}: {why}") from why
            elif default:
                inner = default()
            else:
                raise EventDataError(f"{self.cls.__name__}.{name} is missing in the data")
            object.__setattr__(value, name, inner)
        return value


def _hints(cls: type[Any]) -> dict[str, Any]:
    """The annotations of a dataclass's fields, by name. (Those of ``Event`` itself are none.)"""
    names = {field.name for field in dataclasses.fields(cls)}
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own = {name: hint for name, hint in inspect.get_annotations(base).items() if name in names}
        within = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        try:
            hints |= typing.get_type_hints(
                types.SimpleNamespace(__annotations__=own), globalns=within, include_extras=True
            )
        except NameError as error:
            raise DeclarationError(
                f"{cls.__name__}: {error}; the types of fields are to be known in its module"
            ) from None
    return hints


def codec_of(hint: Any, where: str, outer: tuple[type[Any], ...] = ()) -> Codec:
    """The codec of an annotation. ``outer``: the classes within which it stands."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        codec = codec_of(arguments[0], where, outer)
        more = {name: value for one in arguments[1:] if isinstance(one, Schema) for name, value in one.items()}
        return codec._replace(schema={**codec.schema, **more})
    if origin in (Union, types.UnionType):
        return _optional(arguments, where, outer)
    if origin is Literal:
        return _one_of({value: value for value in arguments}, where)
    if origin is list:
        return _list(codec_of(arguments[0], f"{where}[]", outer))
    if origin is dict and arguments[0] is str:
        return _dict(codec_of(arguments[1], f"{where}{{}}", outer))
    if hint in (Any, object, dict, list):
        kind = {dict: {"type": "object"}, list: {"type": "array"}}.get(hint, {})
        return Codec(kind, _same if not kind else _checked(hint), _itself)
    if isinstance(hint, type):
        if issubclass(hint, enum.Enum):
            return _one_of({one.value: one for one in hint}, where)
        if hint in PLAIN:
            return PLAIN[hint]
        if dataclasses.is_dataclass(hint):
            if hint in outer:
                raise DeclarationError(f"{where}: {hint.__name__} stands within itself")
            return _nested(Fields(hint, outer))
    raise DeclarationError(
        f"{where}: {getattr(hint, '__name__', hint)} has no JSON form here. What has: str, int, float, bool, Decimal, "
        "date, datetime, UUID, Enum, Literal, a dataclass, list[…], dict[str, …], Any, and each of them | None"
    )


def refusal(where: str, expected: str, value: object) -> EventDataError:
    return EventDataError(f"{where}: expected {expected}, got {told(value)}")


# --- plain types ------------------------------------------------------------------------------------------------------


def _itself(value: Any) -> Any:
    return value


def _always(value: Any) -> Callable[[], Any]:
    return lambda: value


def _same(value: Any, where: str) -> Any:
    return value


def _checked(kind: type[Any]) -> Encode:
    def encode(value: Any, where: str) -> Any:
        # A bool is an int to Python, and not to JSON.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise refusal(where, kind.__name__, value)
        return value

    return encode


def _expected(kind: type[Any], decode: Decode) -> Decode:
    def checked(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {told(value)}")
        return decode(value)

    return checked


def _encode_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise refusal(where, "str", value)
    return check_text(value, where)


def _encode_float(value: Any, where: str) -> float:
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise refusal(where, "float", value)
    try:
        return float(value)
    except OverflowError:
        raise refusal(where, "float", value) from None


def _encode_decimal(value: Any, where: str) -> Decimal | int:
    if not isinstance(value, Decimal | int) or isinstance(value, bool):
        # A float would bring digits that nobody meant.
        raise refusal(where, "Decimal", value)
    return value


def _encode_date(value: Any, where: str) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise refusal(where, "date", value)
    return value.isoformat()


def _encode_datetime(value: Any, where: str) -> str:
    if not isinstance(value, datetime):
        raise refusal(where, "datetime", value)
    offset = value.utcoffset()
    if offset is None:
        raise refusal(where, "a datetime with a time zone", value)
    if offset % timedelta(minutes=1):
        # RFC 3339 has no seconds in an offset.
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise refusal(where, "a datetime in the years 1 to 9999 of UTC", value) from None
    text: str = value.isoformat()
    return text


def _encode_uuid(value: Any, where: str) -> str:
    if not isinstance(value, UUID):
        raise refusal(where, "UUID", value)
    return str(value)


def _decode_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
        raise TypeError(f"expected int, got {told(value)}")
    return int(value)


def _decode_number(kind: Callable[[Any], Any]) -> Decode:
    def decode(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | Decimal | float | str):
            raise TypeError(f"expected a number, got {told(value)}")
        return kind(value)

    return decode


PLAIN: dict[type[Any], Codec] = {
    str: Codec({"type": "string"}, _encode_text, _expected(str, _itself)),
    bool: Codec({"type": "boolean"}, _checked(bool), _expected(bool, _itself)),
    int: Codec({"type": "integer"}, _checked(int), _decode_int),
    float: Codec({"type": "number"}, _encode_float, _decode_number(float)),
    Decimal: Codec({"type": "number"}, _encode_decimal, _decode_number(Decimal)),
    date: Codec({"type": "string", "pattern": DATE_PATTERN}, _encode_date, _expected(str, date.fromisoformat)),
    datetime: Codec(
        {"type": "string", "pattern": DATETIME_PATTERN}, _encode_datetime, _expected(str, datetime.fromisoformat)
    ),
    UUID: Codec({"type": "string", "pattern": UUID_PATTERN}, _encode_uuid, _expected(str, UUID)),
}

# --- types of types ---------------------------------------------------------------------------------------------------


def _optional(arguments: tuple[Any, ...], where: str, outer: tuple[type[Any], ...]) -> Codec:
    others = [one for one in arguments if one is not type(None)]
    if len(others) != 1 or len(arguments) != 2:
        raise DeclarationError(f"{where}: of unions only those with None have a JSON form here")
    inner = codec_of(others[0], where, outer)
    kind = inner.schema.get("type")
    if not inner.schema:
        schema: dict[str, Any] = {}
    elif isinstance(kind, str) and "enum" not in inner.schema:
        schema = {**inner.schema, "type": [kind, "null"]}
    else:
        schema = {"anyOf": [inner.schema, {"type": "null"}]}
    return Codec(
        schema,
        lambda value, at: None if value is None else inner.encode(value, at),
        lambda value: None if value is None else inner.decode(value),
    )


def _one_of(values: Mapping[Any, Any], where: str) -> Codec:
    """``values``: by what stands in JSON, what it is in Python."""
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for value in values):
        raise DeclarationError(f"{where}: the values of an Enum or Literal are to be str or int")
    in_json = {value: name for name, value in values.items()}

    def encode(value: Any, at: str) -> Any:
        if not isinstance(value, Hashable) or isinstance(value, bool) or value not in in_json:
            raise refusal(at, f"one of {', '.join(map(repr, values))}", value)
        return in_json[value]

    def decode(value: Any) -> Any:
        if not isinstance(value, Hashable) or isinstance(value, bool) or value not in values:
            raise ValueError(f"expected one of {', '.join(map(repr, values))}, got {told(value)}")
        return values[value]

    return Codec({"enum": list(values)}, encode, decode)


def _list(inner: Codec) -> Codec:
    def encode(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise refusal(where, "list", value)
        return [inner.encode(one, f"{where}[{at}]") for at, one in enumerate(value)]

    schema: dict[str, Any] = {"type": "array"}
    if inner.schema:
        schema["items"] = inner.schema
    return Codec(schema, encode, _expected(list, lambda value: [inner.decode(one) for one in value]))


def _dict(inner: Codec) -> Codec:
    def encode(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refusal(where, "dict", value)
        return {_encode_text(name, where): inner.encode(one, f"{where}.{name}") for name, one in value.items()}

    schema: dict[str, Any] = {"type": "object"}
    if inner.schema:
        schema["additionalProperties"] = inner.schema
    return Codec(
        schema, encode, _expected(dict, lambda value: {name: inner.decode(one) for name, one in value.items()})
    )


def _nested(fields: Fields) -> Codec:
    def encode(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, fields.cls):
            raise refusal(where, fields.cls.__name__, value)
        return fields.encode(value, where)

    return Codec(fields.schema(), encode, fields.decode)
