"""Consumers: durable readers whose place moves in the caller's transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, overload

from sqlalchemy import text

from gundb.base import SiteMetaData, metadata, run
from gundb.errors import ConsumerChangedError
from gundb.event import Event, Stored
from gundb.site import seconds
from gundb.stream import STORED, EventStream, names_of, stored
from gundb.types import Clock

if TYPE_CHECKING:
    from gundb.base import AnyAsyncSession, SyncSession

CONSUMER = text("SELECT stream, types FROM gundb.consumer WHERE name = :name")
LAG = text("SELECT lag FROM gundb.consumer WHERE name = :name")
CREATE = text(
    "SELECT gundb.create_consumer(:name, CAST(:stream AS text), CAST(:types AS text[]), :start, "
    "CAST(:after AS gundb.clock))"
)
CONSUME = text(
    f"SELECT {STORED.format(stream='stream', next='next::text')} "
    "FROM gundb.consume(:name, CAST(:max AS integer), CAST(:wait AS interval))"
)
SEEK = text("SELECT gundb.seek_consumer(:name, :start, CAST(:after AS gundb.clock))")


class Consumer:
    """A named reader of a stream, or of all that its owner may read.

        billing = Consumer("billing", StockMoves, types=[Sold])
        with Session.begin() as session:
            for sold in billing.consume(session, wait=60): ...

    What is consumed is consumed when the transaction commits: exactly once, together with what it writes.
    """

    def __init__(
        self,
        name: str,
        stream: type[EventStream] | None = None,
        *,
        types: Sequence[type[Event] | str] | None = None,
        start: Literal["beginning", "end"] = "beginning",
        metadata: SiteMetaData = metadata,
    ) -> None:
        self.name = name
        self.stream = None if stream is None else stream.__streamname__
        self.types = names_of(types)
        self.start = start
        self._streams = metadata.streams if stream is None else {stream.__streamname__: stream}

    @overload
    def create(self, session: SyncSession, *, after: Clock | None = None) -> None: ...
    @overload
    def create(self, session: AnyAsyncSession, *, after: Clock | None = None) -> Awaitable[None]: ...
    def create(self, session: Any, *, after: Clock | None = None) -> Any:
        """Makes it, unless it is there: then its place stays. ``after``: where it starts."""

        def work(session: Any) -> None:
            found = session.execute(CONSUMER, {"name": self.name}).one_or_none()
            if found is None:
                told = {"name": self.name, "stream": self.stream, "types": self.types, "start": self.start}
                session.execute(CREATE, {**told, "after": after})
            elif (found.stream, _sorted(found.types)) != (self.stream, _sorted(self.types)):
                raise ConsumerChangedError(
                    f"the consumer {self.name!r} reads the stream {found.stream!r}, types {found.types}, and is "
                    f"declared to read {self.stream!r}, types {self.types}: drop it, or give this one another name"
                )

        return run(session, work)

    @overload
    def consume(self, session: SyncSession, *, max: int = 100, wait: timedelta | float = 0) -> list[Stored]: ...
    @overload
    def consume(
        self, session: AnyAsyncSession, *, max: int = 100, wait: timedelta | float = 0
    ) -> Awaitable[list[Stored]]: ...
    def consume(self, session: Any, *, max: int = 100, wait: timedelta | float = 0) -> Any:
        """The next events, whole transactions. ``wait``: how many seconds to wait for some where there are none."""
        parameters = {"name": self.name, "max": max, "wait": seconds(wait)}
        return run(session, lambda session: stored(session.execute(CONSUME, parameters).all(), self._streams))

    @overload
    def seek(
        self, session: SyncSession, start: Literal["beginning", "end"] = "beginning", *, after: Clock | None = None
    ) -> None: ...
    @overload
    def seek(
        self, session: AnyAsyncSession, start: Literal["beginning", "end"] = "beginning", *, after: Clock | None = None
    ) -> Awaitable[None]: ...
    def seek(
        self, session: Any, start: Literal["beginning", "end"] = "beginning", *, after: Clock | None = None
    ) -> Any:
        """Moves it to the beginning, the end, or a clock."""
        return run(
            session, lambda session: _done(session.execute(SEEK, {"name": self.name, "start": start, "after": after}))
        )

    @overload
    def lag(self, session: SyncSession) -> int: ...
    @overload
    def lag(self, session: AnyAsyncSession) -> Awaitable[int]: ...
    def lag(self, session: Any) -> Any:
        """How many events its place does not cover yet, those of other types included."""
        return run(session, lambda session: session.execute(LAG, {"name": self.name}).scalar_one())

    @overload
    def drop(self, session: SyncSession) -> None: ...
    @overload
    def drop(self, session: AnyAsyncSession) -> Awaitable[None]: ...
    def drop(self, session: Any) -> Any:
        """Forgets it and its place."""
        return run(
            session,
            lambda session: _done(session.execute(text("SELECT gundb.drop_consumer(:name)"), {"name": self.name})),
        )


def _sorted(types: Sequence[str] | None) -> list[str] | None:
    return None if types is None else sorted(types)


def _done(_: object) -> None:
    return None
