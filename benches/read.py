#!/usr/bin/env python3
"""Reads events in order through psql, as a client does, and prints how many a second arrived.

    read.py gundb STREAM EVENTS     gundb.read, page after page of 1,000
    read.py plain TABLE EVENTS      one ordered SELECT of a plain table, fetched 1,000 rows at a time

EVENTS is how many there must be. Both go through the same code here: only the statements differ.
"""

import subprocess
import sys
import time

PAGE = 1000
END = b"-- end --\n"
FIELD = "\x1f"


class Session:
    """psql, told what to run on its standard input, read until it says that it is through."""

    def __init__(self):
        command = ["psql", "-X", "-q", "-A", "-t", "-F", FIELD, "-v", "ON_ERROR_STOP=1"]
        self.psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def run(self, commands):
        """The rows that the commands print, as lines in one piece of bytes."""
        self.psql.stdin.write(f"{commands}\n\\echo {END.decode()}".encode())
        printed = bytearray()
        while not printed.endswith(END):
            chunk = self.psql.stdout.read(1 << 16)
            if not chunk:
                sys.exit("psql ended early")
            printed += chunk
        return bytes(printed[: -len(END)])


def read_gundb(session, stream):
    """Yields pages."""
    after = "{}"
    while True:
        page = session.run(f"SELECT * FROM gundb.read('{stream}', '{after}', {PAGE});")
        if not page:
            return
        yield page
        after = page[page.rindex(FIELD.encode()) + 1 : -1].decode()


def read_plain(session, table):
    """Yields the rows in one piece. Its dot is three columns, and its place in the order is its hlc."""
    yield session.run(
        f"\\set FETCH_COUNT {PAGE}\n"
        f"SELECT '{table}', site, lane, seq, hlc, xact, id, type, key, data, meta FROM {table} ORDER BY hlc;"
    )


def main():
    kind, name, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
    session = Session()
    session.run("SELECT 1;")
    begin = time.monotonic()
    events = sum(part.count(b"\n") for part in {"gundb": read_gundb, "plain": read_plain}[kind](session, name))
    seconds = time.monotonic() - begin
    if events != wanted:
        sys.exit(f"read {events} events instead of {wanted}")
    print(f"{events / seconds:.1f}")


main()
