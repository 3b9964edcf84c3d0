"""Appending, what it answers, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import gundb
from conftest import Declared
from gundb import EventDataError, New
from shop import Shop


@pytest.fixture
def shop(paris: Engine, declared: Declared) -> Shop:
    shop = Shop(declared)
    gundb.create_all(paris, shop.metadata)
    return shop


def test_an_append_is_of_the_transaction(session: Session, shop: Shop) -> None:
    done = shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    assert isinstance(done.id, UUID) and done.dot.count("/") == 3 and not done.duplicate and done.version is None
    session.rollback()
    assert shop.Moves.read(session).events == []
    with session.begin_nested():
        shop.Moves.append(session, shop.Received(sku="A-1", qty=4))
    session.commit()
    assert [one.event for one in shop.Moves.read(session)] == [shop.Received(sku="A-1", qty=4)]


def test_the_same_id_is_the_same_event(session: Session, shop: Shop) -> None:
    id = uuid4()
    first = shop.Moves.append(session, shop.Sold(sku="A-1", qty=1), id=id, meta={"by": "ada"})
    second = shop.Moves.append(session, shop.Sold(sku="A-1", qty=1), id=id, meta={"by": "ada"})
    assert (second.dot, second.duplicate, first.id) == (first.dot, True, id)
    session.commit()
    with pytest.raises(gundb.IdTakenError):
        shop.Moves.append(session, shop.Sold(sku="A-1", qty=2), id=id)


def test_of_two_who_expect_one_version_one_wins(paris: Engine, session: Session, shop: Shop) -> None:
    assert shop.Moves.append(session, shop.Received(sku="A-1", qty=1), expected_version=0).version == 1
    session.commit()
    with pytest.raises(gundb.VersionConflictError) as conflict:
        shop.Moves.append(session, shop.Sold(sku="A-1", qty=1), expected_version=0)
    assert (conflict.value.expected, conflict.value.actual) == (0, 1)
    assert conflict.value.message_hint is not None and conflict.value.sqlstate == "GD005"


def test_many_are_one_statement_all_or_none(session: Session, shop: Shop) -> None:
    done = shop.Moves.append_all(
        session,
        [
            shop.Received(sku="A-1", qty=3),
            New(shop.Sold(sku="A-1", qty=1), key="other", meta={"n": Decimal("0.10")}, id=uuid4(), expected_version=0),
        ],
    )
    assert len({one.dot for one in done}) == 2 and done[1].version == 1
    session.commit()
    assert [one.key for one in shop.Moves.read(session)] == ["A-1", "other"]
    with pytest.raises(gundb.VersionConflictError):
        shop.Moves.append_all(
            session, [shop.Received(sku="A-1", qty=1), New(shop.Sold(sku="A-1", qty=1), expected_version=0)]
        )
    session.rollback()
    assert len(shop.Moves.read(session)) == 2
    assert shop.Moves.append_all(session, []) == []


def test_one_insert_takes_thousands(session: Session, shop: Shop) -> None:
    events = [shop.Received(sku=f"S-{n % 100}", qty=1) for n in range(2000)]
    assert shop.Moves.insert_all(session, events) == 2000
    assert session.get_one(shop.Stock, "S-0").on_hand == 20
    id = uuid4()
    assert shop.Moves.insert_all(session, [New(events[0], key="x", id=id, meta={"a": 1}), events[1]]) == 2
    page = shop.Moves.read(session, max=1)
    assert len(page) == 2002 and page.events[0].event == events[0] and page.events[1999].event == events[1999]
    assert [(one.key, one.meta) for one in page.events[-2:]] == [("x", {"a": 1}), ("S-1", {})]
    assert page.events[-2].id == id
    session.commit()
    with pytest.raises(EventDataError, match="insert_all expects no version"):
        shop.Moves.insert_all(session, [New(events[0], expected_version=0)])
    with pytest.raises(IntegrityError):
        shop.Moves.insert_all(session, [New(events[0], id=id)])


def test_connections_and_scoped_sessions_append_too(paris: Engine, shop: Shop) -> None:
    with paris.begin() as connection:
        shop.Moves.append(connection, shop.Received(sku="A-1", qty=1))
    scoped = scoped_session(sessionmaker(paris))
    shop.Moves.append(scoped, shop.Received(sku="A-1", qty=1))
    assert scoped.get_one(shop.Stock, "A-1").on_hand == 2
    scoped.remove()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"key": 7}, "the key: expected str, got int 7"),
        ({"key": "a\x00"}, "the key: PostgreSQL holds no text"),
        ({"id": "x"}, "the id: expected UUID, got str 'x'"),
        ({"meta": [1]}, "meta: expected dict, got list"),
        ({"meta": {"at": date(2026, 1, 1)}}, "meta.at: date"),
        ({"expected_version": -1}, "expected_version: expected a count of events, got int -1"),
        ({"expected_version": True}, "expected_version: expected a count of events, got bool True"),
    ],
)
def test_wrong_arguments_are_refused_before_any_sql(declared: Declared, given: dict[str, Any], message: str) -> None:
    shop = Shop(declared)
    with pytest.raises(EventDataError) as refused:
        shop.Moves.append(None, shop.Received(sku="A-1", qty=1), **given)
    assert str(refused.value).startswith(message)


def test_only_events_of_the_stream_are_taken(declared: Declared) -> None:
    shop, other = Shop(declared), Shop(Declared())
    with pytest.raises(EventDataError, match=r"Received is an event of Moves, not of Moves"):
        shop.Moves.append(None, other.Received(sku="A-1", qty=1))
    for junk in (None, {"sku": "A-1"}, shop.Received):
        with pytest.raises(EventDataError, match="Moves takes events, not "):
            shop.Moves.append(None, junk)
        with pytest.raises(EventDataError, match="Moves takes events, not "):
            shop.Moves.append_all(None, [junk])


class Extremes:
    def __init__(self, declared: Declared) -> None:
        class Extremes(declared.Streams):  # type: ignore[name-defined,misc]
            __streamname__ = declared.name("extremes")

        class Said(gundb.Event, stream=Extremes):
            money: Decimal
            day: date
            moment: datetime
            text: str
            none: str | None
            anything: Any

        self.Stream, self.Said = Extremes, Said


@pytest.mark.parametrize(
    ("money", "moment", "said"),
    [
        (Decimal("1E+100"), datetime(9999, 12, 31, 23, 59, 59, 999999, UTC), "größe 名前 🎉 \\ \" ' \n \x01 \x7f"),
        (Decimal("-1E-100"), datetime(1, 1, 1, tzinfo=UTC), "a" * 100_000),
        (Decimal("1E+131071"), datetime(2026, 1, 1, tzinfo=UTC), ""),
        (Decimal("123456789012345678901234567890.123456789"), datetime(2026, 1, 1, tzinfo=UTC), "%(x)s :x %s $1"),
    ],
)
def test_extreme_values_come_back_as_they_were(
    paris: Engine, session: Session, declared: Declared, money: Decimal, moment: datetime, said: str
) -> None:
    made = Extremes(declared)
    gundb.create_all(paris, declared.metadata)
    event = made.Said(
        money=money,
        day=moment.date(),
        moment=moment,
        text=said,
        none=None,
        anything={said[:50]: [money, 10**4000, 0.1]},
    )
    made.Stream.append(session, event, key=said[:500], meta={said[:50]: said})
    session.commit()
    (stored,) = made.Stream.read(session)
    assert (stored.event.money, stored.event.moment, stored.event.text) == (money, moment, said)
    assert stored.event.anything == {said[:50]: [money, 10**4000, Decimal("0.1")]}
    assert (stored.key, stored.meta) == (said[:500], {said[:50]: said})
    assert session.query(made.Stream).one().event == stored.event


def test_what_the_site_refuses_is_of_the_class_that_the_code_has(
    paris: Engine, session: Session, shop: Shop, declared: Declared
) -> None:
    stream, view = shop.Moves.__streamname__, shop.Stock.__viewname__
    for statement, kind in (
        (f"UPDATE {stream} SET key = 'x'", gundb.ImmutableEventError),
        (f"INSERT INTO {stream} (type, seq) VALUES ('A', 1)", gundb.CoordinateSuppliedError),
        (f"INSERT INTO {stream} (type, data) VALUES ('Sold', '{{}}')", gundb.SchemaViolationError),
        ("SELECT gundb.append('no such stream', 'A')", gundb.NoSuchStreamError),
        ("SELECT gundb.consume('no such consumer')", gundb.NoSuchConsumerError),
        (f"INSERT INTO {view} VALUES ('A-1')", gundb.ViewWriteError),
    ):
        if "UPDATE" in statement:
            shop.Moves.append(session, shop.Received(sku="A-1", qty=1))
        with pytest.raises(kind) as refused:
            session.execute(text(statement))
        assert isinstance(refused.value, DatabaseError) and isinstance(refused.value, gundb.SiteError)
        assert refused.value.message_primary in str(refused.value) and refused.value.statement == statement
        session.rollback()
    with pytest.raises(gundb.SchemaViolationError) as violation:
        session.execute(text(f"INSERT INTO {stream} (type, data) VALUES ('Sold', '{{}}')"))
    assert violation.value.message_detail == 'At the whole: "sku" is a required property'
    session.rollback()
    with pytest.raises(gundb.EventTooLargeError):
        session.execute(text("SET LOCAL gundb.max_event_size = '1kB'"))
        shop.Moves.append(session, shop.Labelled(sku="A-1", label="x" * 10_000))
    session.rollback()
    # Others stay what they are.
    with pytest.raises(DBAPIError) as other:
        session.execute(text("SELECT 1 / 0"))
    assert not isinstance(other.value, gundb.GundbError)
    session.rollback()
    clock = gundb.Clock('{"018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f": {}}')
    with pytest.raises(DBAPIError):
        shop.Moves.append(session, shop.Received(sku="A-1", qty=1), depends_on=gundb.Clock("no clock"))
    session.rollback()
    del clock


def test_all_of_gundbs_codes_have_a_class() -> None:
    from gundb.errors import BY_SQLSTATE

    assert sorted(BY_SQLSTATE) == [f"GD{number:03}" for number in range(1, 16)]
