#!/usr/bin/env bash
# gundb between two sites beside PostgreSQL's logical replication of a table with the same rows and as many indexes, and
# beside pglogical's where that is installed.
# `make bench-replication` builds a release and calls this, `make bench` among the others.
#
#   replication.sh [ROW ...]   catchup bulk view delayed live local silent hung mesh idle
#
#   BENCH_ROUNDS=5     rounds of each row
#   BENCH_IDLE=600     seconds of the row idle
#   BENCH_QUICK=1      everything small, to see that it runs; the figures then mean nothing
#
# What always holds: servers on one machine, gundb's two and two for each rival; those that are not measured are idle.
# All replicate through a socket. What is appended while the other side is away is then caught up with: the time is that
# from the first row that is visible there to the last, so that neither is charged for connecting.
# docs/performance.md tells what each row is and why it is fair. Results go to target/bench.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'bench: %s\n' "$@" >&2; exit 1; }

readonly all_rows='catchup bulk delayed live local silent hung mesh idle view'
rows=' '
for row in "${@:-all}"; do
    case $row in
        all) rows+="$all_rows " ;;
        *)
            [[ " $all_rows " == *" $row "* ]] || { sed -n '5,9s/^# *//p' "$0" >&2; exit 2; }
            rows+="$row "
            ;;
    esac
done
wants() { [[ $rows == *" $1 "* ]]; }

rounds=${BENCH_ROUNDS-5}
events=50000 bulk_events=200000 live_seconds=10 local_seconds=5 mesh_events=2000 idle_seconds=${BENCH_IDLE-600}
if [[ ${BENCH_QUICK-} == 1 ]]; then
    rounds=${BENCH_ROUNDS-1} events=4000 bulk_events=20000 live_seconds=2 local_seconds=1 mesh_events=200
    idle_seconds=${BENCH_IDLE-5}
fi

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

readonly here=$PWD/benches out=$PWD/target/bench built=target/pg15/release/libgundb.so
readonly results=$out/replication.tsv
mkdir -p "$out"
: >"$results"

library=$(target/pg/15/bin/pg_config --pkglibdir 2>/dev/null)/gundb.so || die "PostgreSQL 15 is not set up: make bench"
pglogical=$(target/pg/15/bin/pg_config --pkglibdir)/pglogical.so
if [[ ! -e $pglogical ]]; then
    pglogical=
    echo "bench: without pglogical, which tests/setup.sh bench installs" >&2
fi
readonly pglogical
cargo build --quiet -p gundb-clusters --bin cable
cmp -s "$library" "$built" || die "the gundb installed in target/pg/15 is not the release build of this checkout: make bench"

say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }

record() {
    [[ -n $3 ]] || die "$1 could not be measured"
    printf '%s\t%s\t%s\n' "$@" >>"$results"
}

# at SERVER psql-ARGUMENT ...
at() {
    local server=$1
    shift
    (cluster_use "$server" && psql -X -q -A -t -v ON_ERROR_STOP=1 "$@")
}

prepare() { at "$@" >/dev/null; }

readonly settings=(shared_buffers=512MB max_wal_size=8GB checkpoint_timeout=1h autovacuum=off synchronous_commit=on fsync=on
    wal_level=logical track_commit_timestamp=on max_worker_processes=32)

# The socket's directory in a URL.
socket() { printf '%s\n' "${cluster_home//\//%2F}%2F$1"; }

start_all() {
    local server
    for server in here there near far; do
        cluster_start "$server" 15 "${settings[@]}"
        prepare "$server" -f "$here/schema.sql"
        prepare "$server" -c "SELECT gundb.create_stream('hot')"
    done
    start_pglogical
    data=$(at here -c 'SELECT bench.data()')
    # gundb: here dials there, paused at first. The rival's two hold a plain table.
    prepare there -c "CREATE ROLE bench_peer LOGIN" -c "SELECT gundb.grant_peer('bench_peer', accept => 'any')"
    direct="postgres://bench_peer@$(socket there):$(<"$cluster_home/there/port")/postgres"
    prepare here -c "SELECT gundb.add_peer('there', '$direct')"
    for server in near far; do
        prepare "$server" -c "SELECT bench.make_twin('hot', 'plain')"
    done
    # The rival's rows bear the commit times of their source, so when they came is noted otherwise.
    prepare far -c "ALTER TABLE plain ADD COLUMN arrived timestamptz DEFAULT clock_timestamp()"
    prepare near -c "CREATE PUBLICATION moves FOR TABLE plain"
    prepare far -c "CREATE SUBSCRIPTION moves CONNECTION 'host=$cluster_home/near port=$(<"$cluster_home/near/port") user=postgres dbname=postgres'
                    PUBLICATION moves WITH (copy_data = false)"
}

# pglogical is a library of the server's, too, and its own output plugin.
start_pglogical() {
    local server plugin=()
    [[ -n $pglogical ]] || return 0
    # Debian's PostgreSQL 15 loads only output plugins that are listed.
    if [[ -n $(at near -c "SELECT current_setting('output_plugin_libraries', true)") ]]; then
        plugin=('output_plugin_libraries=pgoutput, pglogical_output')
    fi
    for server in near2 far2; do
        cluster_start "$server" 15 "${settings[@]}" 'shared_preload_libraries=gundb, pglogical' "${plugin[@]}"
        prepare "$server" -f "$here/schema.sql"
        prepare "$server" -c "SELECT gundb.create_stream('hot')" -c "SELECT bench.make_twin('hot', 'plain')" -c 'CREATE EXTENSION pglogical' \
            -c "SELECT pglogical.create_node('$server', '$(conninfo "$server")')"
    done
    prepare near2 -c "SELECT pglogical.replication_set_add_table('default', 'plain')"
    prepare far2 -c "SELECT pglogical.create_subscription('moves', '$(conninfo near2)', synchronize_structure => false, synchronize_data => false)" \
        -c "SELECT pglogical.wait_for_subscription_sync_complete('moves')"
}

conninfo() { printf 'host=%s port=%s user=postgres dbname=postgres' "$cluster_home/$1" "$(<"$cluster_home/$1/port")"; }

away() {
    prepare here -c "SELECT gundb.pause_peer('there')"
    prepare far -c "ALTER SUBSCRIPTION moves DISABLE"
    [[ -z $pglogical ]] || prepare far2 -c "SELECT pglogical.alter_subscription_disable('moves', true)"
}

# caught_up SERVER TABLE BEFORE WANTED: seconds from the first row beyond BEFORE that is seen to the last.
caught_up() {
    (cluster_use "$1" && "$here/caught_up.py" "$2" "$3" "$4")
}

# Where a run's stamps and ids begin: 15 digits, later ones later.
base() { echo "$((100000000000000 + ${EPOCHREALTIME/[^0-9]/} % 900000000000000))"; }

# fill SERVER SCRIPT EVENTS: one event a transaction, by 8 clients, not waiting for the disk.
fill() {
    (
        cluster_use "$1"
        PGOPTIONS='-c synchronous_commit=off' pgbench --no-vacuum --protocol=prepared --client=8 --jobs=2 \
            --file="$here/pgbench/$2.sql" --transactions="$(($3 / 8))" --define=data="$data" -D n=0 \
            -D base="$(base)" >"$out/pgbench.log" 2>&1 || { cat "$out/pgbench.log" >&2; exit 1; }
    )
}

# compare ROW NEW_EVENTS GUNDB_COMMAND PLAIN_COMMAND [PGLOGICAL_COMMAND]: in each round all fill their source while the
# other side is away.
compare() {
    local name=$1 new=$2 round gundb_before plain_before
    for ((round = 1; round <= rounds; round++)); do
        say "$name of $new events, round $round of $rounds"
        away
        gundb_before=$(at there -c "SELECT count(*) FROM hot") plain_before=$(at far -c "SELECT count(*) FROM plain")
        $3
        $4
        prepare here -c CHECKPOINT
        prepare there -c CHECKPOINT
        prepare near -c CHECKPOINT
        prepare far -c CHECKPOINT
        prepare here -c "SELECT gundb.resume_peer('there')"
        record "$name-gundb" "$round" "$(caught_up there hot "$gundb_before" "$new")"
        prepare far -c "ALTER SUBSCRIPTION moves ENABLE"
        record "$name-native" "$round" "$(caught_up far plain "$plain_before" "$new")"
        if [[ -n $pglogical && -n ${5-} ]]; then
            plain_before=$(at far2 -c "SELECT count(*) FROM plain")
            "$5"
            prepare near2 -c CHECKPOINT
            prepare far2 -c CHECKPOINT
            prepare far -c "ALTER SUBSCRIPTION moves DISABLE"
            prepare far2 -c "SELECT pglogical.alter_subscription_enable('moves', true)"
            record "$name-pglogical" "$round" "$(caught_up far2 plain "$plain_before" "$new")"
        fi
    done
}

fill_gundb() { fill here insert "$((events / 8 * 8))"; }
fill_plain() { fill near plain "$((events / 8 * 8))"; }
fill_pglogical() { fill near2 plain "$((events / 8 * 8))"; }

bulk_gundb() {
    prepare here -c "INSERT INTO hot (type, key, data) SELECT 'ItemMoved', (1 + n * 7919 % 1000)::text, bench.data() FROM generate_series(1, $bulk_events) n"
}
bulk_plain() { bulk_at near; }
bulk_pglogical() { bulk_at near2; }
bulk_at() {
    prepare "$1" -c "INSERT INTO plain (lane, seq, hlc, id, type, key, data)
                     SELECT $RANDOM, n, 100000000000000 + n + ${EPOCHREALTIME/[^0-9]/} % 900000000000000, gen_random_uuid(), 'ItemMoved', (1 + n * 7919 % 1000)::text, bench.data()
                       FROM generate_series(1, $bulk_events) n"
}

# live ROUND: at 200 transactions a second, how long after its commit an event is visible there; milliseconds.
live() {
    local round=$1 pair source target script table prefix marks arrived median most
    for pair in 'here there insert hot gundb' 'near far plain plain native'; do
        read -r source target script table prefix <<<"$pair"
        marks=$(at "$source" -c 'SELECT pg_current_xact_id()')
        (
            cluster_use "$source"
            pgbench --no-vacuum --protocol=prepared --client=4 --jobs=1 --rate=200 --time="$live_seconds" --define=data="$data" \
                -D n=0 -D base="$(base)" --file="$here/pgbench/$script.sql" >"$out/pgbench.log" 2>&1
        )
        sleep 1
        at "$source" -F $'\t' -c "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM $table WHERE xmin::text::bigint >= $marks" >"$out/source.tsv"
        arrived='pg_xact_commit_timestamp(xmin)'
        [[ $prefix == gundb ]] || arrived=arrived
        at "$target" -F $'\t' -c "SELECT id, extract(epoch FROM $arrived) FROM $table" >"$out/target.tsv"
        read -r median most < <("$here/delays.py" "$out/source.tsv" "$out/target.tsv")
        record "live-p50-$prefix" "$round" "$median"
        record "live-p99-$prefix" "$round" "$most"
    done
}

# rate SERVER SCRIPT: transactions a second of 8 clients.
rate() {
    (
        cluster_use "$1"
        pgbench --no-vacuum --protocol=prepared --client=8 --jobs=2 --time="$local_seconds" --define=data="$data" -D n=0 \
            -D base="$(base)" --file="$here/pgbench/$2.sql" 2>&1 | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
    )
}

# local_rate ROUND: appends with a live peer against appends with none, and the rival likewise.
local_rate() {
    away
    record local-none-gundb "$1" "$(rate here insert)"
    record local-none-native "$1" "$(rate near plain)"
    prepare here -c "SELECT gundb.resume_peer('there')"
    sleep 2
    record local-live-gundb "$1" "$(rate here insert)"
    prepare here -c "SELECT gundb.pause_peer('there')"
    prepare far -c "ALTER SUBSCRIPTION moves ENABLE"
    sleep 2
    record local-live-native "$1" "$(rate near plain)"
    prepare far -c "ALTER SUBSCRIPTION moves DISABLE"
}

# lay SERVER DELAY_MS [silent]: a cable to a server, until take_up; its directory, as a URL has it, is left in $cable.
lay() {
    coproc CABLE { exec target/debug/cable "$cluster_home/$1" "${@:2}" 2>&1; }
    read -r cable <&"${CABLE[0]}"
    cable=${cable//\//%2F}
}
take_up() {
    local pid=$CABLE_PID input=${CABLE[1]}
    exec {input}>&-
    wait "$pid"
}

# delayed: what was missed, through a cable with a round trip of 200 ms, and through one without.
delayed() {
    local round variant delay before
    for ((round = 1; round <= rounds; round++)); do
        for variant in none gundb; do
            say "catching up, $variant, round $round of $rounds"
            delay=0
            [[ $variant == none ]] || delay=100
            away
            before=$(at there -c "SELECT count(*) FROM hot")
            fill_gundb
            lay there "$delay"
            prepare here -c "SELECT gundb.alter_peer('there', url => 'postgres://bench_peer@$cable:5432/postgres')"
            prepare here -c "SELECT gundb.resume_peer('there')"
            record "delayed-$variant" "$round" "$(caught_up there hot "$before" "$((events / 8 * 8))")"
            take_up
        done
    done
    prepare here -c "SELECT gundb.alter_peer('there', url => '$direct')"
}

# silent: appends while three peers take connections and never answer, and with no peer.
silent() {
    local round peer
    away
    for ((round = 1; round <= rounds; round++)); do
        say "appends with three silent peers, round $round of $rounds"
        record local-alone-gundb "$round" "$(rate here insert)"
        lay there 0 silent
        for peer in 1 2 3; do
            prepare here -c "SELECT gundb.add_peer('silent$peer', 'postgres://bench_peer@$cable:5432/postgres')"
        done
        sleep 2
        record local-silent-gundb "$round" "$(rate here insert)"
        prepare here -c "SELECT gundb.drop_peer(p) FROM unnest('{silent1,silent2,silent3}'::text[]) AS p"
        take_up
    done
}

# hung: the 99th percentile of appends, in milliseconds, with a peer that never answers and with no peer.
hung() {
    local round
    away
    for ((round = 1; round <= rounds; round++)); do
        say "p99 of appends beside a silent peer, round $round of $rounds"
        record hung-alone "$round" "$(p99 here)"
        lay there 0 silent
        prepare here -c "SELECT gundb.add_peer('silent', 'postgres://bench_peer@$cable:5432/postgres')"
        sleep 2
        record hung-silent "$round" "$(p99 here)"
        prepare here -c "SELECT gundb.drop_peer('silent')"
        take_up
    done
}

# p99 SERVER: of 4 clients that append, in milliseconds.
p99() {
    (
        cluster_use "$1"
        rm -f "$out"/latency.*
        pgbench --no-vacuum --protocol=prepared --client=4 --jobs=2 --time="$local_seconds" --define=data="$data" -D n=0 \
            --log --log-prefix="$out/latency" --file="$here/pgbench/insert.sql" >"$out/pgbench.log" 2>&1
        cut -d ' ' -f 3 "$out"/latency.* | sort -n | awk '{ us[NR] = $1 } END { print us[int(NR * 0.99)] / 1000 }'
    )
}

# mesh: bytes between five databases, each of which appends, when everybody dials everybody and when all dial the first.
mesh() {
    local shape site other dialled base=$cluster_home/here
    for shape in star mesh; do
        say "five sites in a $shape"
        for site in 1 2 3 4 5; do
            prepare here -c "CREATE DATABASE ${shape}$site"
            prepare here -d "${shape}$site" -c 'CREATE EXTENSION gundb' -c "SELECT gundb.set_site_name('site$site')" \
                -c "SELECT gundb.create_stream('hot')" -c "SELECT gundb.grant_peer('mesh_peer', accept => 'any')"
        done
        for site in 1 2 3 4 5; do
            for ((other = 1; other < site; other++)); do
                [[ $shape == mesh || $other == 1 ]] || continue
                dialled="postgres://mesh_peer@$(socket here):$(<"$base/port")/${shape}$other"
                prepare here -d "${shape}$site" -c "SELECT gundb.add_peer('site$other', '$dialled')"
            done
        done
        (
            cluster_use here
            for site in 1 2 3 4 5; do
                pgbench --no-vacuum --protocol=prepared --client=1 --transactions="$mesh_events" --define=data="$data" -D n=0 \
                    --file="$here/pgbench/insert.sql" "${shape}$site" >"$out/pgbench.log" 2>&1 &
            done
            wait
        )
        for site in 1 2 3 4 5; do
            until [[ $(at here -d "${shape}$site" -c 'SELECT count(*) FROM hot') == $((5 * mesh_events)) ]]; do sleep 0.2; done
        done
        # What is known of a peer is written once a second.
        sleep 3
        record "$shape-bytes" 1 "$(for site in 1 2 3 4 5; do
            at here -d "${shape}$site" -c "SELECT coalesce(sum(bytes_sent + bytes_received), 0) FROM gundb.peer_status WHERE url IS NOT NULL"
        done | awk '{ bytes += $1 } END { print bytes }')"
        say "$(for site in 1 2 3 4 5; do
            at here -d "${shape}$site" -c "SELECT coalesce(sum(events_sent + events_received), 0) FROM gundb.peer_status WHERE url IS NOT NULL"
        done | awk '{ events += $1 } END { print events }') events crossed the links, where $((20 * mesh_events)) suffice"
        for site in 5 4 3 2 1; do
            prepare here -c "DROP DATABASE ${shape}$site WITH (FORCE)"
        done
    done
}

# idle: what a worker with three peers that are connected takes while nothing happens.
idle() {
    local peer pid before
    prepare here -c "SELECT gundb.resume_peer('there')"
    for peer in near far; do
        prepare "$peer" -c "CREATE ROLE bench_peer LOGIN" -c "SELECT gundb.grant_peer('bench_peer', accept => 'any')"
        prepare here -c "SELECT gundb.add_peer('$peer', 'postgres://bench_peer@$(socket "$peer"):$(<"$cluster_home/$peer/port")/postgres')"
    done
    until [[ $(at here -c "SELECT count(*) FROM gundb.peer_status WHERE state = 'connected' AND to_send = 0 AND to_receive = 0") == 3 ]]; do
        sleep 0.2
    done
    sleep 5
    say "idle for $idle_seconds s"
    pid=$(at here -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'gundb worker' AND datname = 'postgres'")
    before=$(ticks "$pid")
    sleep "$idle_seconds"
    record idle-cpu 1 "$(awk -v ticks="$(($(ticks "$pid") - before))" -v hz="$(getconf CLK_TCK)" -v seconds="$idle_seconds" \
        'BEGIN { print ticks / hz / seconds * 100 }')"
    record idle-memory 1 "$(awk '/^Private/ { kib += $2 } END { print kib / 1024 }' "/proc/$pid/smaps_rollup")"
}

# ticks PID: of processor time that a process has taken.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

start_all
if wants catchup; then compare catchup "$((events / 8 * 8))" fill_gundb fill_plain fill_pglogical; fi
if wants bulk; then compare catchup-bulk "$bulk_events" bulk_gundb bulk_plain bulk_pglogical; fi
if wants live; then
    prepare here -c "SELECT gundb.resume_peer('there')"
    prepare far -c "ALTER SUBSCRIPTION moves ENABLE"
    sleep 3
    for ((round = 1; round <= rounds; round++)); do
        say "live, round $round of $rounds"
        live "$round"
    done
fi
if wants local; then
    for ((round = 1; round <= rounds; round++)); do
        say "appends with a live peer, round $round of $rounds"
        local_rate "$round"
    done
fi
if wants delayed; then delayed; fi
if wants silent; then silent; fi
if wants hung; then hung; fi
if wants mesh; then
    prepare here -c 'CREATE ROLE mesh_peer LOGIN'
    mesh
fi
if wants idle; then idle; fi
if wants view; then
    prepare there -c "SELECT gundb.create_view('stock', 'hot', '{\"total\": {\"fold\": \"sum\", \"value\": \"quantity\"},
        \"place\": {\"fold\": \"lww\", \"value\": \"to\"}, \"moves\": {\"fold\": \"count\"}}')"
    compare catchup-view "$((events / 8 * 8))" fill_gundb fill_plain
fi

say 'done'
"$here/report.py" /dev/null "$results" | tee "$out/replication.md"
