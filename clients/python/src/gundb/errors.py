"""What can go wrong, as classes.

What a site refuses with an SQLSTATE of class GD is raised as the class here that has that code. It is a
``sqlalchemy.exc.DatabaseError`` as well, so that handlers written for SQLAlchemy go on working; PostgreSQL's own codes
(40001, 23505, 42501 …) stay what SQLAlchemy makes of them. What can be seen before any SQL is sent is raised here too.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import DatabaseError


class GundbError(Exception):
    """Whatever this package raises."""


# --- before any SQL ---------------------------------------------------------------------------------------------------


class DeclarationError(GundbError, TypeError):
    """A class of events, a stream or a view is declared in a way that cannot be meant."""


class EventDataError(GundbError, ValueError):
    """A value does not fit its field, or is one that PostgreSQL's jsonb cannot hold. The message names the field."""


class UnknownEventError(GundbError, LookupError):
    """An event that was read has a type that no class is declared for. Its ``data`` can be read all the same."""


class ReadOnlyError(GundbError, TypeError):
    """An event, or a row of a view, was to be written as if it were a row of a plain table."""


class ViewChangedError(GundbError):
    """A view is there and is declared otherwise, in what ``alter_view`` cannot change."""


class ConsumerChangedError(GundbError):
    """A consumer of this name is there and reads something else."""


# --- by SQLSTATE ------------------------------------------------------------------------------------------------------


class SiteError(GundbError, DatabaseError):
    """What the site refused: ``sqlstate``, and its ``message_primary``, ``message_detail`` and ``message_hint``."""

    sqlstate: ClassVar[str] = ""

    @property
    def message_primary(self) -> str:
        return _said(self.orig, "message_primary") or str(self.orig)

    @property
    def message_detail(self) -> str | None:
        return _said(self.orig, "message_detail")

    @property
    def message_hint(self) -> str | None:
        return _said(self.orig, "message_hint")


class ImmutableEventError(SiteError):
    """An event was to be changed or removed, or a table that gundb needs dropped."""

    sqlstate = "GD001"


class CoordinateSuppliedError(SiteError):
    """A coordinate (``site``, ``lane``, ``seq`` …) was supplied."""

    sqlstate = "GD002"


class SchemaViolationError(SiteError):
    """The data does not fit the JSON Schema of its type; ``message_detail`` names the path."""

    sqlstate = "GD003"


class UndefinedEventTypeError(SiteError):
    """The stream is closed, and the type is not defined in it."""

    sqlstate = "GD004"


class VersionConflictError(SiteError):
    """The key has another number of events than ``expected_version``: read again, decide again, append again."""

    sqlstate = "GD005"

    @property
    def expected(self) -> int | None:
        return self._number(0)

    @property
    def actual(self) -> int | None:
        return self._number(1)

    def _number(self, at: int) -> int | None:
        numbers = re.findall(r"\d+", self.message_detail or "")
        return int(numbers[at]) if len(numbers) == 2 else None


class IdTakenError(SiteError):
    """Another event has this ``id`` already."""

    sqlstate = "GD006"


class NotHeldError(SiteError):
    """A clock covers events that are not held here."""

    sqlstate = "GD007"


class NoSuchStreamError(SiteError):
    """There is no such stream; ``message_hint`` knows a similar one."""

    sqlstate = "GD008"


class NoSuchConsumerError(SiteError):
    """There is no such consumer; ``message_hint`` knows a similar one."""

    sqlstate = "GD009"


class EventTooLargeError(SiteError):
    """The event is larger than ``gundb.max_event_size``."""

    sqlstate = "GD010"


class AmbiguousSiteError(SiteError):
    """Several sites bear the name."""

    sqlstate = "GD011"


class CausalCycleError(SiteError):
    """The contexts given to ``causal_sort`` form a cycle."""

    sqlstate = "GD012"


class NotPreloadedError(SiteError):
    """The library was not loaded when the server started; ``message_hint`` is the command that mends it."""

    sqlstate = "GD013"


class ViewWriteError(SiteError):
    """A view's table was to be written to."""

    sqlstate = "GD014"


class CannotFoldError(SiteError):
    """A view made ``strict`` cannot fold the event; ``message_detail`` says why."""

    sqlstate = "GD015"


BY_SQLSTATE: dict[str, type[SiteError]] = {one.sqlstate: one for one in SiteError.__subclasses__()}


def _said(error: Any, field: str) -> str | None:
    said = getattr(getattr(error, "diag", None), field, None)
    return said if isinstance(said, str) else None


def _raise_ours(context: ExceptionContext) -> BaseException | None:
    """Puts the class of the SQLSTATE in the place of SQLAlchemy's."""
    ours = BY_SQLSTATE.get(getattr(context.original_exception, "sqlstate", None) or "")
    raised = context.sqlalchemy_exception
    if ours is None or raised is None:
        return None
    return ours(
        raised.statement,
        raised.params,
        context.original_exception,
        hide_parameters=raised.hide_parameters,
        connection_invalidated=getattr(raised, "connection_invalidated", False),
        ismulti=raised.ismulti,
    )


event.listen(Engine, "handle_error", _raise_ours, retval=True)
