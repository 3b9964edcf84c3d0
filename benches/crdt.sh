#!/usr/bin/env bash
# CRDT values in SQL: the aggregate merge beside sum(numeric), and what an act on a value of so many elements costs.
#
#   benches/crdt.sh [ROWS]     ROWS: 1000000
#
#   GUNDB_BENCH_RESULTS        a file to which the aggregates' figures are added; then nothing else is measured
#
# Against the extension that is installed in target/pg/15: `tests/extension.sh install target/pg/15/bin/pg_config release`
# comes first. Prints the tables of docs/crdt.md. Each figure is the median of five.
set -euo pipefail
cd "$(dirname "$0")/.."
rows=${1:-1000000}

# shellcheck source=tests/cluster.sh
source tests/cluster.sh
cluster_start crdt 15 fsync=off shared_buffers=1GB jit=off max_parallel_workers_per_gather=0 autovacuum=off
cluster_use crdt
export PGDATABASE=postgres
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
# once_ms STATEMENT: one run, as the server counts it, in milliseconds.
once_ms() { sql -c "EXPLAIN (ANALYZE, TIMING off, SUMMARY on) $1" | sed -n 's/^Execution Time: \(.*\) ms$/\1/p'; }
median() { sort -n | sed -n 3p; }
median_ms() { for _ in 1 2 3 4 5; do once_ms "$1"; done | median; }

sql <<SQL
CREATE EXTENSION gundb;
CREATE FUNCTION replica(i int) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN format('00000000-0000-4000-8000-%s/0000000100000000', lpad(i::text, 12, '0'));
CREATE TABLE one (n numeric, c gundb.gcounter, p gundb.pncounter, s gundb.set);
INSERT INTO one SELECT i, format('{"gcounter": {"%s": %s}}', replica(i % 10), i)::gundb.gcounter,
    format('{"pncounter": {"%s": [%s, %s]}}', replica(i % 10), i, i / 2)::gundb.pncounter,
    format('{"set": {"live": [["element %s", "%s", %s]], "seen": {"%2\$s": [[%3\$s, %3\$s]]}}}', i % 1000, replica(i % 10), 1 + i / 10)::gundb.set
  FROM generate_series(1, $rows) AS i;
CREATE TABLE three (n numeric, c gundb.gcounter);
INSERT INTO three SELECT i, format('{"gcounter": {"%s": %s, "%s": %2\$s, "%s": %2\$s}}', replica(0), i, replica(1), replica(2))::gundb.gcounter
  FROM generate_series(1, $rows) AS i;
VACUUM ANALYZE one; VACUUM ANALYZE three;
CREATE TABLE sized (s gundb.set);
SQL

echo "| aggregate over $rows rows | ms | speed, of sum(numeric)'s |"
echo "|---|---|---|"
# row TITLE TABLE EXPRESSION: beside sum(numeric) over the same rows, in turn.
row() {
    local round owns=() rivals=()
    for round in 1 2 3 4 5; do
        rivals+=("$(once_ms "SELECT sum(n) FROM $2")")
        owns+=("$(once_ms "SELECT $3 FROM $2")")
        [[ -z ${GUNDB_BENCH_RESULTS-} ]] ||
            printf 'crdt %s %s\t%d\t%s\n' "$2" "$3" "$round" "${owns[-1]}" "$2" 'sum(n)' "$round" "${rivals[-1]}" >>"$GUNDB_BENCH_RESULTS"
    done
    awk -v title="$1" -v own="$(printf '%s\n' "${owns[@]}" | median)" -v rival="$(printf '%s\n' "${rivals[@]}" | median)" \
        'BEGIN { printf "| %s | %.0f | %.2f |\n", title, own, rival / own }'
}
row 'sum(numeric)' one 'sum(n)'
row 'merge(gcounter), 1 site each' one 'gundb.merge(c)'
row 'merge(gcounter), 3 sites each' three 'gundb.merge(c)'
row 'merge(pncounter), 1 site each' one 'gundb.merge(p)'
row 'merge(set), 1 add each, 1,000 elements in all' one 'gundb.merge(s)'
row 'sum(gcounter), 1 site each' one 'sum(c)'
row 'sum(gcounter), 3 sites each' three 'sum(c)'

[[ -z ${GUNDB_BENCH_RESULTS-} ]] || exit 0
echo
echo '| elements | µs an add | µs contains | bytes stored |'
echo '|---|---|---|---|'
for elements in 100 1000 10000; do
    sql <<SQL
TRUNCATE sized;
INSERT INTO sized SELECT format('{"set": {"live": [%s], "seen": {"%s": [[1, %s]]}}}',
    string_agg(format('["element %s", "%s", %s]', i, replica(0), i), ', '), replica(0), $elements)::gundb.set FROM generate_series(1, $elements) AS i;
SQL
    add=$(median_ms "SELECT count(gundb.add(s, 'another ' || i)) FROM sized, generate_series(1, 1000) AS i")
    contains=$(median_ms "SELECT count(s @> ('another ' || i)) FROM sized, generate_series(1, 1000) AS i")
    printf '| %s | %.0f | %.0f | %s |\n' "$elements" "$add" "$contains" "$(sql -c 'SELECT pg_column_size(s) FROM sized')"
done
