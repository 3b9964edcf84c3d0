"""What streams and views have in common: a registry of their own, and rows that only gundb writes.

What always holds: SQLAlchemy never creates, alters or drops a table of gundb's, and never sends an UPDATE or DELETE to
one. It is refused in Python, before any SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from uuid import UUID
from weakref import WeakSet

from sqlalchemy import ARRAY, BigInteger, Boolean, Date, DateTime, MetaData, Numeric, Table, Text, Uuid, event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import DeclarativeBase, ORMExecuteState, Session, scoped_session

from gundb.errors import GundbError, ReadOnlyError
from gundb.types import ExactJSON

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from gundb.stream import EventStream
    from gundb.view import View

    SyncSession = Session | scoped_session[Any] | Connection
    AnyAsyncSession = AsyncSession | AsyncConnection

T = TypeVar("T")

SCALARS: dict[Any, Any] = {
    str: Text(),
    int: BigInteger(),
    float: Numeric(asdecimal=False),
    Decimal: Numeric(),
    bool: Boolean(),
    datetime: DateTime(timezone=True),
    date: Date(),
    UUID: Uuid(),
}
ANNOTATIONS: dict[Any, Any] = {
    **SCALARS,
    **{list.__class_getitem__(one): ARRAY(of) for one, of in SCALARS.items()},
    **{list.__class_getitem__(one | None): ARRAY(of) for one, of in SCALARS.items()},
    dict[str, Any]: ExactJSON(),
    list[Any]: ExactJSON(),
    Any: ExactJSON(),
}


class SiteMetaData(MetaData):
    """The declared streams and views. ``create_all`` makes at a site what is missing there (``gundb.create_all``)."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.streams: dict[str, type[EventStream]] = {}
        self.views: list[type[View]] = []

    def create_all(self, bind: Any, tables: Collection[Any] | None = None, checkfirst: Any = True) -> None:
        if tables is not None:
            raise GundbError("streams and views are created all together: leave tables out")
        from gundb.declare import create_all

        create_all(bind, self)

    def drop_all(self, bind: Any, tables: Collection[Any] | None = None, checkfirst: Any = True) -> None:
        raise GundbError(
            "events are not dropped by drop_all: gundb.drop_view() and gundb.drop_stream() do so one by one, and "
            "gundb.reset() empties a site that never had a peer"
        )


class Base(DeclarativeBase):
    """The base of EventStream and View."""

    __abstract__ = True
    metadata = SiteMetaData()
    type_annotation_map = ANNOTATIONS

    def __init__(self, **_: Any) -> None:
        self._refuse("be made in Python")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__mapper__.attrs:
            self._refuse("be changed")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        """Of what is loaded: printing a row asks the database nothing."""
        loaded = ", ".join(
            f"{name}={self.__dict__[name]!r}" for name in self.__mapper__.attrs.keys() if name in self.__dict__
        )
        return f"{type(self).__name__}({loaded})"

    @classmethod
    def _table(cls) -> Table:
        assert isinstance(cls.__table__, Table)
        return cls.__table__

    @classmethod
    def _refuse(cls, what: str) -> NoReturn:
        raise ReadOnlyError(f"a {cls.__name__} cannot {what}: append an event that says what happened")


metadata = Base.metadata


def run(session: Any, work: Callable[[Any], T]) -> Any:
    """Calls ``work`` with the session, or gives what is to be awaited where that is asyncio's."""
    if hasattr(session, "run_sync"):
        return session.run_sync(work)
    return work(session() if isinstance(session, scoped_session) else session)


def in_text(cls: type[Base]) -> str:
    """The same for SQLAlchemy's ``text``, to which a colon begins a parameter."""
    return qualified(cls).replace(":", "\\:")


def qualified(cls: type[Base]) -> str:
    """The table's name as SQL writes it, with its schema where one was given."""
    parts = [cls._table().schema, cls._table().name]
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts if part)


# --- nothing is written -----------------------------------------------------------------------------------------------


def _refuse_flush(what: str) -> Callable[..., None]:
    def refuse(mapper: Any, connection: Any, target: Base) -> None:
        target._refuse(what)

    return refuse


for _name, _what in {"insert": "be added", "update": "be changed", "delete": "be deleted"}.items():
    event.listen(Base, f"before_{_name}", _refuse_flush(_what), propagate=True)


@event.listens_for(Session, "do_orm_execute")
def _on_execute(state: ORMExecuteState) -> None:
    if not (state.is_update or state.is_delete or state.is_select):
        return
    ours = [issubclass(mapper.class_, Base) for mapper in state.all_mappers]
    if not any(ours):
        return
    if state.is_select:
        # Rows here change by appending, not by assignment, so there is nothing that reading them anew could overwrite.
        if all(ours):
            state.update_execution_options(populate_existing=True)
        return
    assert state.bind_mapper is not None
    state.bind_mapper.class_._refuse("be changed" if state.is_update else "be deleted")


# --- rows that an append makes old ------------------------------------------------------------------------------------

ROWS = "gundb.rows"


def note_row(row: Any, context: Any) -> None:
    """Remembers a row of a view that a session has loaded."""
    if context.session is not None:
        context.session.info.setdefault(ROWS, WeakSet()).add(row)


def expire_rows(session: Session | Connection, stream: type[EventStream]) -> None:
    """What an append to a stream may have changed is loaded anew when it is next looked at, as after a commit."""
    if isinstance(session, Session) and session.expire_on_commit:
        for row in session.info.get(ROWS, ()):
            if row.__stream__ is stream and row in session:
                session.expire(row)
