"""create_all: what is missing is made, what changed is changed, and else nothing is written."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

import gundb
from conftest import Declared, url
from gundb import DeclarationError, GundbError, ViewChangedError, create_all, fold, key_column
from shop import Shop


class Writes:
    """Calls of functions that make something, as they are sent."""

    def __init__(self, engine: Engine) -> None:
        self.sent: list[str] = []
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        for name in ("create_stream", "define_event", "create_view", "alter_view", "create_reducer_view"):
            if f"gundb.{name}(" in statement:
                self.sent.append(name)

    def since(self) -> list[str]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def writes(paris: Engine) -> Writes:
    return Writes(paris)


def test_what_is_there_is_left_alone(paris: Engine, declared: Declared, writes: Writes) -> None:
    shop = Shop(declared)
    shop.metadata.create_all(paris)
    assert writes.since() == ["create_stream", *["define_event"] * 4, "create_view"]
    create_all(paris, Shop(declared.again()).metadata)
    assert writes.since() == []
    with paris.connect() as connection:
        schema = connection.execute(
            text("SELECT schema FROM gundb.event_type WHERE stream = :stream AND type = 'Received'"),
            {"stream": shop.Moves.__streamname__},
        ).scalar_one()
    assert schema == shop.Received.json_schema()


def test_it_is_part_of_the_transaction_of_a_connection(paris: Engine, declared: Declared) -> None:
    shop = Shop(declared)
    with Session(paris) as session:
        create_all(session, shop.metadata)
        shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
        assert session.get_one(shop.Stock, "A-1").on_hand == 3
        session.rollback()
    with paris.connect() as connection:
        assert not connection.execute(
            text("SELECT 1 FROM gundb.stream WHERE name = :name"), {"name": shop.Moves.__streamname__}
        ).all()


def test_a_class_that_changed_gets_a_version_and_an_older_program_leaves_it(
    paris: Engine, declared: Declared, writes: Writes
) -> None:
    def first() -> Any:
        again = declared.again()

        class Moves(again.Streams):  # type: ignore[name-defined,misc]
            __streamname__ = again.name("versioned")

        class Received(gundb.Event, stream=Moves):
            qty: int

        return again.metadata, Moves, Received

    def second() -> Any:
        again = declared.again()

        class Moves(again.Streams):  # type: ignore[name-defined,misc]
            __streamname__ = again.name("versioned")

        class Received(gundb.Event, stream=Moves):
            qty: int
            unit: str = "piece"

        return again.metadata, Moves, Received

    metadata, OldMoves, OldReceived = first()
    create_all(paris, metadata)
    with Session(paris) as session, session.begin():
        OldMoves.append(session, OldReceived(qty=1))
    metadata, Moves, Received = second()
    writes.since()
    create_all(paris, metadata)
    assert writes.since() == ["define_event"]
    create_all(paris, first()[0])
    assert writes.since() == []
    with Session(paris) as session:
        assert [stored.event for stored in Moves.read(session)] == [Received(qty=1, unit="piece")]
        version = session.execute(
            text("SELECT version FROM gundb.event_type WHERE stream = :stream"), {"stream": Moves.__streamname__}
        ).scalar_one()
    assert version == 2


def test_a_view_whose_columns_changed_is_altered_and_keeps_what_users_made(
    paris: Engine, declared: Declared, writes: Writes
) -> None:
    shop = Shop(declared)
    create_all(paris, shop.metadata)
    with Session(paris) as session, session.begin():
        shop.Moves.append(session, shop.Received(sku="A-1", qty=3, place="dock 2"))
        session.execute(text(f"CREATE INDEX {declared.name('by_place')} ON {shop.Stock.__viewname__} (place)"))
    again = declared.again()

    class Moves(again.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = again.name("stock_moves")

    class Stock(again.Views):  # type: ignore[name-defined,misc]
        __viewname__ = again.name("stock")
        __stream__ = Moves

        sku: Mapped[str] = key_column()
        place: Mapped[list[str]] = fold.mv("place")
        on_hand: Mapped[Decimal] = fold.sum({"Received": "qty", "Sold": "-qty"})
        moves: Mapped[int] = fold.count()

    writes.since()
    with paris.begin() as connection:
        connection.execute(text(f"DROP INDEX {declared.name('by_place')}"))
        create_all(connection, again.metadata)
    assert writes.since() == ["alter_view"]
    create_all(paris, again.metadata)
    assert writes.since() == []
    with Session(paris) as session:
        row = session.scalars(select(Stock)).one()
        assert (row.sku, row.place, row.on_hand, row.moves) == ("A-1", ["dock 2"], Decimal(3), 1)
        assert not hasattr(row, "labels")


def test_a_view_whose_key_changed_is_not_made_anew_in_silence(paris: Engine, declared: Declared) -> None:
    shop = Shop(declared)
    create_all(paris, shop.metadata)
    again = declared.again()

    class Moves(again.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = again.name("stock_moves")

    class Stock(again.Views):  # type: ignore[name-defined,misc]
        __viewname__ = again.name("stock")
        __stream__ = Moves
        __filter__ = "@meta.test is null"

        sku: Mapped[str] = key_column()
        moves: Mapped[int] = fold.count()

    with pytest.raises(ViewChangedError, match=r"gundb.drop_view\(\) drops it"):
        create_all(paris, again.metadata)
    with Session(paris) as session, session.begin():
        # What had been altered went back too.
        assert session.scalars(select(shop.Stock.labels)).all() == []
        gundb.drop_view(session, Stock)
        gundb.drop_view(session, Stock)
        create_all(session, again.metadata)
    with Session(paris) as session, session.begin():
        assert session.scalars(select(Stock.moves)).all() == []
        gundb.drop_view(session, Stock)
        gundb.drop_stream(session, Moves)


def test_what_sql_made_in_other_words_is_the_same(paris: Engine, declared: Declared, writes: Writes) -> None:
    shop = Shop(declared)
    stream, view = shop.Moves.__streamname__, shop.Stock.__viewname__
    with paris.begin() as connection:
        connection.execute(text("SELECT gundb.create_stream(:s)"), {"s": stream})
        columns = """{"on_hand": {"value": {"Received": "qty", "Sold": "-qty"}, "fold": "sum", "type": "numeric"},
            "place": {"fold": "lww", "value": "place"},
            "labels": {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}}}"""
        connection.execute(
            text("SELECT gundb.create_view(:v, :s, CAST(:c AS json), key => ' sku ')"),
            {"v": view, "s": stream, "c": columns},
        )
        before = connection.execute(text("SELECT number FROM gundb.view_definition ORDER BY 1 DESC LIMIT 1")).scalar()
    create_all(paris, shop.metadata)
    with paris.begin() as connection:
        after = connection.execute(text("SELECT number FROM gundb.view_definition ORDER BY 1 DESC LIMIT 1")).scalar()
    assert before == after


def test_a_role_without_rights_to_create_can_ask_for_what_is_there(paris: Engine, declared: Declared) -> None:
    shop = Shop(declared)
    create_all(paris, shop.metadata)
    role = declared.name("app")
    with paris.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA gundb TO {role}"))
        connection.execute(
            text(f"GRANT SELECT, INSERT ON {shop.Moves.__streamname__}, {shop.Stock.__viewname__} TO {role}")
        )
    engine = create_engine(url("paris").replace("postgres@", f"{role}@"))
    create_all(engine, shop.metadata)
    with Session(engine) as session, session.begin():
        shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
        assert session.get_one(shop.Stock, "A-1").on_hand == 3
    engine.dispose()


@pytest.mark.parametrize("missing", ["all of it", "a view"])
def test_programs_that_start_together_make_it_once(paris: Engine, declared: Declared, missing: str) -> None:
    if missing == "a view":
        shop = Shop(declared)
        create_all(paris, shop.metadata)
        with Session(paris) as session, session.begin():
            gundb.drop_view(session, shop.Stock)
    failed: list[Exception] = []
    gate = threading.Barrier(4)

    def start(metadata: gundb.SiteMetaData) -> None:
        with Session(paris) as session, session.begin():
            session.connection()
            gate.wait()
            try:
                create_all(session, metadata)
            except Exception as error:
                failed.append(error)

    programs = [threading.Thread(target=start, args=[Shop(declared.again()).metadata]) for _ in range(4)]
    for one in programs:
        one.start()
    for one in programs:
        one.join(30)
    assert failed == []
    with paris.connect() as connection:
        versions = connection.execute(
            text("SELECT version FROM gundb.event_type WHERE stream = :s"), {"s": declared.name("stock_moves")}
        ).scalars()
        assert set(versions) == {1}


def test_a_stream_may_stand_in_a_schema_under_another_name(paris: Engine, declared: Declared) -> None:
    schema = declared.name("Odd Schema")

    def make(table: str) -> Any:
        again = declared.again()

        class Moves(again.Streams):  # type: ignore[name-defined,misc]
            __streamname__ = again.name("odd.moves")
            __tablename__ = table
            __table_args__ = {"schema": schema}  # noqa: RUF012

        class Moved(gundb.Event, stream=Moves):
            to: str

        class Places(again.Views):  # type: ignore[name-defined,misc]
            __viewname__ = "Places"
            __stream__ = Moves
            __table_args__ = {"schema": schema}  # noqa: RUF012

            key: Mapped[str] = key_column("@key")
            to: Mapped[str] = fold.lww("to")

        return again.metadata, Moves, Moved, Places

    metadata, Moves, Moved, Places = make("The Moves")
    with paris.begin() as connection:
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    create_all(paris, metadata)
    create_all(paris, metadata)
    with Session(paris) as session, session.begin():
        Moves.append(session, Moved(to="yard"), key="A-1")
        assert session.scalars(select(Moves)).one().event == Moved(to="yard")
        assert session.get_one(Places, "A-1").to == "yard"
        assert gundb.view_at(session, Places)[0].to == "yard"
        assert len(gundb.view_history(session, Places, "A-1")) == 1
    with pytest.raises(DeclarationError, match="has the table"):
        create_all(paris, make("elsewhere")[0])


def test_names_may_have_any_characters(paris: Engine, declared: Declared) -> None:
    odd = "we:ird \"%(x)s\" 'näme'"

    class Moves(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name(odd)

    class Moved(gundb.Event, stream=Moves, type=odd):
        to: str

    class Places(declared.Views):  # type: ignore[name-defined,misc]
        __viewname__ = declared.name(odd + " v")
        __stream__ = Moves

        key: Mapped[str] = mapped_column("a:b %s", primary_key=True, info={"gundb": {"key": "@key"}})
        to: Mapped[str] = mapped_column('"to":%(x)s', info={"gundb": {"fold": "lww", "value": {Moved: "to"}}})

    create_all(paris, declared.metadata)
    create_all(paris, declared.metadata)
    with Session(paris) as session, session.begin():
        Moves.insert_all(session, [gundb.New(Moved(to=odd), key=odd)])
        Moves.append(session, Moved(to=odd), key=odd)
        assert [one.event for one in session.scalars(select(Moves))] == [Moved(to=odd)] * 2
        assert session.get_one(Places, odd).to == odd
        assert [tuple(row) for row in gundb.view_at(session, Places)] == [(odd, odd)]
        assert len(gundb.view_history(session, Places, odd)) == 1
        gundb.drop_view(session, Places)
        gundb.drop_stream(session, Moves)


def test_a_closed_stream_takes_only_what_is_declared(paris: Engine, declared: Declared) -> None:
    class Moves(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("closed")
        __closed__ = True

    create_all(paris, declared.metadata)
    create_all(paris, declared.metadata)

    class Late(gundb.Event, stream=Moves):
        pass

    with Session(paris) as session, pytest.raises(gundb.UndefinedEventTypeError, match=r"Late") as refused:
        Moves.append(session, Late())
    assert refused.value.message_hint
    create_all(paris, declared.metadata)
    with Session(paris) as session, session.begin():
        Moves.append(session, Late())


def test_a_database_that_is_no_site_says_so(declared: Declared) -> None:
    engine = create_engine(url("postgres"))
    with pytest.raises(GundbError, match="CREATE EXTENSION gundb"):
        create_all(engine, Shop(declared).metadata)
    engine.dispose()


def test_sqlalchemy_creates_and_drops_nothing_of_gundb(paris: Engine, declared: Declared) -> None:
    shop = Shop(declared)
    with pytest.raises(GundbError, match="leave tables out"):
        shop.metadata.create_all(paris, tables=[])
    with pytest.raises(GundbError, match="not dropped by drop_all"):
        shop.metadata.drop_all(paris)
