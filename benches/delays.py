#!/usr/bin/env python3
"""How long after its commit at the source an event was committed at the target: p50 and p99 in milliseconds.

    delays.py SOURCE TARGET

Both files have a line for each row: id, commit time in seconds.
"""

import sys


def read(path):
    with open(path, encoding="utf-8") as lines:
        return dict(line.split("\t") for line in lines if "\t" in line)


source, target = read(sys.argv[1]), read(sys.argv[2])
missing = source.keys() - target.keys()
if missing or not source:
    sys.exit(f"{len(missing)} of {len(source)} have not come")
delays = sorted((float(target[id]) - float(source[id])) * 1000 for id in source)
print(f"{delays[len(delays) // 2]:.2f} {delays[len(delays) * 99 // 100]:.2f}")
