"""What a site can be asked: its clock, to wait for another's, and what its views were."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import Row, column, select, text

from gundb.base import in_text, qualified, run
from gundb.declare import VIEW
from gundb.stream import EventStream
from gundb.types import Clock, ExactJSON
from gundb.view import View

if TYPE_CHECKING:
    from gundb.base import AnyAsyncSession, SyncSession

WAIT_FOR = text("SELECT gundb.wait_for(CAST(:clock AS gundb.clock), CAST(:peer AS text), CAST(:timeout AS interval))")
HISTORY = text('SELECT dot::text AS dot, hlc::timestamptz AS time, type, id, "row"::text AS "row" '
               "FROM gundb.view_history(to_regclass(:view), :key)").columns(row=ExactJSON)  # fmt: skip


@overload
def site_clock(session: SyncSession) -> Clock: ...
@overload
def site_clock(session: AnyAsyncSession) -> Awaitable[Clock]: ...
def site_clock(session: Any) -> Any:
    """What this site holds, as the transaction sees it: asked after a commit, it covers what was committed."""
    return run(session, lambda session: session.execute(text("SELECT gundb.site_clock()::text")).scalar_one())


@overload
def wait_for(
    session: SyncSession, clock: Clock, *, peer: str | None = None, timeout: timedelta | float = 10
) -> bool: ...
@overload
def wait_for(
    session: AnyAsyncSession, clock: Clock, *, peer: str | None = None, timeout: timedelta | float = 10
) -> Awaitable[bool]: ...
def wait_for(session: Any, clock: Clock, *, peer: str | None = None, timeout: timedelta | float = 10) -> Any:
    """Waits until this site holds all that a clock covers, and its views show it; or until a peer does.

    False if that took longer than ``timeout``, in seconds. Not in a transaction that has appended.
    """
    parameters = {"clock": clock, "peer": peer, "timeout": seconds(timeout)}
    return run(session, lambda session: session.execute(WAIT_FOR, parameters).scalar_one())


@overload
def view_at(
    session: SyncSession,
    view: type[View],
    *,
    at: datetime | None = None,
    clock: Clock | None = None,
    key: str | None = None,
) -> Sequence[Row[Any]]: ...
@overload
def view_at(
    session: AnyAsyncSession,
    view: type[View],
    *,
    at: datetime | None = None,
    clock: Clock | None = None,
    key: str | None = None,
) -> Awaitable[Sequence[Row[Any]]]: ...
def view_at(
    session: Any, view: type[View], *, at: datetime | None = None, clock: Clock | None = None, key: str | None = None
) -> Any:
    """The rows of a view as they were at a time, or at a clock. Plain rows: what was is no object of the session."""
    rows = (
        text(
            f"SELECT * FROM gundb.view_at(CAST(NULL AS {in_text(view)}), at => CAST(:at AS timestamptz), "
            "clock => CAST(:clock AS gundb.clock), key => CAST(:key AS text))"
        )
        .columns(*(column(one.name, one.type) for one in view._table().columns))
        .subquery()
    )
    # From a subquery, so that each column is read as its type says.
    statement = select(*rows.columns)
    parameters = {"at": at, "clock": clock, "key": key}
    return run(session, lambda session: session.execute(statement, parameters).all())


@overload
def view_history(session: SyncSession, view: type[View], key: str) -> Sequence[Row[Any]]: ...
@overload
def view_history(session: AnyAsyncSession, view: type[View], key: str) -> Awaitable[Sequence[Row[Any]]]: ...
def view_history(session: Any, view: type[View], key: str) -> Any:
    """Each state of a view's row in total order, with the event that made it: rows of dot, time, type, id, row."""
    parameters = {"view": qualified(view), "key": key}
    return run(session, lambda session: session.execute(HISTORY, parameters).all())


def drop_view(session: SyncSession, view: type[View]) -> None:
    """Drops a view, if it is there; the events stay."""

    def work(session: Any) -> None:
        if session.execute(VIEW, {"name": qualified(view)}).one_or_none() is not None:
            session.execute(text("SELECT gundb.drop_view(to_regclass(:name))"), {"name": qualified(view)})

    run(session, work)


def drop_stream(session: SyncSession, stream: type[EventStream]) -> None:
    """Drops a stream's table with all its events, here only."""
    run(
        session,
        lambda session: session.execute(text("SELECT gundb.drop_stream(:name)"), {"name": stream.__streamname__}),
    )


def seconds(given: timedelta | float) -> timedelta:
    return given if isinstance(given, timedelta) else timedelta(seconds=given)
