#!/usr/bin/env bash
# Three airports, one month: each writes its own departures into a PostgreSQL of its own, the cable between them is cut,
# all go on writing, it heals, and all hold the same. `make demo` calls this after demo.sh.
#
# The flights are those that left New York in January 2013 (examples/data/README.md).
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi
tell() { printf '\n%s-- %s%s\n' "$dim" "$1" "$plain"; }

readonly airports=(ewr jfk lga)

at() {
    local airport=$1
    shift
    (cluster_use "$airport" && psql -X -q -v ON_ERROR_STOP=1 "$@")
}
value() { at "$1" -A -t -c "$2"; }

# show AIRPORT SQL: the statement, then what that airport answers.
show() {
    printf '%s=# %s%s%s\n' "$1" "$bold" "$2" "$plain"
    at "$1" -P columns=120 -c "$2"
}

# The cable between two airports is the directory in which the one finds the other's socket.
cable() { printf '%s/cable-%s-%s\n' "$cluster_home" "$1" "$2"; }
lay() { ln -s "$cluster_home/$2" "$(cable "$1" "$2")"; }
cut() {
    rm "$(cable "$1" "$2")"
    value "$2" "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'peer_$1'" >/dev/null
}

# dial FROM TO: FROM dials TO; one connection carries both directions.
dial() {
    local directory
    lay "$1" "$2"
    directory=$(cable "$1" "$2")
    at "$2" -c "CREATE ROLE peer_$1 LOGIN" -c "SELECT gundb.grant_peer('peer_$1', accept => 'any')" >/dev/null
    at "$1" -c "SELECT gundb.add_peer('$2', 'postgres://peer_$1@${directory//\//%2F}:$(<"$cluster_home/$2/port")/postgres')" >/dev/null
}

# fly FIRST_DAY LAST_DAY: each airport writes its own departures of these days, a transaction for each.
fly() {
    local airport
    for airport in "${airports[@]}"; do
        at "$airport" -v first="$1" -v last="$2" >/dev/null <<'SQL' &
            SELECT format('INSERT INTO flights (type, key, data) VALUES (%L, %L, %L)',
                          CASE WHEN dep_time IS NULL THEN 'Cancelled' ELSE 'Departed' END, carrier,
                          jsonb_strip_nulls(jsonb_build_object('flight', flight, 'to', dest, 'planned', time_hour, 'late', dep_delay, 'miles', distance)))
              FROM timetable WHERE day BETWEEN :first AND :last ORDER BY month, day, sched_dep_time \gexec
SQL
    done
    for airport in "${airports[@]}"; do wait -n; done
}

# agree: waits until all hold the same.
agree() {
    local start=$EPOCHREALTIME digest airport same
    while :; do
        digest=$(value ewr 'SELECT gundb.digest()') same=1
        for airport in jfk lga; do
            [[ $(value "$airport" 'SELECT gundb.digest()') == "$digest" ]] || same=
        done
        [[ -z $same ]] || break
        ((SECONDS < 300)) || { echo "They do not come to agree." >&2; at ewr -c 'SELECT * FROM gundb.peer_status' >&2; return 1; }
        sleep 0.05
    done
    awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "All three hold the same %.1f seconds later.\n", b - a }'
}

counts() {
    local airport
    for airport in "${airports[@]}"; do
        printf '%s holds %6d events; digest %s\n' "$airport" "$(value "$airport" 'SELECT count(*) FROM flights')" "$(value "$airport" 'SELECT gundb.digest()')"
    done
}

echo "Starting three PostgreSQLs of our own: Newark, Kennedy, La Guardia …"
for airport in "${airports[@]}"; do
    cluster_start "$airport" 15 synchronous_commit=off &
done
for airport in "${airports[@]}"; do wait -n; done
trap 'printf "\nThat went wrong. The end of a server'"'"'s log:\n"; tail -n 20 "$(cluster_log ewr)"' ERR
for airport in "${airports[@]}"; do
    at "$airport" >/dev/null <<SQL
        CREATE EXTENSION gundb;
        SELECT gundb.set_site_name('$airport');
        SELECT gundb.create_stream('flights');
        SELECT gundb.create_view('carriers', 'flights', '{
            "departed":  {"fold": "count", "value": {"Departed": true}},
            "cancelled": {"fold": "count", "value": {"Cancelled": true}},
            "late":      {"fold": "sum", "value": "late"},
            "worst":     {"fold": "max", "value": "late"},
            "last_to":   {"fold": "lww", "value": "to"},
            "served":    {"fold": "set", "add": {"Departed": "to"}}}');
        CREATE TEMP TABLE raw (year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, sched_arr_time int,
            arr_delay int, carrier text, flight int, tailnum text, origin text, dest text, air_time int, distance int, hour int, minute int, time_hour timestamptz);
        \copy raw FROM PROGRAM 'gzip -dc examples/data/flights-2013-01.csv.gz' (FORMAT csv, HEADER, NULL 'NA')
        CREATE TABLE timetable AS SELECT * FROM raw WHERE origin = upper('$airport');
SQL
done

tell "Each airport is a site. Newark dials Kennedy, Kennedy dials La Guardia, La Guardia dials Newark: a ring."
dial ewr jfk
dial jfk lga
dial lga ewr
until [[ $(value ewr "SELECT bool_and(state = 'connected') FROM gundb.peer_status") == t ]] || ((SECONDS > 60)); do sleep 0.05; done
show ewr "SELECT peer, role, state, push FROM gundb.peer_status;"

tell "The first ten days: everybody writes, a transaction a flight, and sees what the others write."
fly 1 10
counts
agree

tell "The cable to La Guardia is cut. All three go on writing, for another ten days."
cut jfk lga
cut lga ewr
fly 11 20
counts

tell "It is mended. Nobody does anything."
lay jfk lga
lay lga ewr
agree
fly 21 31
agree
counts

tell "Everybody's view of the carriers is the same, to the byte, whatever the order of arrival."
for airport in "${airports[@]}"; do
    printf '%s: view_digest %s, rows that are not what their events give: %s\n' "$airport" \
        "$(value "$airport" "SELECT gundb.view_digest('carriers')")" "$(value "$airport" "SELECT count(*) FROM gundb.check_view('carriers')")"
done
show lga "SELECT key AS carrier, departed, cancelled, late AS minutes_late, worst, cardinality(served) AS places FROM carriers ORDER BY departed DESC LIMIT 5;"
show lga "SELECT s.name AS written_at, count(*) FROM flights f JOIN gundb.site s USING (site) GROUP BY 1 ORDER BY 1;"

printf '\n%sThose were %s departures at three sites, in %d seconds, through a cut cable, and nobody resolved a conflict.%s\n' \
    "$bold" "$(value jfk 'SELECT count(*) FROM flights')" "$SECONDS" "$plain"
