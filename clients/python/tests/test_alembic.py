"""Alembic's autogenerate on a site proposes nothing for what is gundb's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, text

import gundb
from conftest import Declared, new_site, url
from gundb.alembic import hooks
from shop import Shop


@pytest.fixture(scope="module")
def site() -> Iterator[Engine]:
    with new_site("alembic") as engine:
        shop = Shop(Declared())
        gundb.create_all(engine, shop.metadata)
        with engine.begin() as connection:
            shop.Moves.append(connection, shop.Received(sku="A-1", qty=1))
            connection.execute(text("CREATE SCHEMA elsewhere"))
            # By SQL, without a class here, and out of sight.
            connection.execute(text("SELECT gundb.create_stream('by_sql')"))
            connection.execute(text("SELECT gundb.create_stream('hidden', as_table => 'elsewhere.hidden')"))
            connection.execute(
                text("""SELECT gundb.create_view('elsewhere.counts', 'hidden', '{"n": {"fold": "count"}}')""")
            )
            connection.execute(text("CREATE TABLE old (id int PRIMARY KEY)"))
            connection.execute(text("CREATE TABLE elsewhere.old (id int PRIMARY KEY)"))
        yield engine


def differences(connection: Connection, metadata: Any, schemas: bool = True, **options: Any) -> list[tuple[str, str]]:
    context = MigrationContext.configure(connection, opts={"include_schemas": schemas, **options})
    found = compare_metadata(context, metadata)
    return sorted((kind, table.fullname) for kind, table in found if "table" in kind)


# Without the hooks gundb's own tables are looked at.
@pytest.mark.filterwarnings("ignore:Did not recognize type 'regrole'")
def test_nothing_of_gundb_is_created_or_dropped(site: Engine) -> None:
    ours = MetaData()
    Table("new", ours, Column("id", Integer, primary_key=True))
    with site.connect() as connection:
        given = hooks(connection)
        expected = [("add_table", "new"), ("remove_table", "elsewhere.old"), ("remove_table", "old")]
        assert differences(connection, ours, **given) == expected
        assert differences(connection, ours, schemas=False, **given) == [expected[0], expected[2]]
        # Declared streams and views beside one's own tables: they are not created either.
        declared = Shop(Declared()).metadata
        assert differences(connection, [ours, declared], **given) == expected
        assert differences(connection, [ours, declared], **hooks(None))[:1] == expected[:1]
        # Without the hooks Alembic would drop events: that is what they are for.
        assert ("remove_table", "by_sql") in differences(connection, ours)


def test_hooks_of_your_own_are_asked_about_the_rest(site: Engine) -> None:
    asked: list[str | None] = []

    def include_name(name: str | None, type_: str, parents: Any) -> bool:
        return name != "elsewhere"

    def include_object(thing: Any, name: str | None, type_: str, reflected: bool, other: Any) -> bool:
        asked.append(name)
        return name != "old"

    with site.connect() as connection:
        given = hooks(connection, include_name=include_name, include_object=include_object)
        assert differences(connection, MetaData(), **given) == []
    assert asked == ["old"]


ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, NullPool, Table, create_engine
from gundb.alembic import hooks

metadata = MetaData()
Table("new", metadata, Column("id", Integer, primary_key=True))
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, include_schemas=True, **hooks(connection))
    with context.begin_transaction():
        context.run_migrations()
"""


def test_a_revision_that_alembic_writes_leaves_gundb_alone(site: Engine, tmp_path: Path) -> None:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("sqlalchemy.url", url("alembic"))
    config.config_file_name = str(tmp_path / "alembic.ini")
    command.init(config, str(tmp_path / "migrations"))
    (tmp_path / "migrations" / "env.py").write_text(ENV)
    revision = command.revision(config, autogenerate=True)
    assert isinstance(revision, Script)
    written = Path(revision.path).read_text()
    upgrade = written[written.index("def upgrade") : written.index("def downgrade")]
    assert sorted(re.findall(r"op\.(\w+)\(\s*['\"](\w+)", upgrade)) == [
        ("create_table", "new"),
        ("drop_table", "old"),
        ("drop_table", "old"),
    ]
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")


def test_a_database_that_is_no_site_has_nothing_of_gundb() -> None:
    engine = create_engine(url("postgres"))
    with engine.connect() as connection:
        assert differences(connection, MetaData(), **hooks(connection)) == []
    engine.dispose()
