"""Django on a site: models of streams and views are read, and nothing of gundb is made, dropped, or inspected."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import pytest
from django.conf import settings
from django.core.management import call_command
from sqlalchemy import make_url, text

import gundb
from conftest import Declared, new_site, url
from shop import Shop

MODELS = """
from django.db import models
from gundb.django import StreamModel, ViewModel

class StockMove(StreamModel):
    class Meta(StreamModel.Meta):
        db_table = "{moves}"

class Stock(ViewModel):
    sku = models.TextField(primary_key=True)
    on_hand = models.DecimalField(max_digits=30, decimal_places=2)
    place = models.TextField(null=True)
    class Meta(ViewModel.Meta):
        db_table = "{stock}"

class Order(models.Model):
    stock = models.ForeignKey(Stock, on_delete=models.DO_NOTHING, db_constraint=False, null=True)
"""
FORGOTTEN = """
class Forgotten(ViewModel):
    class Meta:
        app_label = "warehouse"
        db_table = "forgotten"
"""


class App:
    """The app warehouse, whose models are those of a shop."""

    def __init__(self, shop: Shop, models: Any, path: Path) -> None:
        self.shop, self.models, self.path = shop, models, path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    shop = Shop(Declared())
    package = tmp_path_factory.mktemp("django") / "warehouse"
    package.mkdir()
    (package / "__init__.py").write_text("")
    names = {"moves": shop.Moves.__streamname__, "stock": shop.Stock.__viewname__}
    (package / "models.py").write_text(MODELS.format(**names))
    with new_site("django") as engine:
        gundb.create_all(engine, shop.metadata)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE plain (id int PRIMARY KEY)"))
        at = make_url(url("django"))
        database = {"ENGINE": "django.db.backends.postgresql", "NAME": at.database, "HOST": at.host, "PORT": at.port}
        settings.configure(
            INSTALLED_APPS=["gundb.django", "warehouse"],
            DATABASES={"default": {**database, "USER": at.username}},
            DATABASE_ROUTERS=["gundb.django.Router"],
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            USE_TZ=True,
        )
        sys.path.insert(0, str(package.parent))
        django.setup()
        from warehouse import models  # type: ignore[import-not-found]

        yield App(shop, models, package)
        from django.db import connections

        connections.close_all()


def output(*command: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out, **options)
    return out.getvalue()


def test_migrations_make_only_what_is_djangos(app: App) -> None:
    from django.db import connection

    output("makemigrations", "warehouse")
    sql = output("sqlmigrate", "warehouse", "0001")
    assert 'CREATE TABLE "warehouse_order"' in sql and sql.count("CREATE TABLE") == 1
    output("migrate")
    assert "No changes detected" in output("makemigrations", "warehouse", "--check")
    app.models.StockMove.append(app.shop.Received(sku="M-1", qty=1))
    output("migrate", "warehouse", "zero")
    with connection.cursor() as cursor:
        assert "warehouse_order" not in connection.introspection.table_names(cursor)
    assert app.models.StockMove.objects.filter(key="M-1").count() == 1
    output("migrate")


def test_inspectdb_leaves_out_what_is_gundbs(app: App) -> None:
    found = output("inspectdb")
    assert "db_table = 'plain'" in found
    assert app.models.Stock._meta.db_table not in found and app.models.StockMove._meta.db_table not in found
    assert app.models.Stock._meta.db_table in output("inspectdb", app.models.Stock._meta.db_table)


def test_events_are_appended_and_rows_are_read(app: App) -> None:
    from django.db import transaction

    StockMove, Stock = app.models.StockMove, app.models.Stock
    with transaction.atomic():
        done = StockMove.append(
            app.shop.Received(sku="A-1", qty=3, place="dock 2"), id=uuid4(), meta={"n": Decimal("0.1")}
        )
        assert StockMove.append_all([app.shop.Sold(sku="A-1", qty=1)])[0].version is None
        assert Stock.objects.get(sku="A-1").on_hand == 2
    move = StockMove.objects.get(id=done.id)
    assert (move.key, move.data, move.meta) == (
        "A-1",
        {"sku": "A-1", "qty": 3, "place": "dock 2"},
        {"n": Decimal("0.1")},
    )
    assert StockMove.objects.filter(data__place="dock 2").get() == move
    assert StockMove.append(
        app.shop.Received(sku="A-1", qty=3, place="dock 2"), id=done.id, meta={"n": Decimal("0.1")}
    ).duplicate
    with pytest.raises(gundb.EventDataError, match="takes events of the stream"):
        StockMove.append("nothing")
    order = app.models.Order.objects.create(stock_id="A-1")
    assert order.stock.place == "dock 2"


def test_nothing_is_written_as_if_it_were_a_plain_table(app: App) -> None:
    Stock = app.models.Stock
    app.models.StockMove.append(app.shop.Received(sku="B-7", qty=3))
    row = Stock.objects.get(sku="B-7")
    for attempt in (
        row.save,
        row.delete,
        lambda: Stock.objects.create(sku="x"),
        lambda: Stock.objects.filter(sku="B-7").update(on_hand=5),
        lambda: Stock.objects.all().delete(),
        lambda: app.models.StockMove.objects.bulk_create([]),
        lambda: app.models.StockMove(key="x").save(),
    ):
        with pytest.raises(gundb.ReadOnlyError, match="append an event"):
            attempt()


def test_a_model_that_is_not_unmanaged_is_found_by_the_check(app: App) -> None:
    from django.core.checks import run_checks

    from gundb.django import Router

    assert run_checks() == []
    within: dict[str, Any] = vars(app.models)
    exec(compile(FORGOTTEN, str(app.path / "models.py"), "exec"), within)
    (found,) = run_checks()
    assert found.id == "gundb.E001" and found.obj is app.models.Forgotten
    # And the router keeps migrations from it all the same.
    assert Router().allow_migrate("default", "warehouse", "forgotten") is False
    assert Router().allow_migrate("default", "warehouse", "order") is None
    assert Router().allow_migrate("default", "gundb") is False
