"""Typed fields as JSON Schema and JSON: no site is needed."""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

import gundb
from gundb import DeclarationError, Event, EventDataError, EventStream, Schema, SiteMetaData
from gundb.json import from_json, to_json
from gundb.schema import Fields

# More digits than Python prints.
HUGE = 1 << 20_000


class Streams(EventStream):
    __abstract__ = True
    metadata = SiteMetaData()


class Things(Streams):
    __streamname__ = "things"


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    no: int
    price: Decimal


class Everything(Event, stream=Things):
    text: str
    whole: Annotated[int, Schema(minimum=1)]
    number: float
    money: Decimal
    yes: bool
    day: date
    moment: datetime
    id: UUID
    colour: Colour
    size: Literal["S", "M"]
    lines: list[Line]
    by_name: dict[str, int]
    anything: Any
    said_null: str | None
    not_said: str | None = None
    days: list[date] = field(default_factory=list)


def everything(**changed: Any) -> Everything:
    given: dict[str, Any] = {
        "text": "größe 🎉",
        "whole": 7,
        "number": 0.1,
        "money": Decimal("0.10"),
        "yes": True,
        "day": date(9999, 12, 31),
        "moment": datetime(2026, 11, 29, 1, 2, 3, 450000, timezone(timedelta(hours=5, minutes=30))),
        "id": UUID("018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f"),
        "colour": Colour.RED,
        "size": "M",
        "lines": [Line(1, Decimal("1E+100"))],
        "by_name": {"a": 1},
        "anything": {"deep": [1, None, {"x": True}]},
        "said_null": None,
    }
    return Everything(**{**given, **changed})


def test_each_type_goes_to_json_and_comes_back_equal() -> None:
    event = everything()
    assert Everything.from_data(from_json(to_json(event.to_data()))) == event
    assert event.to_data()["moment"] == "2026-11-29T01:02:03.450000+05:30"
    assert "not_said" not in event.to_data() and event.to_data()["said_null"] is None


def test_the_schema_says_what_the_annotations_say() -> None:
    schema = Everything.json_schema()
    properties = schema["properties"]
    assert properties["whole"] == {"type": "integer", "minimum": 1}
    assert properties["money"] == {"type": "number"}
    assert properties["colour"] == {"enum": ["red", "blue"]}
    assert properties["said_null"] == {"type": ["string", "null"]}
    assert properties["lines"]["items"]["required"] == ["no", "price"]
    assert properties["by_name"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert properties["anything"] == {}
    assert "said_null" in schema["required"]
    assert not {"not_said", "days"} & set(schema["required"])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("text", 7, "Everything.text: expected str, got int 7"),
        ("text", None, "Everything.text: expected str, got NoneType None"),
        ("text", "a\x00b", r"Everything.text: PostgreSQL holds no text with the character \u0000"),
        ("text", "\ud800", "Everything.text: a surrogate by itself is no character"),
        ("whole", True, "Everything.whole: expected int, got bool True"),
        ("whole", "7", "Everything.whole: expected int, got str '7'"),
        ("whole", 1.0, "Everything.whole: expected int, got float 1.0"),
        ("money", 0.1, "Everything.money: expected Decimal, got float 0.1"),
        ("number", "x", "Everything.number: expected float, got str 'x'"),
        ("number", 10**400, "Everything.number: expected float, got int 1000"),
        ("number", HUGE, "Everything.number: expected float, got int"),
        ("yes", 1, "Everything.yes: expected bool, got int 1"),
        ("day", datetime(2026, 1, 1), "Everything.day: expected date, got datetime"),
        ("day", "2026-01-01", "Everything.day: expected date, got str"),
        ("moment", datetime(2026, 1, 1), "Everything.moment: expected a datetime with a time zone"),
        ("id", "018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f", "Everything.id: expected UUID, got str"),
        ("colour", "green", "Everything.colour: expected one of 'red', 'blue', got str 'green'"),
        ("colour", [], "Everything.colour: expected one of 'red', 'blue', got list []"),
        ("size", "L", "Everything.size: expected one of 'S', 'M', got str 'L'"),
        ("lines", (1,), "Everything.lines: expected list, got tuple (1,)"),
        ("lines", [Line(1, Decimal(1)), Line("2", Decimal(1))], "Everything.lines[1].no: expected int, got str '2'"),  # type: ignore[arg-type]
        ("lines", [{"no": 1}], "Everything.lines[0]: expected Line, got dict"),
        ("by_name", {1: 1}, "Everything.by_name: expected str, got int 1"),
        ("by_name", {"b": "c"}, "Everything.by_name.b: expected int, got str 'c'"),
        ("said_null", 1, "Everything.said_null: expected str, got int 1"),
        ("days", [None], "Everything.days[0]: expected date, got NoneType None"),
    ],
    ids=itertools.count(),
)
def test_a_value_that_does_not_fit_is_refused_when_the_event_is_made(field: str, value: Any, message: str) -> None:
    with pytest.raises(EventDataError) as refused:
        everything(**{field: value})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Decimal("NaN"), "it: JSON has no NaN"),
        (Decimal("1E+200000"), "it: PostgreSQL's numeric does not hold"),
        (Decimal("1E-20000"), "it: PostgreSQL's numeric does not hold"),
        (HUGE, "it: an int of so many digits"),
        (float("inf"), "it: JSON has no inf"),
        ({"a": [{"b": "\x00"}]}, "it.a[0].b: PostgreSQL holds no text"),
        ({"\x00": 1}, "it: PostgreSQL holds no text"),
        ({1: 1}, "it: a name in JSON is a str"),
        ({"a": {1, 2}}, "it.a: set {1, 2} is nothing that JSON has"),
        (date(2026, 1, 1), "it: date datetime.date(2026, 1, 1) is nothing that JSON has"),
    ],
    ids=itertools.count(),
)
def test_what_jsonb_cannot_hold_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(EventDataError) as refused:
        to_json(value, "it")
    assert str(refused.value).startswith(message)


def test_nesting_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(EventDataError, match="nested too deeply"):
        to_json(value)


def test_the_ends_of_what_types_hold() -> None:
    assert from_json(to_json([Decimal("1E+131071"), 10**4000, 5e-324, Decimal("-0.00")]))[:1] == [Decimal("1E+131071")]
    # An offset with seconds is none of RFC 3339's.
    odd = datetime(1890, 1, 1, tzinfo=timezone(timedelta(minutes=9, seconds=21)))
    assert Everything.from_data(everything(moment=odd).to_data()).moment == odd
    with pytest.raises(EventDataError, match="years 1 to 9999"):
        everything(moment=datetime.max.replace(tzinfo=timezone(-timedelta(seconds=1))))
    assert (
        everything(moment=datetime.max.replace(tzinfo=UTC)).to_data()["moment"].startswith("9999-12-31T23:59:59.999999")
    )


def test_events_of_other_versions_are_read_where_they_can_be() -> None:
    said = everything().to_data()
    assert Everything.from_data({**said, "of_a_later_version": 1}) == everything()
    del said["days"]
    assert Everything.from_data(said) == everything()
    del said["text"]
    with pytest.raises(EventDataError, match=r"Everything\.text is missing"):
        Everything.from_data(said)
    for data, message in (
        ([], "the data is no object"),
        ({**everything().to_data(), "day": "tomorrow"}, r"Everything\.day: "),
        ({**everything().to_data(), "whole": Decimal("1.5")}, r"Everything\.whole: expected int"),
        ({**everything().to_data(), "money": "much"}, r"Everything\.money: "),
        ({**everything().to_data(), "yes": 1}, r"Everything\.yes: expected bool"),
        ({**everything().to_data(), "colour": {}}, r"Everything\.colour: expected one of"),
        ({**everything().to_data(), "lines": [{"no": 1}]}, r"Line\.price is missing"),
    ):
        with pytest.raises(EventDataError, match=message):
            Everything.from_data(data)
    # What other programs write as a number.
    assert Everything.from_data({**everything().to_data(), "whole": Decimal("7.0"), "money": "0.1"}).whole == 7


def test_declarations_that_cannot_be_meant_are_refused() -> None:
    @dataclass
    class Bytes:
        content: bytes

    @dataclass
    class Two:
        either: int | str

    @dataclass
    class Unknown:
        what: Nowhere  # type: ignore[name-defined]  # noqa: F821

    @dataclass
    class Within:
        self: Line

    Within.__annotations__["self"] = Within
    for cls, message in (
        (Bytes, r"Bytes\.content: bytes has no JSON form here"),
        (Two, "of unions only those with None"),
        (Unknown, "'Nowhere' is not defined"),
        (Within, "Within stands within itself"),
    ):
        with pytest.raises(DeclarationError, match=message):
            Fields(cls)
    with pytest.raises(DeclarationError, match="Things has the event type 'Everything' already"):
        type("Everything", (Event,), {}, stream=Things)
    with pytest.raises(DeclarationError, match="has a type and no stream"):
        type("Nothing", (Event,), {}, type="Nothing")
    with pytest.raises(DeclarationError, match="is of no stream"):
        type("Common", (Event,), {})()
    with pytest.raises(DeclarationError, match="derives from the event type Everything"):
        type("More", (Everything,), {})
    with pytest.raises(DeclarationError, match="needs a name"):
        type("Nameless", (Streams,), {})
    with pytest.raises(DeclarationError, match="'things' is declared already, by Things"):
        type("Others", (Streams,), {"__streamname__": "things"})


def test_an_event_is_not_changed_and_may_have_another_name_than_its_class() -> None:
    class Renamed(Event, stream=Things, type="thing.renamed"):
        to: str

    event = Renamed(to="x")
    assert Things.__events__["thing.renamed"] is Renamed and Renamed.__type__ == "thing.renamed"
    with pytest.raises(AttributeError):
        event.to = "y"  # type: ignore[misc]
    assert isinstance(gundb.New(event).to_json(Things), str)
