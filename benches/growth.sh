#!/usr/bin/env bash
# How cost grows with what there is: events, streams, lanes, sites in the clock, sites that replicate. `make bench-growth`
# builds a release and calls this. It takes hours as it stands, and minutes with GROWTH_QUICK=1.
#
#   growth.sh [events] [streams] [lanes] [clocks] [sites]
#
# Each curve goes to target/growth/CURVE.tsv and, as a picture, to target/growth/CURVE.svg.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

readonly out=$PWD/target/growth edge=$PWD/target/release/gundb
mkdir -p "$out"

events='10000 100000 1000000 10000000' streams='1 10 100 1000' lanes='1 4 16 64 256' clocks='1 10 100 1000 10000' sites='2 3 4 6 8 12'
if [[ ${GROWTH_QUICK-} == 1 ]]; then
    events='1000 10000 100000' streams='1 10 100' lanes='1 4 16' clocks='1 10 100' sites='2 3'
fi

# start CLUSTER SETTING...: a server whose figures no checkpoint or autovacuum disturbs.
start() {
    local name=$1
    shift
    cluster_start "$name" 15 shared_buffers=1GB max_wal_size=16GB checkpoint_timeout=1h autovacuum=off fsync=on "$@"
    cluster_use "$name"
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

# ms STATEMENT: the median of 21 executions in one session that has warmed up.
ms() {
    {
        printf '\\timing on\n'
        for _ in {1..25}; do printf '%s;\n' "$1"; done
    } | psql -X -q -A -t -v ON_ERROR_STOP=1 -o /dev/null | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -n 21 | sort -n | sed -n 11p
}

# tell CURVE X SERIES VALUE
tell() {
    printf '%s\t%s\t%s\n' "$2" "$3" "$4" >>"$out/$1.tsv"
    printf '%4d s  %-8s %10s  %-34s %s\n' "$SECONDS" "$1" "$2" "$3" "$4"
}

# draw CURVE TITLE X_TITLE Y_TITLE
draw() { target/venv/bin/python benches/growth_svg.py "$out/$1.tsv" "$out/$1.svg" "$2" "$3" "$4"; }

# read_cost CURVE X STREAM: what the reading and the clock cost.
read_cost() {
    local at
    at=$(sql -c "SELECT gundb.site_clock()")
    tell "$1" "$2" 'append one event' "$(ms "INSERT INTO $3 (type, key) VALUES ('Happened', 'k')")"
    tell "$1" "$2" 'read what came last' "$(ms "SELECT count(*) FROM gundb.read('$3', after => '$at')")"
    tell "$1" "$2" 'site_clock()' "$(ms 'SELECT gundb.site_clock()')"
}

fill() { sql -c "INSERT INTO $1 (type, key, data) SELECT 'Happened', 'k' || n % 1000, jsonb_build_object('n', n) FROM generate_series(1, $2) n"; }

grow_events() {
    local count there=0
    start events
    sql -c 'CREATE EXTENSION gundb' -c "SELECT gundb.create_stream('moves')" \
        -c "SELECT gundb.create_view('sums', 'moves', '{\"n\": {\"fold\": \"sum\", \"value\": \"n\"}}')" >/dev/null
    for count in $events; do
        while ((there < count)); do
            fill moves "$((count - there < 500000 ? count - there : 500000))"
            there=$((there + (count - there < 500000 ? count - there : 500000)))
        done
        read_cost events "$count" moves
        tell events "$count" 'history of a key, last 10' "$(ms "SELECT count(*) FROM (SELECT FROM moves WHERE key = 'k7' ORDER BY hlc DESC LIMIT 10) h")"
        cluster_restart events
        tell events "$count" 'first append after a restart' "$(psql -X -q -A -t -v ON_ERROR_STOP=1 -o /dev/null -c '\timing on' \
            -c "INSERT INTO moves (type) VALUES ('First')" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')"
    done
    cluster_stop events
    draw events 'One stream with a view, and what it holds' events milliseconds
}

grow_streams() {
    local count
    start streams
    sql -c 'CREATE EXTENSION gundb' >/dev/null
    for count in $streams; do
        sql -c "SELECT gundb.create_stream('s' || n) FROM generate_series(1, $count) n WHERE NOT EXISTS (SELECT FROM gundb.stream_table t WHERE t.name = 's' || n)" >/dev/null
        sql -c "SELECT count(*) FROM generate_series(1, $count) n, gundb.append('s' || n, 'Happened')" >/dev/null
        read_cost streams "$count" s1
        tell streams "$count" 'read() of all streams' "$(ms "SELECT count(*) FROM gundb.read(after => gundb.site_clock())")"
        tell streams "$count" 'gundb.health' "$(ms 'SELECT count(*) FROM gundb.health')"
    done
    cluster_stop streams
    draw streams 'Streams' streams milliseconds
}

grow_lanes() {
    local count number
    start lanes max_connections=300
    sql -c 'CREATE EXTENSION gundb' -c "SELECT gundb.create_stream('moves')" >/dev/null
    for count in $lanes; do
        # As many lanes as transactions that append at one time.
        for ((number = 1; number <= count; number++)); do
            sql -c "BEGIN; INSERT INTO moves (type) VALUES ('Held'); SELECT pg_sleep(3 + $count / 32.0); COMMIT" >/dev/null &
        done
        wait
        tell lanes "$count" 'lanes there are' "$(sql -c 'SELECT count(DISTINCT lane) FROM moves')"
        read_cost lanes "$count" moves
    done
    cluster_stop lanes
    sed -i '/lanes there are/d' "$out/lanes.tsv"
    draw lanes 'Lanes of a run, in one stream' lanes milliseconds
}

# Sites that wrote one event each, as devices do that send it and are thrown away.
grow_clocks() {
    local count there=0 store bundle
    cargo build --quiet --release -p gundb-node
    start clocks
    sql -c 'CREATE EXTENSION gundb' -c "SELECT gundb.create_stream('moves')" >/dev/null
    store=$(mktemp -d -p "$cluster_home")
    for count in $clocks; do
        while ((there < count)); do
            rm -rf "${store:?}"/*
            "$edge" --store "$store/s" --durability lazy init >/dev/null
            "$edge" --store "$store/s" --durability lazy stream create moves >/dev/null
            "$edge" --store "$store/s" --durability lazy append moves Happened >/dev/null
            for bundle in $("$edge" --store "$store/s" bundle export "$store/out" >/dev/null && ls "$store/out"); do
                printf "SELECT gundb.import_bundle('\\\\x%s');\n" "$(od -An -v -tx1 "$store/out/$bundle" | tr -d ' \n')"
            done | sql -o /dev/null
            there=$((there + 1))
        done
        read_cost clocks "$count" moves
        tell clocks "$count" 'a clock covers a clock' "$(ms 'SELECT gundb.site_clock() >= gundb.site_clock()')"
        tell clocks "$count" 'digest()' "$(ms 'SELECT gundb.digest()')"
    done
    cluster_stop clocks
    draw clocks 'Sites that the clock names' sites milliseconds
}

# All sites in one server, a star: how long until a thousand events of the hub are everywhere.
grow_sites() {
    local count site number begun
    for count in $sites; do
        start "sites$count" max_worker_processes=32 max_connections=200
        for ((site = 1; site <= count; site++)); do
            createdb "site$site"
            sql -d "site$site" -c 'CREATE EXTENSION gundb' -c "SELECT gundb.create_stream('moves')" >/dev/null
        done
        sql -d site1 -c 'CREATE ROLE hub LOGIN' -c "SELECT gundb.grant_peer('hub', accept => 'any')" >/dev/null
        for ((site = 2; site <= count; site++)); do
            sql -d "site$site" -c "SELECT gundb.add_peer('hub', 'postgres://hub@127.0.0.1:$PGPORT/site1', accept => 'any')" >/dev/null
        done
        # Once all have met: one event, then those that are measured.
        for number in 1 1000; do
            begun=$EPOCHREALTIME
            fill_site site1 "$number"
            for ((site = 2; site <= count; site++)); do
                until [[ $(sql -d "site$site" -c 'SELECT count(*) FROM moves') == $((number == 1 ? 1 : 1001)) ]]; do sleep 0.002; done
            done
        done
        tell sites "$count" 'a thousand events everywhere' "$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", (b - a) * 1000 }')"
        cluster_stop "sites$count"
    done
    draw sites 'Sites around a hub, in one server' sites milliseconds
}

fill_site() { sql -d "$1" -c "DO \$\$ BEGIN FOR n IN 1..$2 LOOP INSERT INTO moves (type) VALUES ('Happened'); COMMIT; END LOOP; END \$\$"; }

for curve in "${@:-all}"; do
    case $curve in
        all) set -- events streams lanes clocks sites ;;
        events | streams | lanes | clocks | sites) ;;
        *) sed -n '5s/^# *//p' "$0" >&2; exit 2 ;;
    esac
done
for curve in "$@"; do
    rm -f "$out/$curve".*
    "grow_$curve"
done
echo "The curves are in target/growth."
