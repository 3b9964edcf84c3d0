"""The same with sessions of asyncio: what a function returns is awaited."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import gundb
from conftest import Declared, url
from gundb import Consumer
from shop import Shop


def test_each_function_can_be_awaited(declared: Declared) -> None:
    async def main() -> None:
        engine = create_async_engine(url("paris"))
        shop = Shop(declared)
        with pytest.raises(TypeError, match="run_sync"):
            gundb.create_all(engine, shop.metadata)  # type: ignore[arg-type]
        async with engine.begin() as connection:
            await connection.run_sync(gundb.create_all, shop.metadata)
            await shop.Moves.append(connection, shop.Received(sku="A-1", qty=3))
        news = Consumer(declared.name("news"), shop.Moves)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            await news.create(session)
            sold = shop.Sold(sku="A-1", qty=1)
            (first, _) = await shop.Moves.append_all(session, [sold, sold])
            assert await shop.Moves.insert_all(session, [shop.Sold(sku="A-1", qty=1)]) == 1
            assert (await session.get_one(shop.Stock, "A-1")).on_hand == 0
            await shop.Moves.revert(session, [first.id])
            await session.commit()
            stock = (await session.scalars(select(shop.Stock))).one()
            assert stock.on_hand == 1
            assert len(await shop.Moves.read(session)) == 5
            assert len(await shop.Moves.history(session, "A-1")) == 5
            clock = await gundb.site_clock(session)
            assert await gundb.wait_for(session, clock)
            assert [row.on_hand for row in await gundb.view_at(session, shop.Stock, clock=clock)] == [1]
            assert len(await gundb.view_history(session, shop.Stock, "A-1")) == 5
            assert len(await news.consume(session, max=1)) == 1
            assert await news.lag(session) == 4
            await news.seek(session, after=clock)
            assert await news.consume(session) == []
            await news.drop(session)
            with pytest.raises(gundb.VersionConflictError):
                await shop.Moves.append(session, shop.Sold(sku="A-1", qty=1), expected_version=0)
        await engine.dispose()

    asyncio.run(main())
