#!/usr/bin/env bash
# One minute of gundb: a site, a stream, events, a read, and what is refused. `make demo` builds it and calls this.
#
#   demo.sh          with DEMO_KEEP=1 the server stays, to look further
#   demo.sh stop     stops the server that was kept
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tests/cluster.sh
source tests/cluster.sh
readonly kept=target/demo-kept

if [[ ${1-} == stop ]]; then
    cluster_stop_kept "$kept"
    exit
fi

bold='' dim='' blue='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' blue=$'\e[34m' plain=$'\e[0m'
fi

# A row that is wider than a terminal is printed a column a line.
psql=(psql -X -v ON_ERROR_STOP=1 -P columns=120 -P expanded=auto)

# tell TEXT: a line between the statements.
tell() { printf '\n%s-- %s%s\n' "$dim" "$1" "$plain"; }

# show SQL: the statement, then what the server answers. The demo ends where one fails.
show() {
    printf '%sshop=#%s %s%s%s\n' "$blue" "$plain" "$bold" "$1" "$plain"
    "${psql[@]}" -c "$1"
}

# refused SQL: the same for a statement that gundb must refuse.
refused() {
    if show "$1" 2>&1; then
        echo "That should have been refused." >&2
        return 1
    fi
}

# timed SQL: the same, with the time it took.
timed() {
    printf '%sshop=#%s %s%s%s\n' "$blue" "$plain" "$bold" "$1" "$plain"
    "${psql[@]}" -v QUIET=on -c '\timing on' -c '\set QUIET off' -c "$1"
}

echo "Starting a PostgreSQL of our own, with gundb loaded …"
cluster_start paris 15
set -E
trap 'printf "\nThat went wrong. The end of the server'"'"'s log:\n"; tail -n 20 "$(cluster_log paris)"' ERR
cluster_use paris
createdb shop
export PGDATABASE=shop

tell "A database becomes a site."
show "CREATE EXTENSION gundb;"
show "SELECT gundb.set_site_name('paris');"

tell "A stream is a real table. What its events must look like is a JSON Schema, if one is wanted."
show "SELECT gundb.create_stream('stock_moves');"
show "SELECT gundb.define_event('stock_moves', 'Received', '{\"type\": \"object\", \"required\": [\"sku\", \"qty\"]}');"

tell "Events are written by plain SQL, or by append(), which answers with their identity."
show "INSERT INTO stock_moves (type, data) VALUES ('Received', '{\"sku\": \"A-1\", \"qty\": 3, \"place\": \"dock 2\"}');"
show "SELECT * FROM gundb.append('stock_moves', 'Sold', '{\"sku\": \"A-1\", \"qty\": 1}');"

tell "They are read as a table, or in pages of whole transactions in causal order."
show "SELECT lane, seq, hlc, type, data FROM stock_moves ORDER BY hlc;"
show "SELECT type, data FROM gundb.read('stock_moves');"

tell "Current state is a view: a plain table that gundb maintains, in the transaction that appends."
show "SELECT gundb.create_view('stock', 'stock_moves', key => 'sku', columns => '{
         \"on_hand\": {\"fold\": \"sum\", \"value\": {\"Received\": \"qty\", \"Sold\": \"-qty\"}},
         \"place\":   {\"fold\": \"lww\", \"value\": \"place\"}}');"
show "INSERT INTO stock_moves (type, data) VALUES ('Sold', '{\"sku\": \"A-1\", \"qty\": 1, \"place\": \"dock 1\"}');"
show "SELECT * FROM stock;"

tell "What happened, happened: events are never changed. And an event must be what it is defined to be."
refused "UPDATE stock_moves SET data = '{}';"
refused "SELECT gundb.append('stock_moves', 'Received', '{\"sku\": \"A-1\"}');"

tell "Writing is about as fast as into a plain table."
timed "INSERT INTO stock_moves (type, data)
       SELECT 'Received', jsonb_build_object('sku', 'A-' || i % 100, 'qty', i) FROM generate_series(1, 10000) AS i;"

tell "The site's clock says what it holds: for each lane, how far."
show "SELECT stream, lane, seq FROM gundb.clock_entries(gundb.site_clock());"

printf '\n%sThat was gundb in %d seconds.%s ' "$bold" "$SECONDS" "$plain"
if [[ -n ${DEMO_KEEP-} ]]; then
    [[ ! -e $kept ]] || "$0" stop
    cluster_keep "$kept"
    printf 'Its server is still there:\n\n    psql postgresql://postgres@127.0.0.1:%s/shop\n\nmake demo-stop ends it.\n' "$PGPORT"
else
    printf 'Nothing is left running; DEMO_KEEP=1 make demo keeps the server to look further.\n'
fi
printf 'The README has five more minutes of SQL, docs/ the rest.\n'
