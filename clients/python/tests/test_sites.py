"""Two sites: what was written at one is read at the other, once it has come."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.orm import Session

import gundb
from conftest import Declared, new_site, url
from gundb import wait_for
from shop import Shop


class Sites:
    def __init__(self, here: Engine, there: Engine) -> None:
        self.here, self.there = here, there


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    with new_site("rome") as here, new_site("oslo") as there:
        with there.begin() as connection:
            connection.execute(text("DROP ROLE IF EXISTS from_rome"))
            connection.execute(text("CREATE ROLE from_rome LOGIN"))
            connection.execute(text("SELECT gundb.grant_peer('from_rome', accept => 'any')"))
        with here.begin() as connection:
            peer = make_url(url("oslo")).set(drivername="postgres", username="from_rome")
            connection.execute(text("SELECT gundb.add_peer('oslo', :url)"), {"url": str(peer)})
        yield Sites(here, there)


def test_a_user_reads_their_writes_wherever_they_go(sites: Sites, declared: Declared) -> None:
    here, there = Shop(declared), Shop(declared.again())
    gundb.create_all(sites.here, here.metadata)
    gundb.create_all(sites.there, there.metadata)
    with Session(sites.here) as session:
        here.Moves.append(session, here.Received(sku="A-1", qty=3))
        session.commit()
        clock = gundb.site_clock(session)
    with Session(sites.there) as session:
        assert wait_for(session, clock, timeout=30)
        assert session.get_one(there.Stock, "A-1").on_hand == 3
        there.Moves.append(session, there.Sold(sku="A-1", qty=1), depends_on=clock)
        session.commit()
        clock = gundb.site_clock(session)
    with Session(sites.here) as session:
        assert wait_for(session, clock, timeout=30)
        assert session.get_one(here.Stock, "A-1").on_hand == 2
        assert wait_for(session, gundb.site_clock(session), peer="oslo", timeout=30)


def test_what_has_not_come_is_not_waited_for_longer_than_said(sites: Sites, declared: Declared) -> None:
    shop = Shop(declared)
    gundb.create_all(sites.here, shop.metadata)
    with sites.here.begin() as connection:
        connection.execute(text("SELECT gundb.pause_peer('oslo')"))
    with Session(sites.here) as session:
        shop.Moves.append(session, shop.Received(sku="A-1", qty=3))
        session.commit()
        clock = gundb.site_clock(session)
    try:
        with Session(sites.there) as session:
            assert wait_for(session, clock, timeout=0.1) is False
            session.rollback()
            gundb.create_all(session, Shop(declared.again()).metadata)
            with pytest.raises(gundb.NotHeldError):
                shop.Moves.append(session, shop.Sold(sku="A-1", qty=1), depends_on=clock)
    finally:
        with sites.here.begin() as connection:
            connection.execute(text("SELECT gundb.resume_peer('oslo')"))
