"""gundb for SQLAlchemy: streams of typed events, and views of them, as classes.

See README.md for a page of use, and the modules for what each can.
"""

from gundb import fold
from gundb.base import SiteMetaData, metadata
from gundb.consumer import Consumer
from gundb.declare import create_all
from gundb.errors import (
    AmbiguousSiteError,
    CannotFoldError,
    CausalCycleError,
    ConsumerChangedError,
    CoordinateSuppliedError,
    DeclarationError,
    EventDataError,
    EventTooLargeError,
    GundbError,
    IdTakenError,
    ImmutableEventError,
    NoSuchConsumerError,
    NoSuchStreamError,
    NotHeldError,
    NotPreloadedError,
    ReadOnlyError,
    SchemaViolationError,
    SiteError,
    UndefinedEventTypeError,
    UnknownEventError,
    VersionConflictError,
    ViewChangedError,
    ViewWriteError,
)
from gundb.event import Appended, Event, New, Page, Stored
from gundb.schema import Schema
from gundb.site import drop_stream, drop_view, site_clock, view_at, view_history, wait_for
from gundb.stream import EventStream
from gundb.types import Clock, Dot
from gundb.view import View, key_column

__all__ = [
    "AmbiguousSiteError",
    "Appended",
    "CannotFoldError",
    "CausalCycleError",
    "Clock",
    "Consumer",
    "ConsumerChangedError",
    "CoordinateSuppliedError",
    "DeclarationError",
    "Dot",
    "Event",
    "EventDataError",
    "EventStream",
    "EventTooLargeError",
    "GundbError",
    "IdTakenError",
    "ImmutableEventError",
    "New",
    "NoSuchConsumerError",
    "NoSuchStreamError",
    "NotHeldError",
    "NotPreloadedError",
    "Page",
    "ReadOnlyError",
    "Schema",
    "SchemaViolationError",
    "SiteError",
    "SiteMetaData",
    "Stored",
    "UndefinedEventTypeError",
    "UnknownEventError",
    "VersionConflictError",
    "View",
    "ViewChangedError",
    "ViewWriteError",
    "create_all",
    "drop_stream",
    "drop_view",
    "fold",
    "key_column",
    "metadata",
    "site_clock",
    "view_at",
    "view_history",
    "wait_for",
]
