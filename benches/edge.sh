#!/usr/bin/env bash
# The edge node: its store beside bare redb, and the binary as a whole. Both are built as the binary is shipped.
#
#   edge.sh [store] [whole]
#
#   GUNDB_BENCH_DIRECTORY   where the files lie (target/bench): a disk, since in memory a commit costs nothing
#   GUNDB_BENCH_SECONDS     of store: how long each figure takes (3)
#   GUNDB_BENCH_EVENTS      of whole: events in a store (1,000,000)
#   GUNDB_BENCH_IDLE        of whole: seconds idle (60)
#
# store: durable appends of one writer and of 64, batches, batches with a view. whole: the binary's size, a store's beside
# SQLite's, start, idling, catching up; where target/pg/15 has gundb, catching up with a PostgreSQL site by gRPC beside SQL.
set -euo pipefail
cd "$(dirname "$0")/.."

(($#)) || set -- store whole
place=${GUNDB_BENCH_DIRECTORY:-$PWD/target/bench}
mkdir -p "$place"
for part; do
    case $part in
        store)
            GUNDB_BENCH_DIRECTORY=$place cargo bench --quiet --profile binary -p gundb-node --bench edge
            ;;
        whole)
            cargo build --quiet --profile binary -p gundb-node
            # shellcheck source=tests/cluster.sh
            source tests/cluster.sh
            files=$(mktemp -d "$place/edge.XXXXXX")
            trap 'rm -rf "$files"; cluster_stop_all' EXIT
            if [[ -e target/pg/15/share/extension/gundb.control || -e $(target/pg/15/bin/pg_config --sharedir 2>/dev/null)/extension/gundb.control ]]; then
                cluster_start shore 15 fsync=on
                cluster_use shore
                export PGDATABASE=postgres
                psql -X -q -v ON_ERROR_STOP=1 >/dev/null <<'SQL'
CREATE EXTENSION gundb;
SELECT gundb.create_stream('readings');
CREATE ROLE boat LOGIN;
SELECT gundb.grant_peer('boat', accept => 'any');
INSERT INTO readings (type, key, data)
SELECT 'Read', 'sensor-' || n % 500, jsonb_build_object('temp', n % 400 / 10.0, 'humidity', n % 100) FROM generate_series(1, 200000) n;
SQL
            fi
            python3 benches/edge_whole.py target/binary/gundb "$files"
            ;;
        *)
            sed -n '4s/^# *//p' "$0" >&2
            exit 2
            ;;
    esac
done
