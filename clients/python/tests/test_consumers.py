"""Consumers: a place that moves in the transaction that consumes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

import gundb
from conftest import Declared
from gundb import Consumer, ConsumerChangedError
from shop import Shop


@pytest.fixture
def shop(paris: Engine, declared: Declared) -> Shop:
    shop = Shop(declared)
    gundb.create_all(paris, shop.metadata)
    return shop


def test_what_is_consumed_is_consumed_when_the_transaction_commits(
    session: Session, shop: Shop, declared: Declared
) -> None:
    billing = Consumer(declared.name("billing"), shop.Moves, types=[shop.Sold])
    billing.create(session)
    billing.create(session)
    shop.Moves.append_all(session, [shop.Received(sku="A-1", qty=3), shop.Sold(sku="A-1", qty=1)])
    session.commit()
    assert billing.lag(session) == 2
    assert [one.event for one in billing.consume(session)] == [shop.Sold(sku="A-1", qty=1)]
    session.rollback()
    (sold,) = billing.consume(session, wait=60)
    session.commit()
    assert sold.event == shop.Sold(sku="A-1", qty=1) and sold.next is not None
    assert (billing.consume(session), billing.consume(session, wait=0.01), billing.lag(session)) == ([], [], 0)
    billing.seek(session)
    assert billing.consume(session, max=1) == [sold]
    billing.seek(session, "end")
    assert billing.consume(session) == []
    session.commit()
    with pytest.raises(ConsumerChangedError, match="is declared to read"):
        Consumer(billing.name, shop.Moves).create(session)
    billing.drop(session)
    with pytest.raises(gundb.NoSuchConsumerError):
        billing.consume(session)


def test_who_waits_is_woken_by_a_commit(paris: Engine, session: Session, shop: Shop, declared: Declared) -> None:
    news = Consumer(declared.name("news"), shop.Moves, start="end")
    news.create(session)
    session.commit()
    got: list[Any] = []

    def wait() -> None:
        with Session(paris) as waiting, waiting.begin():
            got.extend(news.consume(waiting, wait=30))

    waiter = threading.Thread(target=wait)
    waiter.start()
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    session.commit()
    waiter.join(30)
    assert [one.event for one in got] == [shop.Received(sku="A-1", qty=3)]


def test_a_consumer_may_read_all_streams(session: Session, shop: Shop, declared: Declared) -> None:
    clock = gundb.site_clock(session)
    everything = Consumer(declared.name("everything"), metadata=shop.metadata)
    everything.create(session, after=clock)
    shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
    (one,) = everything.consume(session)
    assert one.event == shop.Received(sku="A-1", qty=3) and one.stream == shop.Moves.__streamname__
    everything.drop(session)
