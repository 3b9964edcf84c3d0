"""Reading events and rows, and that neither is written but by appending."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, Table, delete, func, inspect, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import gundb
from conftest import Declared
from gundb import ReadOnlyError, UnknownEventError
from shop import Shop


@pytest.fixture
def shop(paris: Engine, declared: Declared) -> Shop:
    shop = Shop(declared)
    gundb.create_all(paris, shop.metadata)
    return shop


def test_pages_are_whole_transactions_in_order(session: Session, shop: Shop) -> None:
    for sku in ("A", "B", "C"):
        shop.Moves.append_all(session, [shop.Received(sku=sku, qty=1), shop.Sold(sku=sku, qty=1)])
        session.commit()
    pages = list(shop.Moves.pages(session, max=2))
    assert [[one.key for one in page] for page in pages] == [["A", "A"], ["B", "B"], ["C", "C"]]
    assert shop.Moves.read(session, after=pages[-1].next) == gundb.Page([], pages[-1].next)
    assert [one.key for one in shop.Moves.read(session, pages[0].next, types=[shop.Sold])] == ["B", "C"]
    assert [one.type for one in shop.Moves.read(session, types=["Sold", "Nothing"], key="B")] == ["Sold"]
    with pytest.raises(TypeError, match="types is a list"):
        shop.Moves.read(session, types="Sold")
    stored = pages[0].events[0]
    assert stored.stream == shop.Moves.__streamname__ and abs(datetime.now(UTC) - stored.time) < timedelta(minutes=5)
    assert [one.event for one in shop.Moves.history(session, "B")] == [
        shop.Received(sku="B", qty=1),
        shop.Sold(sku="B", qty=1),
    ]


def test_events_without_a_class_can_be_read_as_data(session: Session, shop: Shop) -> None:
    session.execute(shop.Moves.__table__.insert(), [{"type": "Counted", "key": "A-1", "data": {"n": Decimal("1.50")}}])
    (stored,) = shop.Moves.read(session)
    assert stored.data == {"n": Decimal("1.50")} and stored.meta == {}
    with pytest.raises(UnknownEventError, match="'Counted'"):
        _ = stored.event
    with pytest.raises(UnknownEventError, match="'Counted'"):
        _ = session.scalars(select(shop.Moves)).one().event


def test_a_stream_can_be_selected_as_any_mapped_class(session: Session, shop: Shop) -> None:
    shop.Moves.append_all(session, [shop.Received(sku="A-1", qty=3, place="dock 2"), shop.Sold(sku="A-1", qty=1)])
    Moves = shop.Moves
    received = session.scalars(select(Moves).where(Moves.type == "Received", Moves.key == "A-1")).one()
    assert received.event == shop.Received(sku="A-1", qty=3, place="dock 2")
    assert received.data["qty"] == 3 and isinstance(received.time, datetime)
    assert session.scalars(select(Moves).where(Moves.data["place"].astext == "dock 2")).all() == [received]
    assert session.scalars(select(Moves).where(Moves.data.contains({"qty": 1}))).one().type == "Sold"
    assert session.scalars(select(Moves).where(Moves.hlc == received.hlc)).one() is received
    assert session.get(Moves, (received.site, received.lane, received.seq)) is received
    assert session.execute(select(func.count()).select_from(Moves)).scalar() == 2
    assert session.execute(select(Moves.data, shop.Stock.on_hand).join(shop.Stock, Moves.key == shop.Stock.sku)).all()[
        0
    ] == ({"sku": "A-1", "qty": 3, "place": "dock 2"}, 2)
    assert repr(received).startswith("Moves(") and "'Received'" in repr(received)


def test_rows_are_as_new_as_the_last_append(session: Session, shop: Shop) -> None:
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3, place="dock 2"))
    row = session.get_one(shop.Stock, "A-1")
    assert (row.on_hand, row.place, row.labels) == (3, "dock 2", [])
    shop.Moves.append(session, shop.Sold(sku="A-1", qty=1))
    shop.Moves.append(session, shop.Labelled(sku="A-1", label="fragile"))
    assert (row.on_hand, row.labels) == (2, ["fragile"])
    reverted = shop.Moves.append(session, shop.Sold(sku="A-1", qty=1))
    assert row.on_hand == 1
    assert len(shop.Moves.revert(session, [reverted.id])) == 1
    assert row.on_hand == 2 and repr(row).startswith("Stock(")
    # A row that was taken out of the session is nobody's.
    session.expunge(row)
    shop.Moves.append(session, shop.Sold(sku="A-1", qty=1))
    assert row.on_hand == 2


def test_where_nothing_expires_selecting_reads_anew(paris: Engine, shop: Shop) -> None:
    with Session(paris, expire_on_commit=False) as session:
        shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
        row = session.get_one(shop.Stock, "A-1")
        shop.Moves.append(session, shop.Sold(sku="A-1", qty=1))
        assert row.on_hand == 3
        assert session.scalars(select(shop.Stock)).one() is row
        assert row.on_hand == 2


def test_looking_back(session: Session, shop: Shop) -> None:
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3, place="dock 2"))
    session.commit()
    clock = gundb.site_clock(session)
    shop.Moves.append(session, shop.Labelled(sku="A-1", label="fragile"))
    shop.Moves.append(session, shop.Received(sku="B-7", qty=1))
    session.commit()
    (before,) = gundb.view_at(session, shop.Stock, clock=clock)
    assert (before.sku, before.on_hand, before.place, before.labels) == ("A-1", Decimal(3), "dock 2", [])
    assert gundb.view_at(session, shop.Stock, at=datetime.now(UTC) - timedelta(days=1)) == []
    assert [row.labels for row in gundb.view_at(session, shop.Stock, key="A-1")] == [["fragile"]]
    states = gundb.view_history(session, shop.Stock, "A-1")
    assert [(state.type, state.row["labels"]) for state in states] == [("Received", []), ("Labelled", ["fragile"])]


def test_nothing_is_written_as_if_it_were_a_plain_table(session: Session, shop: Shop) -> None:
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    session.commit()
    stock, move = session.get_one(shop.Stock, "A-1"), session.scalars(select(shop.Moves)).one()
    for attempt in (
        lambda: setattr(stock, "on_hand", 5),
        lambda: setattr(move, "key", "B-7"),
        lambda: shop.Stock(sku="B-7"),
        lambda: shop.Moves(type="Received"),
        lambda: session.execute(update(shop.Stock).values(on_hand=5)),
        lambda: session.execute(delete(shop.Moves).where(shop.Moves.key == "A-1")),
        lambda: session.query(shop.Stock).delete(),
    ):
        with pytest.raises(ReadOnlyError, match=r"a (Stock|Moves) cannot be .*: append an event"):
            attempt()
    session.commit()
    for row in (stock, move):
        session.delete(row)
        with pytest.raises(ReadOnlyError, match="cannot be deleted"):
            session.flush()
        session.rollback()
    # Around SQLAlchemy's attributes there is still the flush.
    inspect(stock).dict["on_hand"] = Decimal(5)
    from sqlalchemy.orm.attributes import flag_modified

    flag_modified(stock, "on_hand")
    with pytest.raises(ReadOnlyError, match="a Stock cannot be changed"):
        session.flush()
    session.rollback()
    assert stock.on_hand == 3
    # And around SQLAlchemy the site.
    with pytest.raises(gundb.ViewWriteError):
        session.execute(shop.Stock.__table__.delete())


def test_your_tables_may_refer_to_a_view(paris: Engine, session: Session, shop: Shop, declared: Declared) -> None:
    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = declared.name("orders")

        id: Mapped[int] = mapped_column(primary_key=True)
        sku: Mapped[str] = mapped_column(ForeignKey(shop.Stock.__table__.c.sku))
        stock: Mapped[Any] = relationship(shop.Stock)

    Base.metadata.create_all(paris)
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    session.add(Order(id=1, sku="A-1"))
    session.flush()
    order = session.scalars(select(Order).join(Order.stock).where(shop.Stock.on_hand > 2)).one()
    assert order.stock.on_hand == 3
    shop.Moves.append(session, shop.Sold(sku="A-1", qty=1))
    assert order.stock.on_hand == 2
    session.commit()


def test_tables_of_gundb_can_be_reflected(paris: Engine, session: Session, shop: Shop, declared: Declared) -> None:
    page = declared.name("page")
    with paris.begin() as connection:
        connection.execute(
            text(f"CREATE TABLE {page} (url text PRIMARY KEY, hits gundb.gcounter NOT NULL DEFAULT '{{}}')")
        )
        connection.execute(text(f"INSERT INTO {page} VALUES ('/')"))
        connection.execute(text(f"UPDATE {page} SET hits = hits + 2"))
    reflected = Table(page, MetaData(), autoload_with=paris)
    assert session.execute(select(reflected)).all() == [("/", 2)]
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    session.commit()
    stream = Table(shop.Moves.__streamname__, MetaData(), autoload_with=paris)
    assert session.execute(select(stream.c.hlc).where(stream.c.hlc == session.scalar(select(shop.Moves.hlc)))).one()


def test_attributes_of_your_own_are_yours(session: Session, shop: Shop) -> None:
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    stock = session.get_one(shop.Stock, "A-1")
    stock.note = "seen"
    assert stock.note == "seen"
