#!/usr/bin/env python3
"""The binary as a whole: its size, a store of many events beside SQLite, start, idling, catching up.

    edge_whole.py BINARY DIRECTORY

DIRECTORY is on the disk that is measured. With PGHOST, PGPORT and PGDATABASE of a site that holds the stream `readings`, and
to which the role `boat` was granted everything, catching up by gRPC is compared with catching up by SQL.

GUNDB_BENCH_EVENTS (1,000,000), GUNDB_BENCH_IDLE (60 seconds); GUNDB_BENCH_RESULTS, a file to which figures are added.
"""

import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

BINARY, PLACE = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
EVENTS = int(os.environ.get("GUNDB_BENCH_EVENTS", 1_000_000))
RESULTS = os.environ.get("GUNDB_BENCH_RESULTS")
IDLE = int(os.environ.get("GUNDB_BENCH_IDLE", 60))
VIEW = '{"readings": {"fold": "count"}, "temp": {"fold": "lww", "value": "temp"}, "most": {"fold": "max", "value": "temp"}}'
MB = 1_000_000


def record(figure, round_, value):
    """For the row of report.py that names it."""
    if RESULTS:
        with open(RESULTS, "a", encoding="utf-8") as results:
            results.write(f"{figure}\t{round_}\t{value}\n")


def tell(what, figure, bar, is_met):
    print(f"{what:<58} {figure:>22}   {bar:<24} {'met' if is_met else 'NOT MET'}", flush=True)


def gundb(store, *arguments, **options):
    return subprocess.run([BINARY, "--store", store, *arguments], check=True, stdout=subprocess.PIPE, **options).stdout


def readings(count):
    numbers = random.Random(1)
    for number in range(count):
        data = {"temp": round(numbers.gauss(12, 9), 1), "humidity": numbers.randrange(100)}
        yield f"sensor-{numbers.randrange(500)}", json.dumps(data)


def append(store, stream, count):
    """Appends that many events to a stream."""
    command = [BINARY, "--store", store, "append", stream, "Read", "--lines", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as lines:
        for key, data in readings(count):
            lines.stdin.write(f'{{"key": "{key}", "data": {data}}}\n')
        lines.stdin.close()
    assert lines.returncode == 0, "an append failed"


def fill(store, count):
    """Makes a store with that many events and a view over them."""
    gundb(store, "init", "--name", store.name)
    gundb(store, "stream", "create", "readings")
    gundb(store, "view", "create", "sensors", "readings", VIEW)
    append(store, "readings", count)


def fill_sqlite(file, count):
    """The same rows and indexes, and the same view's rows, by SQLite."""
    base = sqlite3.connect(file)
    base.executescript(
        """
        PRAGMA journal_mode = off; PRAGMA synchronous = off;
        CREATE TABLE readings (site BLOB, lane TEXT, seq INTEGER, hlc INTEGER, xact INTEGER, epoch INTEGER, id BLOB, type TEXT, key TEXT,
            data TEXT, meta TEXT, salt BLOB, chain BLOB, PRIMARY KEY (site, lane, seq));
        CREATE UNIQUE INDEX by_id ON readings (id, site);
        CREATE INDEX by_key ON readings (key, hlc);
        CREATE TABLE sensors (key TEXT PRIMARY KEY, readings INTEGER, temp TEXT, most NUMERIC);
        """
    )
    site, lane, begun = os.urandom(16), "0123456789ab-0", time.time_ns() // 1_000_000 << 16

    def rows():
        for seq, (key, data) in enumerate(readings(count), 1):
            hlc, identity = begun + seq, (begun + seq).to_bytes(8, "big") + os.urandom(8)
            yield site, lane, seq, hlc, hlc, 0, identity, "Read", key, data, "{}", os.urandom(16), os.urandom(16)

    base.executemany(f"INSERT INTO readings VALUES ({', '.join('?' * 13)})", rows())
    base.execute("INSERT INTO sensors SELECT key, count(*), max(data), max(json_extract(data, '$.temp')) FROM readings GROUP BY key")
    base.commit()
    base.execute("VACUUM")
    base.close()


def streams(store):
    """The streams of a store but its own, each with the number of its events."""
    listed = [json.loads(line) for line in gundb(store, "--json", "stream", "list").splitlines()]
    return {stream["stream"]: stream["events"] for stream in listed if stream["stream"] != "gundb"}


def status(pid, word):
    """A line of /proc/PID/status, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(word + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(word)


def processor_time(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def token(name):
    file = PLACE / f"{name}.token"
    file.write_text(os.urandom(16).hex())
    file.chmod(0o600)
    return file


def listening(port, name, *more):
    return f'[listen]\naddress = "127.0.0.1:{port}"\n[[grant]]\nname = "{name}"\ntoken_file = "{token(name)}"\naccept = "any"\n' + "".join(more)


class Daemon:
    """`gundb run`, from its start until it listens."""

    def __init__(self, store, port, *more):
        begun = time.monotonic()
        self.process = subprocess.Popen([BINARY, "--store", store, "run", *more], stderr=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.05).close()
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < begun + 30, "the daemon does not listen"
                time.sleep(0.001)
        self.took = time.monotonic() - begun

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def catch_up(store, url, *flows):
    """A store takes in all that a peer has and that flows. How long it took, and the most memory that it had."""
    gundb(store, "init", "--name", store.name)
    gundb(store, "peer", "add", "there", url, *flows)
    begun = time.monotonic()
    sync = subprocess.Popen([BINARY, "--store", store, "sync", "--once", "there"], stdout=subprocess.DEVNULL)
    most = 0
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.02):
            try:
                most = max(most, status(sync.pid, "VmHWM"))
            except (OSError, KeyError):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    sync.wait()
    took = time.monotonic() - begun
    done.set()
    watcher.join()
    assert sync.returncode == 0, "sync failed"
    return took, most


def main():
    stripped = PLACE / "stripped"
    subprocess.run(["strip", "-o", stripped, BINARY], check=True)
    size = stripped.stat().st_size
    tell("the binary, stripped", f"{size / MB:.1f} MB", "≤ 20 MB", size <= 20 * MB)
    record("edge-binary", 1, size / MB)

    many = PLACE / "many"
    begun = time.monotonic()
    fill(many, EVENTS)
    took = time.monotonic() - begun
    print(f"{EVENTS:,} events from JSON lines, with a view of 500 rows: {EVENTS / took:,.0f}/s")
    gundb(many, "compact")
    fill_sqlite(PLACE / "sqlite", EVENTS)
    ours, theirs = (many / "gundb.redb").stat().st_size, (PLACE / "sqlite").stat().st_size
    tell("… compacted, beside SQLite", f"{ours / MB:.0f} MB, {ours / theirs:.2f} of {theirs / MB:.0f} MB", "≤ 1.50", ours <= 1.5 * theirs)
    record("edge-bytes", 1, ours / MB)
    record("sqlite-bytes", 1, theirs / MB)

    port = free_port()
    (many / "gundb.toml").write_text(listening(port, "reader"))
    starts = []
    for _ in range(5):
        with Daemon(many, port) as daemon:
            starts.append(daemon.took)
    start = sorted(starts)[2]
    tell("gundb run on them: from its start until it listens", f"{start * 1000:.0f} ms", "≤ 100 ms", start <= 0.1)
    for round_, took in enumerate(starts, 1):
        record("edge-start", round_, took * 1000)
    with Daemon(many, port) as daemon:
        pid = daemon.process.pid
        time.sleep(5)
        before = processor_time(pid)
        time.sleep(IDLE)
        busy = (processor_time(pid) - before) / IDLE
        memory = status(pid, "VmRSS")
        tell(f"… idle for {IDLE} s: resident memory", f"{memory / MB:.1f} MB", "≤ 24 MB", memory <= 24 * MB)
        record("edge-idle-memory", 1, memory / MB)
        tell("… idle: processor time", f"{busy:.3%}", "≤ 0.1 %", busy <= 0.001)
        record("edge-idle-cpu", 1, busy * 100)
        took, most = catch_up(PLACE / "late", f"grpc://127.0.0.1:{port}?tokenfile={PLACE / 'reader.token'}")
        tell(f"another takes all of them in, by gRPC, at {EVENTS / took:,.0f}/s", f"{most / MB:.1f} MB", "≤ 64 MB", most <= 64 * MB)
        record("edge-catchup-memory", 1, most / MB)
        assert gundb(PLACE / "late", "digest") == gundb(many, "digest"), "both hold the same"

    # A device that returns: it pushes what it read, pulls the configuration, and gets nothing of what others read.
    own, device = 1_000, PLACE / "device"
    gundb(many, "stream", "create", "configuration")
    append(many, "configuration", EVENTS)
    gundb(device, "init", "--name", "device")
    gundb(device, "stream", "create", "readings")
    append(device, "readings", own)
    with Daemon(many, port):
        url = f"grpc://127.0.0.1:{port}?tokenfile={PLACE / 'reader.token'}"
        took, most = catch_up(device, url, "--push", "readings", "--pull", "configuration")
        held = [streams(store) for store in (many, device)]
        assert held[0] == {"readings": EVENTS + own, "configuration": EVENTS}, held[0]
        assert held[1] == {"readings": own, "configuration": EVENTS}, held[1]
        assert gundb(device, "digest", "configuration") == gundb(many, "digest", "configuration"), "both hold the same"
        what = f"a device takes in {EVENTS:,} of another stream alone, at {EVENTS / took:,.0f}/s"
        tell(what, f"{most / MB:.1f} MB", "≤ 64 MB", most <= 64 * MB)
        record("edge-device-memory", 1, most / MB)

    if os.environ.get("PGHOST"):
        postgres = f"{os.environ['PGHOST'].replace('/', '%2F')}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
        port = free_port()
        config = PLACE / "relay.toml"
        config.write_text(listening(port, "relayed", 'role = "boat"\n'))
        rates = []
        with Daemon(f"postgres://boat@{postgres}", port, "--config", config):
            for turn in range(3):
                by_sql, _ = catch_up(PLACE / f"sql-{turn}", f"postgres://boat@{postgres}")
                by_grpc, _ = catch_up(PLACE / f"grpc-{turn}", f"grpc://127.0.0.1:{port}?tokenfile={PLACE / 'relayed.token'}")
                of_both = [gundb(PLACE / f"{way}-{turn}", "digest", "readings") for way in ("sql", "grpc")]
                assert of_both[0] == of_both[1], "both hold the same"
                rates.append(by_sql / by_grpc)
                record("edge-grpc", turn + 1, 1 / by_grpc)
                record("edge-sql", turn + 1, 1 / by_sql)
                shutil.rmtree(PLACE / f"sql-{turn}")
                shutil.rmtree(PLACE / f"grpc-{turn}")
        ratio = sorted(rates)[1]
        spread = f"{ratio:.2f} ({min(rates):.2f}–{max(rates):.2f})"
        tell("catching up with a PostgreSQL site by gRPC, beside SQL", spread, "≥ 0.80", ratio >= 0.8)


main()
