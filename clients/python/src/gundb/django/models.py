"""Models of streams and views: unmanaged, and read-only but for ``append``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn
from uuid import UUID

from django.db import connections, models, router

from gundb.errors import EventDataError, ReadOnlyError
from gundb.event import Appended, Event, New
from gundb.json import exact, told
from gundb.types import Dot


class ExactJSONField(models.JSONField):
    """jsonb whose numbers with a fraction are Decimal."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return exact(value)


if TYPE_CHECKING:
    TextField = models.TextField[str, str]
else:
    TextField = models.TextField


class OpaqueField(TextField):
    """A type of the schema gundb, as text."""


class ReadOnlyQuerySet(models.QuerySet[Any]):
    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        self.model._refuse()
        raise AssertionError

    create = update = delete = bulk_create = bulk_update = get_or_create = update_or_create = _refuse
    acreate = aupdate = adelete = abulk_create = abulk_update = aget_or_create = aupdate_or_create = _refuse
    _raw_delete = _refuse


class ReadOnlyModel(models.Model):
    objects: ClassVar[Any] = ReadOnlyQuerySet.as_manager()

    class Meta:
        abstract = True
        managed = False

    @classmethod
    def _refuse(cls) -> NoReturn:
        raise ReadOnlyError(f"a {cls.__name__} cannot be written: append an event that says what happened")

    def save(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()

    def delete(self, *_: Any, **__: Any) -> NoReturn:
        self._refuse()


class ViewModel(ReadOnlyModel):
    """A view: its fields are the key's and the columns; one of them is the primary key."""

    class Meta(ReadOnlyModel.Meta):
        abstract = True


class StreamModel(ReadOnlyModel):
    """A stream.

        class StockMove(StreamModel):
            class Meta(StreamModel.Meta):
                db_table = "stock_moves"

    ``stream_name`` is the stream's name where that is not the table's.
    """

    stream_name: ClassVar[str | None] = None

    id: models.UUIDField[UUID, UUID] = models.UUIDField(primary_key=True)
    site: models.UUIDField[UUID, UUID] = models.UUIDField()
    lane = OpaqueField()
    seq: models.BigIntegerField[int, int] = models.BigIntegerField()
    hlc = OpaqueField()
    type: models.TextField[str, str] = models.TextField()
    key: models.TextField[str | None, str | None] = models.TextField(null=True)
    data = ExactJSONField()
    meta = ExactJSONField()

    class Meta(ReadOnlyModel.Meta):
        abstract = True

    @classmethod
    def append(
        cls,
        event: Event,
        *,
        key: str | None = None,
        meta: dict[str, Any] | None = None,
        id: UUID | None = None,
        expected_version: int | None = None,
        using: str | None = None,
    ) -> Appended:
        """Appends an event, in the transaction at hand: as ``gundb.EventStream.append``."""
        return cls.append_all([New(event, key, meta, id, expected_version)], using=using)[0]

    @classmethod
    def append_all(cls, events: Iterable[Event | New], *, using: str | None = None) -> list[Appended]:
        """Appends events by one statement, all or none."""
        news = [one if isinstance(one, New) else New(one) for one in events]
        name = cls.stream_name or cls._meta.db_table
        for one in news:
            if not isinstance(one.event, Event) or one.event.__stream__.__streamname__ != name:
                raise EventDataError(f"{cls.__name__} takes events of the stream {name!r}, not {told(one.event)}")
        written = "[" + ", ".join(one.to_json(one.event.__stream__) for one in news) + "]"
        with connections[using or router.db_for_write(cls)].cursor() as cursor:
            cursor.execute(
                "SELECT dot::text, id, hlc::text, version, duplicate FROM gundb.append_batch(%s, CAST(%s AS jsonb))",
                [name, written],
            )
            return [Appended(Dot(dot), id, hlc, version, twice) for dot, id, hlc, version, twice in cursor.fetchall()]
