#!/usr/bin/env bash
# Every benchmark, and one table of all their ratios, each with its bar: `make bench` builds and calls this. It takes about
# half an hour on two cores once everything is built; with BENCH_QUICK=1 a few, and the figures then mean nothing.
#
#   all.sh
#
#   BENCH_ROUNDS=3     rounds of each row, interleaved
#   BENCH_IDLE=60      seconds of the rows that measure idling
#
# Nothing else may load the machine meanwhile. The table also goes to target/bench/all.md.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly out=$PWD/target/bench
export BENCH_ROUNDS=${BENCH_ROUNDS-3} BENCH_SECONDS=${BENCH_SECONDS-2} BENCH_IDLE=${BENCH_IDLE-60}
export GUNDB_BENCH_RESULTS=$out/edge.tsv GUNDB_BENCH_ROUNDS=$BENCH_ROUNDS GUNDB_BENCH_SECONDS=$BENCH_SECONDS
export GUNDB_BENCH_EVENTS=${GUNDB_BENCH_EVENTS-1000000} GUNDB_BENCH_IDLE=$BENCH_IDLE
values=1000000
if [[ ${BENCH_QUICK-} == 1 ]]; then
    BENCH_ROUNDS=1 BENCH_SECONDS=1 BENCH_IDLE=5 GUNDB_BENCH_ROUNDS=1 GUNDB_BENCH_SECONDS=1 GUNDB_BENCH_EVENTS=20000 GUNDB_BENCH_IDLE=5
    values=20000
fi
mkdir -p "$out"
rm -f "$GUNDB_BENCH_RESULTS"

part() {
    printf '\n=== %s, at %d s\n' "$*" "$SECONDS" >&2
    "$@" >"$out/part.log" || { tail -n 20 "$out/part.log" >&2; return 1; }
}
part benches/run.sh
part benches/replication.sh
part benches/crdt.sh "$values"
part benches/edge.sh

{
    printf '%s, %d cores, %d rounds, %d minutes\n\n' "$(target/pg/15/bin/postgres --version)" "$(nproc)" "$BENCH_ROUNDS" "$((SECONDS / 60))"
    [[ ${BENCH_QUICK-} != 1 ]] || printf 'BENCH_QUICK: too small and too short; the figures mean nothing.\n\n'
    benches/report.py "$out/sizes.tsv" "$out/results.tsv" "$out/replication.tsv" "$GUNDB_BENCH_RESULTS"
} | tee "$out/all.md"
