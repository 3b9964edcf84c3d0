"""Every fold, and every type that a column may have."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import ARRAY, Engine, Float, LargeBinary, String, select, text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Mapped, Session, mapped_column

import gundb
import gundb.json
from conftest import Declared
from gundb import DeclarationError, Event, fold, key_column
from gundb.view import definition_of

ID = UUID("018f3c5e-7a1b-7c3d-9e4f-5a6b7c8d9e0f")
MOMENT = datetime(2026, 11, 29, 1, 2, 3, 450000, UTC)


def test_each_fold_makes_what_its_annotation_says(paris: Engine, session: Session, declared: Declared) -> None:
    class Things(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("things")

    class Said(Event, stream=Things):
        shop: str
        no: int
        qty: int = 0
        price: Decimal = Decimal(0)
        day: date | None = None
        moment: datetime | None = None
        ref: UUID | None = None
        on: bool | None = None
        tag: str | None = None
        notes: dict[str, Any] | None = None
        hits: Any = None

    class Untagged(Event, stream=Things):
        shop: str
        no: int
        tag: str

    class Gone(Event, stream=Things):
        shop: str
        no: int

    class All(declared.Views):  # type: ignore[name-defined,misc]
        __viewname__ = declared.name("all_folds")
        __stream__ = Things
        __types__ = (Said, Untagged)
        __filter__ = "@meta.test is null"
        __delete__ = (Gone,)
        __strict__ = True

        shop: Mapped[str] = key_column()
        number: Mapped[int] = key_column("no")
        total: Mapped[Decimal | None] = fold.sum("price")
        pieces: Mapped[int] = fold.sum({Said: "qty"})
        ratio: Mapped[float | None] = fold.sum("price")
        events: Mapped[int] = fold.count()
        saids: Mapped[int] = fold.count({Said: True})
        least: Mapped[Decimal] = fold.min("price")
        latest: Mapped[date | None] = fold.max("day")
        mean: Mapped[Decimal] = fold.avg("price")
        last_at: Mapped[datetime | None] = fold.lww("moment", by="qty")
        first_ref: Mapped[UUID | None] = fold.fww("ref", by="@type")
        any_notes: Mapped[Any] = fold.lww("notes")
        dearest: Mapped[list[Decimal]] = fold.mv("price")
        tags: Mapped[list[str]] = fold.set({Said: "tag"}, remove={Untagged: "tag"})
        days: Mapped[list[date | None]] = fold.rw_set({Said: "day"})
        is_on: Mapped[bool] = fold.flag("on")
        is_off: Mapped[bool] = fold.dw_flag({Said: True, "Other": False})
        by_tag: Mapped[dict[str, Any]] = fold.map(key="tag", value="price", remove={Untagged: "tag"})
        hits: Mapped[Any] = fold.merge("hits", type="gcounter")
        # Of the user, not of the view.
        note: Mapped[str | None] = mapped_column(String)

    gundb.create_all(paris, declared.metadata)
    gundb.create_all(paris, declared.metadata)
    with paris.begin() as connection:
        connection.execute(text(f"ALTER TABLE {All.__viewname__} ADD COLUMN note text DEFAULT 'mine'"))
        counter = connection.execute(text("SELECT gundb.add(gundb.add('{}'::gundb.gcounter, 3), 4)::text")).scalar_one()
    Things.append(
        session,
        Said(
            shop="north", no=7, qty=2, price=Decimal("1.50"), day=date(2026, 1, 2), moment=MOMENT, ref=ID, on=True,
            tag="new", notes={"a": [Decimal("0.1")]}, hits=gundb.json.from_json(counter),
        ),
    )  # fmt: skip
    Things.append(session, Said(shop="north", no=7, qty=1, price=Decimal("2.25"), tag="old"))
    Things.append(session, Untagged(shop="north", no=7, tag="new"))
    Things.append(session, Said(shop="north", no=7, qty=99), meta={"test": True})
    Things.append(session, Said(shop="south", no=1))
    Things.append(session, Gone(shop="south", no=1))
    session.commit()
    row = session.scalars(select(All)).one()
    assert row is session.get(All, ("north", 7))
    found = {name: getattr(row, name) for name in All.__table__.columns.keys()}
    assert found == {
        "shop": "north",
        "number": 7,
        "total": Decimal("3.75"),
        "pieces": 3,
        "ratio": 3.75,
        "events": 3,
        "saids": 2,
        "least": Decimal("1.5"),
        "latest": date(2026, 1, 2),
        "mean": Decimal("1.875"),
        "last_at": MOMENT,
        "first_ref": ID,
        "any_notes": {"a": [Decimal("0.1")]},
        "dearest": [Decimal("2.25")],
        "tags": ["old"],
        "days": [date(2026, 1, 2)],
        "is_on": True,
        "is_off": True,
        "by_tag": {"old": Decimal("2.25")},
        "hits": 7,
        "note": "mine",
    }
    assert [type(found[name]) for name in ("total", "pieces", "ratio", "hits")] == [Decimal, int, float, int]
    (state,) = gundb.view_at(session, All)
    assert {name: value for name, value in state._mapping.items() if name != "note"} == {
        name: value for name, value in found.items() if name != "note"
    }
    # A strict view refuses what it cannot fold.
    with pytest.raises(gundb.CannotFoldError) as refused:
        Things.append(session, Said(shop="north", no=7, hits="no counter"))
    assert refused.value.message_detail or refused.value.message_primary


def test_a_reducer_makes_a_view_too(paris: Engine, session: Session, declared: Declared) -> None:
    class Spendings(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("spendings")

    class Spent(Event, stream=Spendings):
        amount: Decimal

    class Budgets(declared.Views):  # type: ignore[name-defined,misc]
        __viewname__ = declared.name("budgets")
        __stream__ = Spendings
        __reducer__ = declared.name("spend") + "(jsonb, gundb.event)"
        __initial__ = {"rest": Decimal("100.0")}  # noqa: RUF012

        key: Mapped[str] = key_column("@key")
        state: Mapped[Any] = mapped_column()

    with paris.begin() as connection:
        connection.execute(
            text(f"""
                CREATE FUNCTION {declared.name("spend")}(state jsonb, event gundb.event) RETURNS jsonb IMMUTABLE
                LANGUAGE sql AS $$
                SELECT jsonb_build_object('rest', (state->>'rest')::numeric - (event.data->>'amount')::numeric) $$""")
        )
    gundb.create_all(paris, declared.metadata)
    gundb.create_all(paris, declared.metadata)
    Spendings.append(session, Spent(amount=Decimal("0.10")), key="team")
    assert session.get_one(Budgets, "team").state == {"rest": Decimal("99.90")}


def test_declarations_that_cannot_be_meant_are_refused(declared: Declared) -> None:
    class Things(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("things")

    class Others(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("others")

    class Said(Event, stream=Things):
        sku: str
        qty: int

    class Elsewhere(Event, stream=Others):
        qty: int

    def problem(**body: Any) -> str:
        annotations = {"sku": Mapped[str], **body.pop("annotations", {})}
        given = {"__viewname__": "v", "__stream__": Things, "sku": key_column(), **body}
        given["__annotations__"] = {name: hint for name, hint in annotations.items() if name in given}
        with pytest.raises(DeclarationError) as refused:
            definition_of(type("V", (Declared(declared.number).Views,), given))
        return str(refused.value)

    number = {"n": Mapped[Decimal]}
    assert "V: the path 'qtty': Said has no field 'qtty'" in problem(n=fold.sum({Said: "qtty"}), annotations=number)
    assert "no event of the stream has a field 'place'" in problem(n=fold.sum("-place.x[1]"), annotations=number)
    assert "is made of Things, and Elsewhere is an event of Others" in problem(
        n=fold.sum({Elsewhere: "qty"}), annotations=number
    )
    assert "is no event type" in problem(n=fold.sum({int: "qty"}), annotations=number)
    assert "neither a path nor a constant" in problem(n=fold.sum({Said: ["qty"]}), annotations=number)  # type: ignore[dict-item]
    assert "a count is of type bigint, and it is mapped as numeric" in problem(n=fold.count(), annotations=number)
    assert "holds several values: Mapped[list[…]]" in problem(n=fold.mv("qty"), annotations=number)
    with pytest.raises(ArgumentError, match="annotation is required"):
        problem(n=fold.sum("qty"))
    assert "has no key" in problem(
        sku=fold.lww("sku"), __mapper_args__={"primary_key": ["sku"]}, annotations={"sku": Mapped[str]}
    )
    assert "needs the stream" in problem(__stream__=None)
    assert "needs a name" in problem(__viewname__=None)
    blob = mapped_column(LargeBinary, info={"gundb": {"fold": "lww", "value": "qty"}})
    assert "no columns of type" in problem(n=blob)
    with pytest.raises(ValueError, match="'counter' is no CRDT type"):
        fold.merge("hits", type="counter")
    # What has another place, or a name of no class, is not looked for.
    fine = type(
        "V",
        (Declared(declared.number).Views,),
        {
            "__viewname__": "v",
            "__stream__": Things,
            "__annotations__": {"sku": Mapped[str], "n": Mapped[float], "of": Mapped[Any], "odd name": Mapped[int]},
            "sku": key_column("@meta.sku"),
            "odd name": key_column('"odd name".x'),
            "n": fold.sum({"Else": "whatever"}),
            "of": mapped_column(ARRAY(Float), info={"gundb": {"fold": "mv", "value": "@site"}}),
        },
    )
    assert definition_of(fine).key == '@meta.sku, "odd name".x::bigint as "odd name"'
    assert definition_of(fine).columns["of"]["type"] == "numeric"


def test_the_key_of_a_stream_is_a_text(declared: Declared) -> None:
    class Things(declared.Streams):  # type: ignore[name-defined,misc]
        __streamname__ = declared.name("things")
        __key__ = "no"

    with pytest.raises(DeclarationError, match=r"Said\.no is the key of its event, and a key is a str"):
        type("Said", (Event,), {"__annotations__": {"no": int}}, stream=Things)
