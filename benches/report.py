#!/usr/bin/env python3
"""Prints the table of figures.

    report.py SIZES RESULTS ...

RESULTS have a line for each measurement (figure, round, value); SIZES one for each part of a row's bytes (table, part,
what, bytes). A ratio is the median of the rounds' ratios: each compares two figures that were measured side by side.
What was not measured has no row.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from statistics import median


@dataclass
class Row:
    """A row of the table: a figure against its rival's."""

    title: str
    figure: str
    rival: str | None = None
    rival_name: str = "plain table"
    unit: str = "/s"
    bar: float | None = None
    # The most that the figure itself may be, whatever the rival's.
    most: float | None = None

    # The bar is the most that the ratio may be, as for bytes.
    at_most: bool = False

    # Events a second: more is better, and the bar is the least. Milliseconds: turned round. Bytes: the bar is the most.
    def ratio(self, figure, rival):
        return rival / figure if self.unit == " ms" and not self.at_most else figure / rival

    def bar_text(self):
        if self.most is not None:
            return f"≤ {self.most:g}{self.unit}"
        if self.bar is None:
            return "–"
        return f"{'≤' if self.at_most else '≥'} {self.bar:.2f}"

    def verdict(self, ratio, figure):
        if self.most is not None:
            return "met" if figure <= self.most else "NOT MET"
        if self.bar is None:
            return "–"
        met = ratio <= self.bar if self.at_most else ratio >= self.bar
        return "met" if met else "NOT MET"


def shown(value):
    """Without digits that mean nothing."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def clients(n):
    return f"{n} client{'s' if n > 1 else ''}"


ROWS = [
    *(Row(f"INSERT of one event, {clients(n)}", f"insert-{n}", f"plain-{n}", bar=0.85) for n in (1, 8, 32)),
    *(Row(f"append() of one event, {clients(n)}", f"append-{n}", f"plain-{n}", bar=0.75) for n in (1, 8, 32)),
    Row("INSERT … SELECT", "bulk-gundb", "bulk-plain", bar=0.8),
    Row("COPY … FROM", "copy-gundb", "copy-plain", bar=0.7),
    Row("with a JSON Schema: INSERT of one, 8 clients", "schema-8", "plain-8", bar=0.6),
    Row("with a JSON Schema: INSERT … SELECT", "bulk-schema", "bulk-plain", bar=0.6),
    *(
        Row(f"INSERT of one event, a view maintained, {clients(n)}", f"view-single-{n}", f"hand-single-{n}", "row trigger", bar=1.0)
        for n in (1, 8)
    ),
    Row("INSERT … SELECT, a view maintained", "view-gundb", "view-hand", "row trigger", bar=5.0),
    Row("rebuild_view()", "rebuild-gundb", "rebuild-plain", "GROUP BY", bar=0.5),
    *(
        Row(f"INSERT of one event, a reducer view, {clients(n)}", f"reducer-single-{n}", f"reducer-hand-single-{n}", "row trigger")
        for n in (1, 8)
    ),
    Row("INSERT … SELECT, a reducer view", "reducer-gundb", "reducer-hand", "row trigger"),
    Row("storage of an event", "storage-hot", "storage-simple", "simple table", unit=" B", bar=1.5, at_most=True),
    Row("read(), pages of 1,000", "log-gundb", "log-plain", "ordered SELECT", bar=0.4),
    Row("appends over many streams, 8 clients", "streams-many", "streams-one", "one stream", bar=0.9),
    Row("start to first append, many events", "startup-full", "startup-none", "no events", unit=" ms", bar=0.8),
    # Between two sites (replication.sh).
    Row("catching up on transactions of one event", "catchup-gundb", "catchup-native", "logical replication", bar=2.0),
    Row("catching up on one large transaction", "catchup-bulk-gundb", "catchup-bulk-native", "logical replication", bar=1.0),
    Row("…of one event, a view of three columns there", "catchup-view-gundb", "catchup-view-native", "logical replication", bar=1.0),
    Row("catching up, a round trip of 200 ms", "delayed-gundb", "delayed-none", "on loopback", bar=0.8),
    Row("visible there after commit, 200 a second, p50", "live-p50-gundb", "live-p50-native", "logical replication", " ms", most=5),
    Row("visible there after commit, 200 a second, p99", "live-p99-gundb", "live-p99-native", "logical replication", " ms", most=25),
    Row("appends with a live peer, 8 clients", "local-live-gundb", "local-none-gundb", "no peer", bar=0.85),
    Row("appends with three peers that do not answer, 8 clients", "local-silent-gundb", "local-alone-gundb", "no peer", bar=0.97),
    Row("inserts with a live subscription, 8 clients", "local-live-native", "local-none-native", "no subscription"),
    Row("p99 of an append beside a peer that does not answer", "hung-silent", "hung-alone", "no peer", " ms", bar=1.2, at_most=True),
    Row("bytes exchanged in a mesh of five", "mesh-bytes", "star-bytes", "a star", " B", bar=1.3, at_most=True),
    Row("processor time of the worker, idle, three peers", "idle-cpu", unit=" %", most=0.1),
    Row("private memory of the worker, idle, three peers", "idle-memory", unit=" MiB", most=64),
    *(
        Row(f"catching up on {what}, beside pglogical", f"{figure}-gundb", f"{figure}-pglogical", "pglogical")
        for what, figure in (("transactions of one event", "catchup"), ("one large transaction", "catchup-bulk"))
    ),
    # CRDT values (crdt.sh).
    *(
        Row(f"{name} over 1,000,000 rows", f"crdt {table} {call}", f"crdt {table} sum(n)", "sum(numeric)", unit=" ms", bar=bar)
        for name, table, call, bar in (
            ("merge(gcounter), 1 site each", "one", "gundb.merge(c)", 0.3),
            ("merge(gcounter), 3 sites each", "three", "gundb.merge(c)", 0.3),
            ("merge(pncounter), 1 site each", "one", "gundb.merge(p)", 0.3),
            ("merge(set), 1 add each", "one", "gundb.merge(s)", None),
        )
    ),
    # The edge node (edge.sh).
    Row("edge: an append, durable, one writer", "edge-single", "redb-single", "bare redb", bar=0.8),
    Row("edge: appends, durable, 64 writers", "edge-64", "edge-single", "one writer", bar=10),
    Row("edge: batches of 1,000", "edge-batch", "redb-batch", "bare redb with index entries", bar=0.4),
    Row("edge: batches of 1,000, a view maintained", "edge-batch-view", "edge-batch", "no view"),
    Row("edge: catching up with a PostgreSQL site by gRPC", "edge-grpc", "edge-sql", "by SQL", bar=0.8),
    Row("edge: a store of many events with a view, compacted", "edge-bytes", "sqlite-bytes", "SQLite", unit=" MB", bar=1.5, at_most=True),
    Row("edge: the binary, stripped", "edge-binary", unit=" MB", most=20),
    Row("edge: gundb run, from its start until it listens", "edge-start", unit=" ms", most=100),
    Row("edge: idle, resident memory", "edge-idle-memory", unit=" MB", most=24),
    Row("edge: idle, processor time", "edge-idle-cpu", unit=" %", most=0.1),
    Row("edge: taking many events in, resident memory", "edge-catchup-memory", unit=" MB", most=64),
    Row("edge: a device taking in one of two streams, memory", "edge-device-memory", unit=" MB", most=64),
    # What no bar stands for, and what explains the rows above.
    Row("not waiting for the disk: INSERT of one, 8 clients", "insert-8_off", "plain-8_off"),
    Row("not waiting for the disk: append() of one, 8 clients", "append-8_off", "plain-8_off"),
    Row("read(), pages of 1,000, in the server alone", "log-server-gundb", "log-server-plain", "ordered SELECT"),
    Row("read(), pages of 1,000, 120 lanes", "lanes-gundb", "lanes-plain", "ordered SELECT"),
    Row("first append of each of 8 clients to each of many streams", "streams-first", "tables-first", "plain tables"),
    Row("plain INSERTs over many plain tables, 8 clients", "tables-many", "tables-one", "one table"),
    Row("start to first append, many streams", "startup-many", "startup-none", "no events", unit=" ms"),
    *(Row(f"one lock a stream, no gundb, {clients(n)}", f"lock-{n}", f"plain-{n}") for n in (8, 32)),
]

HEADINGS = ["row", "figure", "rival", "ratio", "spread", "bar", ""]


def read_results(paths):
    """Figure -> round -> value."""
    results = defaultdict(dict)
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                figure, round_, value = line.rstrip("\n").split("\t")
                results[figure][int(round_)] = float(value)
    return results


def cells(row, results):
    figure = results[row.figure]
    if row.rival is None:
        value = median(figure.values())
        return [row.title, f"{shown(value)}{row.unit}", "–", "–", "–", row.bar_text(), row.verdict(None, value)]
    rival = results[row.rival]
    ratios = [row.ratio(figure[round_], rival[round_]) for round_ in figure.keys() & rival.keys()]
    ratio = median(ratios)
    return [
        row.title,
        f"{shown(median(figure.values()))}{row.unit}",
        f"{row.rival_name} {shown(median(rival.values()))}{row.unit}",
        f"{ratio:.2f}",
        f"{min(ratios):.2f}–{max(ratios):.2f}" if len(ratios) > 1 else "–",
        row.bar_text(),
        row.verdict(ratio, median(figure.values())),
    ]


def print_table(headings, rows):
    """As Markdown, the columns aligned."""
    widths = [max(len(line[i]) for line in [headings, *rows]) for i in range(len(headings))]
    for line in [headings, ["-" * width for width in widths], *rows]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")


def print_sizes(path):
    """The bytes of an event, beside those of a row of the simple table."""
    bytes_of = defaultdict(dict)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            table, part, what, size = line.rstrip("\n").split("\t")
            # Indexes have no counterparts over there, so each table's are listed.
            bytes_of[(part, what)][table] = float(size)
    if not bytes_of:
        return
    show = lambda sizes, table: f"{sizes[table]:.1f}" if table in sizes else "–"
    rows = []
    for part in ("column", "overhead", "index"):
        for (found, what), sizes in bytes_of.items():
            if found == part:
                name = what if part == "overhead" else f"{part} {what}"
                rows.append([name, show(sizes, "hot"), show(sizes, "simple")])
    total = {table: sum(sizes.get(table, 0) for sizes in bytes_of.values()) for table in ("hot", "simple")}
    rows.append(["total", show(total, "hot"), show(total, "simple")])
    print()
    print_table(["bytes of an event", "stream", "simple table"], rows)


def main():
    results = read_results(sys.argv[2:])
    rows = [cells(row, results) for row in ROWS if row.figure in results and (row.rival is None or row.rival in results)]
    print_table(HEADINGS, rows)
    print_sizes(sys.argv[1])


main()
