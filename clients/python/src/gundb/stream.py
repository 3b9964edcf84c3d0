"""Streams: a class a stream, mapped to its table for reading; what is written is appended."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, overload
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, Text, Uuid, func, text
from sqlalchemy.orm import Mapped, column_property, declared_attr, mapped_column
from sqlalchemy.types import DateTime

from gundb.base import Base, expire_rows, in_text, run
from gundb.errors import DeclarationError, EventDataError, UnknownEventError
from gundb.event import Appended, Event, New, Page, Stored
from gundb.fold import INFO
from gundb.json import check_text, from_json, to_json
from gundb.types import Clock, Dot, ExactJSON, Opaque

if TYPE_CHECKING:
    from gundb.base import AnyAsyncSession, SyncSession

# Within the class, ``type`` is a column.
EventClass = type[Event]

APPEND = text(
    "SELECT dot::text, id, hlc::text, version, duplicate FROM gundb.append(CAST(:stream AS text), CAST(:type AS text), "
    "CAST(:data AS jsonb), CAST(:key AS text), CAST(:meta AS jsonb), CAST(:id AS uuid), CAST(:version AS bigint), "
    "CAST(:depends_on AS gundb.clock))"
)
APPEND_BATCH = text(
    "SELECT dot::text, id, hlc::text, version, duplicate FROM gundb.append_batch(CAST(:stream AS text), "
    "CAST(:events AS jsonb), CAST(:depends_on AS gundb.clock))"
)
# In their order; meta that is not said is an empty object.
RECORDS = """
    SELECT e.id, e.type, e.key, e.data, coalesce(e.meta, '{}')
      FROM ROWS FROM (jsonb_to_recordset(CAST(:events AS jsonb))
                      AS (id uuid, type text, key text, data jsonb, meta jsonb)) WITH ORDINALITY AS e
     ORDER BY e.ordinality"""
STORED = "{stream}, dot::text, hlc::text, hlc::timestamptz, id, type, key, data::text, meta::text, {next}"
READ = text(
    f"SELECT {STORED.format(stream='stream', next='next::text')} FROM gundb.read(CAST(:stream AS text), "
    "coalesce(CAST(:after AS gundb.clock), '{}'), CAST(:max AS integer), CAST(:types AS text[]), CAST(:key AS text))"
)
HISTORY = text(
    "SELECT CAST(:stream AS text), dot::text, hlc::text, hlc::timestamptz, id, type, CAST(:key AS text), data::text, "
    "meta::text, NULL FROM gundb.history(CAST(:stream AS text), CAST(:key AS text))"
)
REVERT = text("SELECT dot::text, id, reverts FROM gundb.revert(CAST(:stream AS text), CAST(:ids AS uuid[]))")


class EventStream(Base):
    """The base of streams.

        class StockMoves(EventStream):
            __streamname__ = "stock_moves"

    ``__key__`` names the field that is an event's key unless another is given; ``__closed__ = True`` lets only declared
    types be appended; ``__tablename__`` and ``__table_args__ = {"schema": …}`` say where its table is to stand.

    The functions take a session or a connection, sync or of asyncio; then what they return is to be awaited.
    """

    __abstract__ = True
    __streamname__: ClassVar[str]
    __key__: ClassVar[str | None] = None
    __closed__: ClassVar[bool] = False
    __events__: ClassVar[dict[str, EventClass]]

    site: Mapped[UUID] = mapped_column(Uuid(), FetchedValue(), primary_key=True)
    lane: Mapped[str] = mapped_column(Opaque("lane"), FetchedValue(), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger(), FetchedValue(), primary_key=True)
    hlc: Mapped[str] = mapped_column(Opaque("hlc"))
    id: Mapped[UUID] = mapped_column(Uuid())
    type: Mapped[str] = mapped_column(Text())
    key: Mapped[str | None] = mapped_column(Text())
    data: Mapped[Any] = mapped_column(ExactJSON())
    meta: Mapped[dict[str, Any]] = mapped_column(ExactJSON())

    @declared_attr
    def time(cls) -> Mapped[datetime]:
        """The stamp's time, to the millisecond."""
        return column_property(func.gundb.timestamptz(cls.hlc, type_=DateTime(timezone=True)))

    def __init_subclass__(cls, **keywords: Any) -> None:
        if "__abstract__" in cls.__dict__:
            super().__init_subclass__(**keywords)
            return
        name = cls.__dict__.get("__streamname__")
        if not isinstance(name, str):
            raise DeclarationError(f'{cls.__name__} needs a name: __streamname__ = "…"')
        if name in cls.metadata.streams:
            raise DeclarationError(f"the stream {name!r} is declared already, by {cls.metadata.streams[name].__name__}")
        if "__tablename__" not in cls.__dict__:
            cls.__tablename__ = name
        cls.__events__ = {}
        super().__init_subclass__(**keywords)
        cls._table().info[INFO] = cls
        cls.metadata.streams[name] = cls

    @classmethod
    def _add_event_type(cls, event: EventClass) -> None:
        known = cls.__events__.get(event.__type__)
        if known is not None:
            raise DeclarationError(
                f"{cls.__name__} has the event type {event.__type__!r} already: {known.__qualname__}"
            )
        key = cls.__key__
        if key is not None and any(
            one.name == key and one.codec.schema.get("type") != "string" for one in event.__fields__.fields
        ):
            raise DeclarationError(f"{event.__name__}.{key} is the key of its event, and a key is a str")
        cls.__events__[event.__type__] = event

    @classmethod
    def key_of(cls, event: Event) -> str | None:
        """The key that an event has unless one is given."""
        key = None if cls.__key__ is None else getattr(event, cls.__key__, None)
        return key if key is None or isinstance(key, str) else str(key)

    @property
    def event(self) -> Event:
        """The event as its class; ``UnknownEventError`` if there is none, ``EventDataError`` if it does not fit."""
        known = self.__events__.get(self.type)
        if known is None:
            raise UnknownEventError(f"no class is declared for events of type {self.type!r} in {self.__streamname__!r}")
        return known.from_data(self.data)

    # --- append -------------------------------------------------------------------------------------------------------

    @overload
    @classmethod
    def append(
        cls,
        session: SyncSession,
        event: Event,
        *,
        key: str | None = None,
        meta: dict[str, Any] | None = None,
        id: UUID | None = None,
        expected_version: int | None = None,
        depends_on: Clock | None = None,
    ) -> Appended: ...
    @overload
    @classmethod
    def append(
        cls,
        session: AnyAsyncSession,
        event: Event,
        *,
        key: str | None = None,
        meta: dict[str, Any] | None = None,
        id: UUID | None = None,
        expected_version: int | None = None,
        depends_on: Clock | None = None,
    ) -> Awaitable[Appended]: ...
    @classmethod
    def append(
        cls,
        session: Any,
        event: Event,
        *,
        key: str | None = None,
        meta: dict[str, Any] | None = None,
        id: UUID | None = None,
        expected_version: int | None = None,
        depends_on: Clock | None = None,
    ) -> Any:
        """Appends an event, in the session's transaction.

        ``id`` is the idempotency key: the same id and content again is the same event. ``expected_version`` counts the
        key's events so far, else ``VersionConflictError``. ``depends_on`` must be held here, else ``NotHeldError``.
        """
        said = New(event, key, meta, id, expected_version).checked(cls)
        name = event.__class__.__name__
        parameters = {
            "stream": cls.__streamname__,
            "type": said["type"],
            "data": to_json(said["data"], name),
            "key": said.get("key"),
            "meta": to_json(meta or {}, "meta"),
            "id": id,
            "version": expected_version,
            "depends_on": depends_on,
        }

        def work(session: Any) -> Appended:
            row = session.execute(APPEND, parameters).one()
            expire_rows(session, cls)
            return _appended(row)

        return run(session, work)

    @overload
    @classmethod
    def append_all(
        cls, session: SyncSession, events: Iterable[Event | New], *, depends_on: Clock | None = None
    ) -> list[Appended]: ...
    @overload
    @classmethod
    def append_all(
        cls, session: AnyAsyncSession, events: Iterable[Event | New], *, depends_on: Clock | None = None
    ) -> Awaitable[list[Appended]]: ...
    @classmethod
    def append_all(cls, session: Any, events: Iterable[Event | New], *, depends_on: Clock | None = None) -> Any:
        """Appends events by one statement, all or none; ``New(event, key=…)`` where more is to be said of one."""
        news = [one if isinstance(one, New) else New(one) for one in events]
        written = "[" + ", ".join(one.to_json(cls) for one in news) + "]"
        parameters = {"stream": cls.__streamname__, "events": written, "depends_on": depends_on}

        def work(session: Any) -> list[Appended]:
            rows = session.execute(APPEND_BATCH, parameters).all()
            expire_rows(session, cls)
            return [_appended(row) for row in rows]

        return run(session, work)

    @overload
    @classmethod
    def insert_all(cls, session: SyncSession, events: Iterable[Event | New]) -> int: ...
    @overload
    @classmethod
    def insert_all(cls, session: AnyAsyncSession, events: Iterable[Event | New]) -> Awaitable[int]: ...
    @classmethod
    def insert_all(cls, session: Any, events: Iterable[Event | New]) -> Any:
        """As ``append_all``, but one INSERT, which views take in at once: several times as fast for thousands.

        Gives how many. An id that is there already is an IntegrityError, and no version can be expected.
        """
        news = [one if isinstance(one, New) else New(one) for one in events]
        if any(one.expected_version is not None for one in news):
            raise EventDataError("insert_all expects no version: append_all does")
        written = "[" + ", ".join(one.to_json(cls) for one in news) + "]"
        statement = text(f"INSERT INTO {in_text(cls)} (id, type, key, data, meta) {RECORDS}")

        def work(session: Any) -> int:
            session.execute(statement, {"events": written})
            expire_rows(session, cls)
            return len(news)

        return run(session, work)

    @overload
    @classmethod
    def revert(cls, session: SyncSession, ids: Sequence[UUID]) -> list[Dot]: ...
    @overload
    @classmethod
    def revert(cls, session: AnyAsyncSession, ids: Sequence[UUID]) -> Awaitable[list[Dot]]: ...
    @classmethod
    def revert(cls, session: Any, ids: Sequence[UUID]) -> Any:
        """Takes events back, all or none: views are as if they had not been. Gives the dots of the reverts."""

        def work(session: Any) -> list[Dot]:
            rows = session.execute(REVERT, {"stream": cls.__streamname__, "ids": list(ids)}).all()
            expire_rows(session, cls)
            return [Dot(row[0]) for row in rows]

        return run(session, work)

    # --- read ---------------------------------------------------------------------------------------------------------

    @overload
    @classmethod
    def read(
        cls,
        session: SyncSession,
        after: Clock | None = None,
        *,
        max: int = 1000,
        types: Sequence[EventClass | str] | None = None,
        key: str | None = None,
    ) -> Page: ...
    @overload
    @classmethod
    def read(
        cls,
        session: AnyAsyncSession,
        after: Clock | None = None,
        *,
        max: int = 1000,
        types: Sequence[EventClass | str] | None = None,
        key: str | None = None,
    ) -> Awaitable[Page]: ...
    @classmethod
    def read(
        cls,
        session: Any,
        after: Clock | None = None,
        *,
        max: int = 1000,
        types: Sequence[EventClass | str] | None = None,
        key: str | None = None,
    ) -> Any:
        """A page of events after a clock, whole transactions in causal order; the next begins at ``page.next``."""
        parameters = {
            "stream": cls.__streamname__,
            "after": after,
            "max": max,
            "types": names_of(types),
            "key": None if key is None else check_text(key, "the key"),
        }

        def work(session: Any) -> Page:
            events = stored(session.execute(READ, parameters).all(), {cls.__streamname__: cls})
            return Page(events, events[-1].next if events else after)

        return run(session, work)

    @classmethod
    def pages(
        cls,
        session: SyncSession,
        after: Clock | None = None,
        *,
        max: int = 1000,
        types: Sequence[EventClass | str] | None = None,
        key: str | None = None,
    ) -> Iterator[Page]:
        """Page after page, until there is none."""
        while page := cls.read(session, after, max=max, types=types, key=key):
            yield page
            after = page.next

    @overload
    @classmethod
    def history(cls, session: SyncSession, key: str) -> list[Stored]: ...
    @overload
    @classmethod
    def history(cls, session: AnyAsyncSession, key: str) -> Awaitable[list[Stored]]: ...
    @classmethod
    def history(cls, session: Any, key: str) -> Any:
        """The events of one key, in total order. How many they are is the key's version."""
        parameters = {"stream": cls.__streamname__, "key": check_text(key, "the key")}
        return run(
            session,
            lambda session: stored(session.execute(HISTORY, parameters).all(), {cls.__streamname__: cls}),
        )


def names_of(types: Sequence[EventClass | str] | None) -> list[str] | None:
    """The names of event types."""
    if isinstance(types, str):
        raise TypeError(f"types is a list of event types, not {types!r}")
    return None if types is None else [one if isinstance(one, str) else one.__type__ for one in types]


def stored(rows: Iterable[Any], streams: dict[str, type[EventStream]]) -> list[Stored]:
    """Rows of STORED as events."""
    events = []
    for stream, dot, hlc, time, id, type, key, data, meta, next in rows:
        known = streams.get(stream)
        event_class = None if known is None else known.__events__.get(type)
        events.append(
            Stored(stream, Dot(dot), hlc, time, id, type, key, from_json(data), from_json(meta), next, event_class)
        )
    return events


def _appended(row: Any) -> Appended:
    return Appended(Dot(row[0]), row[1], row[2], row[3], row[4])
