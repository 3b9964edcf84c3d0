#!/usr/bin/env python3
"""Rows a second that become visible in a table, from the first new one seen to the last.

    caught_up.py TABLE BEFORE NEW

BEFORE rows are there already, NEW are to come. Counting goes through psql, in a session that stays.
"""

import subprocess
import sys
import time

PATIENCE_S = 300

table, before, new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
psql.stdin.write("SET enable_seqscan = off; SET max_parallel_workers_per_gather = 0;\n")


def count():
    # Only what is new: counting all of it would take a part of what is measured.
    psql.stdin.write(f"SELECT n_live_tup FROM (SELECT count(*) AS n_live_tup FROM {table}) AS c;\n")
    psql.stdin.flush()
    return int(psql.stdout.readline())


start = time.monotonic()
first, seen_first, seen = None, 0, before
while seen < before + new:
    if time.monotonic() - start > PATIENCE_S:
        sys.exit(f"only {seen - before} of {new} came within {PATIENCE_S} s")
    seen = count()
    if seen > before and first is None:
        first, seen_first = time.monotonic(), seen
    time.sleep(0.05 if first else 0.005)
last = time.monotonic()
# One look may see all of it, as when it was one transaction: then the time since the start counts.
if seen_first >= before + new:
    print(f"{new / (last - start):.1f}")
else:
    print(f"{(before + new - seen_first) / (last - first):.1f}")
