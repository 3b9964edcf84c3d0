"""Django's inspectdb, but that it leaves out the tables of streams and views, unless they are asked for by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.commands import inspectdb
from django.db import connections

from gundb.tables import IS_SITE, TABLES


class Command(inspectdb.Command):
    def handle_inspection(self, options: dict[str, Any]) -> Iterator[str]:
        if not options["table"]:
            ours = _tables(options["database"])
            wanted = options.get("table_name_filter") or (lambda name: True)
            options["table_name_filter"] = lambda name: name not in ours and wanted(name)
        yield from super().handle_inspection(options)


def _tables(database: str) -> set[str]:
    connection = connections[database]
    if connection.vendor != "postgresql":
        return set()
    with connection.cursor() as cursor:
        cursor.execute(IS_SITE)
        if not cursor.fetchone()[0]:
            return set()
        cursor.execute(TABLES)
        return {name for _, name, _, visible in cursor.fetchall() if visible}
