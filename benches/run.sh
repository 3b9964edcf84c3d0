#!/usr/bin/env bash
# gundb beside a plain table on PostgreSQL 15, as one table of figures. `make bench-append` builds a release and calls
# this, `make bench` among the others.
#
#   run.sh [ROW ...]   insert append schema lock (single is all four) · bulk copy view reducer storage read streams startup
#
#   BENCH_ROUNDS=5     rounds of each row
#   BENCH_SECONDS=3    of each measured run of pgbench
#   BENCH_QUICK=1      everything tiny, to see that it runs; the figures then mean nothing
#
# What always holds: two figures that are compared come from the same servers in the same run, their rounds interleaved;
# no checkpoint or vacuum runs while something is measured. docs/performance.md tells what each row is and why it is fair.
# Results go to target/bench. Nothing else may load the machine meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { printf 'bench: %s\n' "$@" >&2; exit 1; }

usage() { sed -n '4,8s/^# *//p' "$0"; }

readonly all_rows='insert append schema lock bulk copy view reducer storage read streams startup'
rows=' '
for row in "${@:-all}"; do
    case $row in
        all) rows+="$all_rows " ;;
        single) rows+='insert append schema lock ' ;;
        *)
            [[ " $all_rows " == *" $row "* ]] || { usage >&2; exit 2; }
            rows+="$row "
            ;;
    esac
done

# wants ROW ...: whether one of these is to be measured.
wants() {
    local row
    for row; do
        [[ $rows != *" $row "* ]] || return 0
    done
    return 1
}

rounds=${BENCH_ROUNDS-5} seconds=${BENCH_SECONDS-3}
bulk_events=200000 streams=1000 events_a_stream=1000
if [[ ${BENCH_QUICK-} == 1 ]]; then
    rounds=${BENCH_ROUNDS-1} seconds=${BENCH_SECONDS-1}
    bulk_events=20000 streams=100 events_a_stream=100
fi
[[ $rounds =~ ^[1-9][0-9]*$ && $seconds =~ ^[1-9][0-9]*$ ]] ||
    die "BENCH_ROUNDS and BENCH_SECONDS are whole numbers from 1 up"

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

readonly here=$PWD/benches out=$PWD/target/bench built=target/pg15/release/libgundb.so
readonly results=$out/results.tsv sizes=$out/sizes.tsv
mkdir -p "$out"
: >"$results"
: >"$sizes"

library=$(target/pg/15/bin/pg_config --pkglibdir 2>/dev/null)/gundb.so || die "PostgreSQL 15 is not set up: make bench"
cmp -s "$library" "$built" || die "the gundb installed in target/pg/15 is not the release build of this checkout: make bench"

# --- measuring --------------------------------------------------------------------------------------------------------

say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }

# record FIGURE ROUND VALUE: an empty value comes from a measurement that failed, and has said why.
record() {
    [[ -n $3 ]] || die "$1 could not be measured"
    printf '%s\t%s\t%s\n' "$@" >>"$results"
}

sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

prepare() { sql "$@" >/dev/null; }

# start CLUSTER: with realistic settings, and what else would start by itself out of the way.
start() {
    cluster_start "$1" 15 shared_buffers=1GB max_wal_size=8GB checkpoint_timeout=1h autovacuum=off \
        synchronous_commit=on fsync=on
    cluster_use "$1"
    prepare -f "$here/schema.sql"
    data=$(sql -c 'SELECT bench.data()')
}

# pgbench_run CLIENTS SCRIPT OPTION ...: the output is left in $out/pgbench.log. (Of two --protocol the last counts.)
pgbench_run() {
    local clients=$1 script=$here/pgbench/$2.sql
    shift 2
    pgbench --no-vacuum --protocol=prepared --client="$clients" --jobs="$((clients < 2 ? 1 : 2))" --file="$script" \
        --define=data="$data" "$@" >"$out/pgbench.log" 2>&1 || { cat "$out/pgbench.log" >&2; die "pgbench failed"; }
}

# rate CLIENTS WARM_UP_SECONDS SCRIPT OPTION ...: transactions a second, once everybody is connected and warm.
rate() {
    local clients=$1 warm_up=$2 script=$3
    shift 3
    pgbench_run "$clients" "$script" --time="$((warm_up + seconds))" --progress=1 "$@"
    # pgbench may leave out its last line of progress, so the rest is all that it did less what the first lines tell.
    awk -v warm_up="$warm_up" -v seconds="$seconds" -F '[ ,]+' '
        /^progress:/ && $2 < warm_up + 0.5 { warm += $4 }
        /^number of transactions actually processed:/ { done = $NF }
        END { printf "%.1f\n", (done - warm) / seconds }' "$out/pgbench.log"
}

# statement_ms COMMAND: how long one statement takes, in a session of its own.
statement_ms() {
    local printed
    printed=$(psql -X -q -v ON_ERROR_STOP=1 -c '\timing on' -c "$1")
    sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' <<<"$printed" | tail -n 1
}

# events_a_second EVENTS MILLISECONDS
events_a_second() { awk -v n="$1" -v ms="$2" 'BEGIN { printf "%.1f\n", n * 1000 / ms }'; }

# --- one event a transaction ------------------------------------------------------------------------------------------

# single CLIENTS [SYNCHRONOUS_COMMIT]: stream and rival are made anew; each round continues them.
single() {
    local clients=$1 commit=${2-on} label=$1 round variant value variants=(plain)
    [[ $commit == on ]] || label+=_$commit
    wants insert && variants+=(insert)
    wants append && variants+=(append)
    wants schema && [[ $label == 8 ]] && variants+=(schema)
    wants lock && [[ $label == 8 || $label == 32 ]] && variants+=(lock)
    ((${#variants[@]} > 1)) || return 0
    prepare <<SQL
        CREATE SCHEMA single_$label;
        SET search_path = single_$label, public;
        SET client_min_messages = warning;
        SELECT gundb.create_stream('hot_$label', 'hot');
        SELECT gundb.create_stream('strict_$label', 'strict');
        SELECT gundb.define_event('strict_$label', 'ItemMoved', bench.data_schema());
        SELECT bench.make_twin('hot', 'plain');
        CHECKPOINT;
SQL
    for ((round = 1; round <= rounds; round++)); do
        say "one event a transaction, $clients clients, synchronous_commit $commit, round $round of $rounds: ${variants[*]}"
        for variant in "${variants[@]}"; do
            value=$(PGOPTIONS="-c search_path=single_$label -c synchronous_commit=$commit" \
                rate "$clients" 1 "$variant" -D stream="hot_$label" -D n=0 -D base="$(base "$round" "$variant")")
            record "$variant-$label" "$round" "$value"
        done
    done
}

# base ROUND VARIANT: where a run's stamps and lanes begin. 15 digits, so that with a prefix they make a uuid.
base() {
    local half=0
    [[ $2 != lock ]] || half=500000000000
    echo "$((100000000000000 + $1 * 1000000000000 + half))"
}

# --- many events a transaction ----------------------------------------------------------------------------------------

make_source() {
    say "making $bulk_events events to insert"
    prepare <<SQL
        CREATE TABLE bench.source AS
        SELECT 1::bigint AS lane, n AS seq, 100000000000000 + n AS hlc, ('01900000000070008' || 100000000000000 + n)::uuid AS id,
               'ItemMoved'::text AS type, (1 + n * 7919 % 1000)::text AS key,
               jsonb_set(bench.data(), '{order}', to_jsonb('A-' || 10000 + n % 90000)) AS data
          FROM generate_series(1::bigint, $bulk_events) AS n;
        VACUUM ANALYZE bench.source;
        \copy (SELECT type, key, data FROM bench.source ORDER BY seq) TO '$cluster_home/gundb.copy'
        \copy (SELECT seq, hlc, id, type, key, data FROM bench.source ORDER BY seq) TO '$cluster_home/plain.copy'
SQL
}

# bulk ROW GUNDB_STATEMENT PLAIN_STATEMENT: each round fills new tables, hot and plain, and drops them.
bulk() {
    local name=$1 round variant variants=(plain gundb)
    local -A statement=([gundb]=$2 [plain]=$3 [schema]=$2)
    [[ $name != bulk ]] || ! wants schema || variants+=(schema)
    for ((round = 1; round <= rounds; round++)); do
        say "$name of $bulk_events events, round $round of $rounds: ${variants[*]}"
        for variant in "${variants[@]}"; do
            prepare <<SQL
                SET client_min_messages = warning;
                SELECT gundb.create_stream('hot');
                SELECT bench.make_twin('hot', 'plain');
                SELECT gundb.define_event('hot', 'ItemMoved', bench.data_schema()) WHERE '$variant' = 'schema';
                CHECKPOINT;
SQL
            record "$name-$variant" "$round" "$(events_a_second "$bulk_events" "$(statement_ms "${statement[$variant]}")")"
            prepare -c "DROP TABLE plain" -c "SELECT gundb.drop_stream('hot')"
        done
    done
}

# --- views ------------------------------------------------------------------------------------------------------------

# A stream with a view of three columns, and its rival: the plain table with the same state kept by hand.
make_views() {
    prepare <<SQL
        SET client_min_messages = warning;
        SELECT gundb.create_stream('viewed');
        SELECT bench.make_twin('viewed', 'plain');
        SELECT gundb.create_view('stock', 'viewed', '{"total": {"fold": "sum", "value": "quantity"},
            "place": {"fold": "lww", "value": "to"}, "moves": {"fold": "count"}}');
        SELECT bench.keep_by_hand('plain');
        CHECKPOINT;
SQL
}

drop_views() {
    prepare -c "SELECT gundb.drop_view('stock')" -c "SELECT gundb.drop_stream('viewed')" -c 'DROP TABLE plain, by_hand'
}

views() {
    local round clients variant
    for ((round = 1; round <= rounds; round++)); do
        say "views, round $round of $rounds"
        make_views
        record view-gundb "$round" "$(events_a_second "$bulk_events" "$(statement_ms \
            'INSERT INTO viewed (type, key, data) SELECT type, key, data FROM bench.source')")"
        record view-hand "$round" "$(events_a_second "$bulk_events" "$(statement_ms \
            'INSERT INTO plain (lane, seq, hlc, id, type, key, data) SELECT lane, seq, hlc, id, type, key, data FROM bench.source')")"
        # Once before each, so that both find all of it in memory.
        prepare -c "SELECT count(*) FROM viewed" -c "SELECT count(*) FROM plain"
        record rebuild-gundb "$round" "$(events_a_second "$bulk_events" "$(statement_ms "SELECT gundb.rebuild_view('stock')")")"
        record rebuild-plain "$round" "$(events_a_second "$bulk_events" "$(statement_ms "CREATE TEMP TABLE grouped AS SELECT * FROM bench.grouped('plain')")")"
        drop_views
        for clients in 1 8; do
            make_views
            record "view-single-$clients" "$round" "$(rate "$clients" 1 view)"
            record "hand-single-$clients" "$round" "$(rate "$clients" 1 plain -D n=0 -D base="$(base "$round" plain)")"
            drop_views
        done
    done
}

# A stream with a reducer view, and its rival: the plain table whose row trigger calls the same function.
make_reducer_view() {
    prepare <<SQL
        SET client_min_messages = warning;
        SELECT gundb.create_stream('viewed');
        SELECT bench.make_twin('viewed', 'plain');
        SELECT bench.make_reducer('gundb.event'), bench.make_reducer('plain');
        SELECT gundb.create_reducer_view('stock', 'viewed', 'bench.reduced(jsonb, gundb.event)');
        SELECT bench.keep_reduced_by_hand('plain');
        CHECKPOINT;
SQL
}

drop_reducer_view() {
    prepare -c "SELECT gundb.drop_view('stock')" -c "SELECT gundb.drop_stream('viewed')" \
        -c 'DROP FUNCTION bench.reduced(jsonb, gundb.event), bench.reduced(jsonb, plain)' -c 'DROP TABLE plain, by_hand'
}

reducers() {
    local round clients
    for ((round = 1; round <= rounds; round++)); do
        say "reducer views, round $round of $rounds"
        make_reducer_view
        record reducer-gundb "$round" "$(events_a_second "$bulk_events" "$(statement_ms \
            'INSERT INTO viewed (type, key, data) SELECT type, key, data FROM bench.source')")"
        record reducer-hand "$round" "$(events_a_second "$bulk_events" "$(statement_ms \
            'INSERT INTO plain (lane, seq, hlc, id, type, key, data) SELECT lane, seq, hlc, id, type, key, data FROM bench.source')")"
        drop_reducer_view
        for clients in 1 8; do
            make_reducer_view
            record "reducer-single-$clients" "$round" "$(rate "$clients" 1 view)"
            record "reducer-hand-single-$clients" "$round" "$(rate "$clients" 1 plain -D n=0 -D base="$(base "$round" plain)")"
            drop_reducer_view
        done
    done
}

# --- storage and reading ----------------------------------------------------------------------------------------------

# make_log NAME CLIENTS EVENTS LIVES: a stream as life makes it, by transactions of one event, the server restarted now
# and then; so its lanes are up to CLIENTS times LIVES. Its twin gets the same rows.
make_log() {
    local name=$1 clients=$2 events=$3 lives=$4 life
    say "appending $events events to read, $clients clients"
    prepare -c "CREATE SCHEMA $name" -c "SELECT gundb.create_stream('$name', '$name.hot')"
    for ((life = 1; life <= lives; life++)); do
        if ((life > 1)); then
            cluster_restart bench
            cluster_use bench
        fi
        PGOPTIONS="-c search_path=$name -c synchronous_commit=off" \
            pgbench_run "$clients" insert --transactions="$((events / lives / clients))"
    done
    prepare -c "SELECT bench.make_twin('$name.hot', '$name.plain')" \
        -c "SELECT bench.fill_twin('$name.hot', '$name.plain')" \
        -c "VACUUM ANALYZE $name.hot" -c "VACUUM ANALYZE $name.plain" -c CHECKPOINT
}

storage() {
    local table
    say "weighing $bulk_events events"
    prepare -c "SELECT bench.make_simple('log.hot', 'log.simple')" -c 'VACUUM ANALYZE log.simple'
    for table in hot simple; do
        record "storage-$table" 1 \
            "$(sql -c "SELECT round(pg_total_relation_size('log.$table')::numeric / $bulk_events, 1)")"
        sql -F $'\t' -c "SELECT '$table', part, what, round(bytes, 1) FROM bench.bytes('log.$table')" >>"$sizes"
    done
}

# reading NAME EVENTS
reading() {
    local name=$1 events=$2 round plain="SELECT bench.read_plain('$1.plain')" pages="SELECT bench.read_pages('$1')"
    # Once before, so that every round finds all of it in memory.
    [[ $(sql -c "$plain") == "$events" ]] || die "the plain scan read another number of events"
    [[ $(sql -c "$pages") == "$events" ]] || die "gundb.read read another number of events"
    for ((round = 1; round <= rounds; round++)); do
        say "reading $events events, round $round of $rounds"
        record "$name-plain" "$round" "$("$here/read.py" plain "$name.plain" "$events")"
        record "$name-gundb" "$round" "$("$here/read.py" gundb "$name" "$events")"
        record "$name-server-plain" "$round" "$(events_a_second "$events" "$(statement_ms "$plain")")"
        record "$name-server-gundb" "$round" "$(events_a_second "$events" "$(statement_ms "$pages")")"
    done
}

# --- many streams, start-up -------------------------------------------------------------------------------------------

readonly one_event="gundb.append('s0', 'ItemMoved', bench.data())"

# One stream without events.
make_none() {
    start none
    prepare -c "SELECT gundb.create_stream('s0')" -c "SELECT bench.make_twin('s0', 'p0')"
}

# One stream with all events.
make_full() {
    say "making 1 stream with $((streams * events_a_stream)) events"
    start full
    prepare -c "SELECT gundb.create_stream('s0')" \
        -c "INSERT INTO s0 (type, key, data) SELECT 'ItemMoved', n % 1000, bench.data()
              FROM generate_series(1, $((streams * events_a_stream))) n" -c 'VACUUM ANALYZE'
}

# Many streams with as many events together, and as many plain tables. No checkpoint afterwards: it would make the first touch of each page
# expensive, here for most of what is measured, in life for the first seconds after a checkpoint.
make_many() {
    local half
    say "making $streams streams with $((streams * events_a_stream)) events"
    start many
    for half in 0 1; do
        prepare <<SQL &
            SET synchronous_commit = off;
            SET client_min_messages = warning;
            SELECT format('SELECT gundb.create_stream(%L)', 's' || s),
                   format('INSERT INTO %I (type, key, data) SELECT ''ItemMoved'', n %% 1000, bench.data()
                             FROM generate_series(1, $events_a_stream) n', 's' || s),
                   format('SELECT bench.make_twin(%L, %L)', 's' || s, 'p' || s),
                   format('SELECT bench.fill_twin(%L, %L)', 's' || s, 'p' || s)
              FROM generate_series($half, $((streams - 1)), 2) AS s \gexec
SQL
    done
    for half in 0 1; do
        wait -n || die "the streams could not be made"
    done
    prepare -c 'VACUUM ANALYZE'
}

# over_many CLUSTER SCRIPT STREAMS WARM_UP_SECONDS ROUND: by 8 clients, each table in turn.
over_many() {
    local protocol=prepared
    [[ $2 != spread_plain ]] || protocol=simple
    cluster_use "$1"
    rate 8 "$4" "$2" --protocol="$protocol" -D n=0 -D streams="$3" -D base="$(base "$5" "$2")"
}

# first_touch_us SCRIPT: how long 8 clients need until each has met each of the many tables.
first_touch_us() {
    local protocol=prepared start_us
    [[ $1 != spread_plain ]] || protocol=simple
    cluster_use many
    start_us=${EPOCHREALTIME/[^0-9]/}
    pgbench_run 8 "$1" --transactions="$streams" --protocol="$protocol" -D n=0 -D streams="$streams" -D base="$(base 0 "$1")"
    echo "$((${EPOCHREALTIME/[^0-9]/} - start_us))"
}

# Three rounds at most: each has to warm up, as long as the first touch took and a little more.
many_streams() {
    local round rounds_here=$((rounds < 3 ? rounds : 3)) stream_us table_us
    say "appending to $streams streams for the first time, 8 clients"
    table_us=$(first_touch_us spread_plain)
    stream_us=$(first_touch_us spread)
    record tables-first 1 "$(events_a_second "$((8 * streams))" "$((table_us / 1000))")"
    record streams-first 1 "$(events_a_second "$((8 * streams))" "$((stream_us / 1000))")"
    for ((round = 1; round <= rounds_here; round++)); do
        say "appending to 1 and to $streams streams, 8 clients, round $round of $rounds_here"
        record streams-one "$round" "$(over_many none spread 1 1 "$round")"
        record streams-many "$round" "$(over_many many spread "$streams" "$((stream_us / 1000000 + 2))" "$round")"
        record tables-one "$round" "$(over_many none spread_plain 1 1 "$round")"
        record tables-many "$round" "$(over_many many spread_plain "$streams" "$((table_us / 1000000 + 2))" "$round")"
    done
}

# first_append_ms CLUSTER: from the start of the server to the end of the first append.
first_append_ms() {
    local server=$cluster_home/$1 start_us
    cluster_stop "$1"
    cluster_use "$1"
    start_us=${EPOCHREALTIME/[^0-9]/}
    # Not cluster_restart: pg_ctl looks only ten times a second whether the server is up.
    cluster_as_server "$server/tree/bin/pg_ctl" start --pgdata="$server/data" --log="$server/log" --no-wait \
        --options="-p $PGPORT" </dev/null >/dev/null
    until sql -c "SELECT FROM $one_event" >"$out/startup.log" 2>&1; do
        ((${EPOCHREALTIME/[^0-9]/} - start_us < 60000000)) || die "no append within a minute" "$(<"$out/startup.log")"
    done
    echo "$(((${EPOCHREALTIME/[^0-9]/} - start_us) / 1000))"
}

startup() {
    local round cluster
    for ((round = 1; round <= rounds; round++)); do
        say "start-up, round $round of $rounds"
        for cluster in none full many; do
            record "startup-$cluster" "$round" "$(first_append_ms "$cluster")"
        done
    done
}

# --- all of it --------------------------------------------------------------------------------------------------------

if wants insert append schema lock bulk copy view reducer storage read; then
    start bench
    if wants insert append schema lock; then
        for clients in 1 8 32; do single "$clients"; done
        single 8 off
    fi
    if wants bulk schema copy view reducer; then make_source; fi
    if wants bulk schema; then
        bulk bulk 'INSERT INTO hot (type, key, data) SELECT type, key, data FROM bench.source' \
            'INSERT INTO plain (lane, seq, hlc, id, type, key, data) SELECT lane, seq, hlc, id, type, key, data FROM bench.source'
    fi
    if wants copy; then
        bulk copy "\\copy hot (type, key, data) FROM '$cluster_home/gundb.copy'" \
            "\\copy plain (seq, hlc, id, type, key, data) FROM '$cluster_home/plain.copy'"
    fi
    if wants view; then views; fi
    if wants reducer; then reducers; fi
    if wants storage read; then make_log log 8 "$bulk_events" 1; fi
    if wants storage; then storage; fi
    if wants read; then
        reading log "$bulk_events"
        # 32 clients, four lives of the server: about 120 lanes.
        make_log lanes 32 "$((bulk_events / 10 / 128 * 128))" 4
        reading lanes "$((bulk_events / 10 / 128 * 128))"
    fi
    cluster_stop bench
fi
if wants streams startup; then
    make_none
    make_many
    if wants streams; then many_streams; fi
    if wants startup; then
        make_full
        startup
    fi
fi

say 'done'
{
    printf '%s, %d cores, %d rounds, %d s a run, %d events in bulk, %d in %d streams\n\n' \
        "$(target/pg/15/bin/postgres --version)" "$(nproc)" "$rounds" "$seconds" "$bulk_events" \
        "$((streams * events_a_stream))" "$streams"
    [[ ${BENCH_QUICK-} != 1 ]] || printf 'BENCH_QUICK: too small and too short; the figures mean nothing.\n\n'
    "$here/report.py" "$sizes" "$results"
} | tee "$out/table.md"
