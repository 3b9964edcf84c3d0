"""A stream with its events and a view, declared anew for each test that asks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Mapped

import gundb
from conftest import Declared
from gundb import fold, key_column


class Shop:
    """What a test works with. (Any: the classes are made here, and no checker knows them.)"""

    Moves: Any
    Received: Any
    Sold: Any
    Labelled: Any
    Unlabelled: Any
    Stock: Any

    def __init__(self, declared: Declared) -> None:
        class Moves(declared.Streams):  # type: ignore[name-defined,misc]
            __streamname__ = declared.name("stock_moves")
            __key__ = "sku"

        class Move(gundb.Event):
            sku: str

        class Received(Move, stream=Moves):
            qty: int
            place: str | None = None

        class Sold(Move, stream=Moves):
            qty: int

        class Labelled(Move, stream=Moves):
            label: str

        class Unlabelled(Move, stream=Moves):
            label: str

        class Stock(declared.Views):  # type: ignore[name-defined,misc]
            __viewname__ = declared.name("stock")
            __stream__ = Moves

            sku: Mapped[str] = key_column()
            on_hand: Mapped[Decimal] = fold.sum({Received: "qty", Sold: "-qty"})
            place: Mapped[str | None] = fold.lww("place")
            labels: Mapped[list[str]] = fold.set({Labelled: "label"}, remove={Unlabelled: "label"})

        self.metadata = declared.metadata
        self.Moves, self.Received, self.Sold, self.Stock = Moves, Received, Sold, Stock
        self.Labelled, self.Unlabelled = Labelled, Unlabelled
