"""Sites on the server that GUNDB_TEST_DSN names (tests/python.sh starts it).

Most tests share paris, and each declares streams of names that no other test has. What wants a database of its own
makes one. All stay until the server goes.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

import gundb

NUMBERS = itertools.count(time.time_ns() // 10**7 % 10**9)


class Declared:
    """Declarations of one test, apart from those of others: bases to derive from, and names."""

    def __init__(self, number: int | None = None) -> None:
        self.number = next(NUMBERS) if number is None else number
        self.metadata = gundb.SiteMetaData()

        class Streams(gundb.EventStream):
            __abstract__ = True
            metadata = self.metadata

        class Views(gundb.View):
            __abstract__ = True
            metadata = self.metadata

        self.Streams = Streams
        self.Views = Views

    def name(self, name: str) -> str:
        return f"{name}_{self.number}"

    def again(self) -> Declared:
        """Other declarations of the same names: the next version of the program."""
        return Declared(self.number)


def url(database: str) -> str:
    return os.environ["GUNDB_TEST_DSN"] + "/" + database


@contextmanager
def new_site(name: str) -> Iterator[Engine]:
    """A database of its own that is a site."""
    server = create_engine(url("postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    server.dispose()
    engine = create_engine(url(name))
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION gundb"))
        connection.execute(text("SELECT gundb.set_site_name(:name)"), {"name": name})
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def paris() -> Iterator[Engine]:
    with new_site("paris") as engine:
        yield engine


@pytest.fixture
def session(paris: Engine) -> Iterator[Session]:
    with Session(paris) as session:
        yield session


@pytest.fixture
def declared() -> Declared:
    return Declared()
