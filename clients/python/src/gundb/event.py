"""Events: what a stream's events may say, a class an event type."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform
from uuid import UUID

from gundb.errors import DeclarationError, EventDataError, UnknownEventError
from gundb.json import check_text, to_json, told
from gundb.schema import Fields
from gundb.types import Clock, Dot

if TYPE_CHECKING:
    from gundb.stream import EventStream


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
class Event:
    """The base of event types.

        class Received(Event, stream=StockMoves):
            sku: str
            qty: int
            place: str | None = None

    Each becomes a frozen dataclass whose values are checked when one is made. ``type`` is the name that the type has in
    the stream, unless it is the class's. A class without ``stream`` is for others to inherit fields from.

    A field whose default is None is left out where it is None: the event says nothing of it. One without default that
    may be None says null.
    """

    __stream__: ClassVar[type[EventStream]]
    __type__: ClassVar[str]
    __fields__: ClassVar[Fields]

    def __init_subclass__(cls, *, stream: type[EventStream] | None = None, type: str | None = None) -> None:
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)
        if hasattr(cls, "__type__"):
            raise DeclarationError(
                f"{cls.__name__} derives from the event type {cls.__type__}: let both have a base without stream"
            )
        if stream is None:
            if type is not None:
                raise DeclarationError(
                    f"{cls.__name__} has a type and no stream: class {cls.__name__}(Event, stream=…)"
                )
            return
        cls.__fields__ = Fields(cls)
        cls.__stream__ = stream
        cls.__type__ = cls.__name__ if type is None else type
        stream._add_event_type(cls)

    def __post_init__(self) -> None:
        if not hasattr(self, "__type__"):
            raise DeclarationError(f"{self.__class__.__name__} is of no stream: class …(Event, stream=…)")
        self.to_data()

    def to_data(self) -> dict[str, Any]:
        """What the event says, as plain JSON values. An ``EventDataError`` names a value that does not fit."""
        return self.__fields__.encode(self, self.__class__.__name__)

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The event that says this. Names that are no field, of a newer version say, are passed over."""
        event: Self = cls.__fields__.decode(data)
        return event

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """What ``gundb.define_event`` is given."""
        return cls.__fields__.schema()


# Within Stored, ``type`` is a field.
EventClass = type[Event]


@dataclass(frozen=True)
class New:
    """An event to be appended, and what else is said of it."""

    event: Event
    key: str | None = None
    meta: dict[str, Any] | None = None
    id: UUID | None = None
    expected_version: int | None = None

    def checked(self, stream: type[EventStream]) -> dict[str, Any]:
        """As ``gundb.append_batch`` takes it; the key is the stream's choice unless one is given."""
        event = self.event
        if not isinstance(event, Event) or not hasattr(event, "__type__"):
            raise EventDataError(f"{stream.__name__} takes events, not {told(event)}")
        if event.__stream__ is not stream:
            raise EventDataError(
                f"{type(event).__name__} is an event of {event.__stream__.__name__}, not of {stream.__name__}"
            )
        key = stream.key_of(event) if self.key is None else self.key
        if key is not None:
            if not isinstance(key, str):
                raise EventDataError(f"the key: expected str, got {told(key)}")
            check_text(key, "the key")
        if self.id is not None and not isinstance(self.id, UUID):
            raise EventDataError(f"the id: expected UUID, got {told(self.id)}")
        if self.meta is not None and not isinstance(self.meta, dict):
            raise EventDataError(f"meta: expected dict, got {told(self.meta)}")
        version = self.expected_version
        if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
            raise EventDataError(f"expected_version: expected a count of events, got {told(version)}")
        said = {
            "type": event.__type__,
            "data": event.to_data(),
            "key": key,
            "meta": self.meta,
            "id": None if self.id is None else str(self.id),
            "expected_version": version,
        }
        return {name: value for name, value in said.items() if value is not None}

    def to_json(self, stream: type[EventStream]) -> str:
        return to_json(self.checked(stream), type(self.event).__name__)


@dataclass(frozen=True)
class Appended:
    """What became of an append."""

    dot: Dot
    id: UUID
    hlc: str
    version: int | None
    """How many events the key has now; None unless ``expected_version`` was given."""
    duplicate: bool
    """Whether the id was there already: then nothing was appended, and the dot is the first one's."""


@dataclass(frozen=True)
class Stored:
    """An event that was read."""

    stream: str
    dot: Dot
    hlc: str
    time: datetime
    """Of the stamp, to the millisecond."""
    id: UUID
    type: str
    key: str | None
    data: Any
    """What it says, as plain JSON values; numbers with a fraction are Decimal."""
    meta: dict[str, Any]
    next: Clock | None = None
    """The clock after the event's whole transaction."""
    event_class: EventClass | None = field(default=None, repr=False, compare=False)

    @cached_property
    def event(self) -> Event:
        """The event as its class; ``UnknownEventError`` if there is none, ``EventDataError`` if it does not fit."""
        if self.event_class is None:
            raise UnknownEventError(f"no class is declared for events of type {self.type!r} in {self.stream!r}")
        return self.event_class.from_data(self.data)


@dataclass(frozen=True)
class Page:
    """Some events, whole transactions; ``next`` is what to pass as ``after`` for those that follow."""

    events: list[Stored]
    next: Clock | None

    def __iter__(self) -> Iterator[Stored]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)
