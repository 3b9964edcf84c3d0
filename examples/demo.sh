#!/usr/bin/env bash
# The whole of gundb in two minutes: three airports, each with a PostgreSQL of its own, and a weather station that has none.
# All write, the cable between them is cut, a server is killed and an old backup of it restored, the cable is mended, and
# all hold the same. `make demo` builds what this needs.
#
#   demo.sh          with DEMO_KEEP=1 servers and station stay, to look further
#   demo.sh stop     ends what was kept
#
# What always holds: whatever is claimed is asked of the sites, and a claim that is not so, a statement that fails, or one
# that is not refused though it must be, ends the demo with an error, after the end of each server's log.
#
# The flights and the weather are those of New York in January 2013 (examples/data/README.md).
set -euo pipefail
cd "$(dirname "$0")/.."

readonly kept=${DEMO_KEPT-target/demo-kept}
if [[ ${1-} == stop ]]; then
    # shellcheck source=tests/cluster.sh
    source tests/cluster.sh
    cluster_stop_kept "$kept"
    exit
fi
# shellcheck source=examples/airports.sh
source examples/airports.sh

# The views, with what makes them. Every site makes its own.
readonly carriers='{
    "departed":  {"fold": "count", "value": {"Departed": true}},
    "cancelled": {"fold": "count", "value": {"Cancelled": true}},
    "mean_late": {"fold": "avg", "value": "late"},
    "served":    {"fold": "set", "add": {"Departed": "to"}}}'
readonly aircraft='{
    "status":    {"fold": "lww", "value": "status", "by": "at"},
    "departed":  {"fold": "count", "value": {"Departed": true}}}'
readonly numbers='{
    "flown":     {"fold": "count", "value": {"Departed": true}},
    "cancelled": {"fold": "flag", "value": {"Cancelled": true, "Departed": false}}}'
readonly days='{
    "readings":  {"fold": "count"},
    "coldest":   {"fold": "min", "value": "temp"},
    "gust":      {"fold": "max", "value": "gust"}}'

# --- the story --------------------------------------------------------------------------------------------------------

one_airport() {
    act "One airport"
    tell "A database becomes a site. A stream is a real table; a view is current state, kept by gundb as events are appended."
    show ewr "CREATE EXTENSION gundb;"
    show ewr "SELECT gundb.set_site_name('ewr'), gundb.create_stream('flights');"
    show ewr "SELECT gundb.create_view('carriers', 'flights', key => 'carrier', columns => '$carriers');"
    tell "Newark's first departure of 2013, by plain SQL. What happened, happened: it is never changed."
    show ewr "INSERT INTO flights (type, key, data) VALUES ('Departed', 'N14228', '{\"carrier\": \"UA\", \"flight\": 1545, \"to\": \"IAH\",
    \"day\": 1, \"late\": 2, \"at\": \"2013-01-01T10:17Z\", \"status\": \"left EWR for IAH\"}');"
    show ewr "SELECT * FROM carriers;"
    refused ewr "UPDATE flights SET data = '{}';" 'events are immutable'
    # It has left.
    at ewr -c "DELETE FROM timetable WHERE tail = 'N14228' AND day = 1 AND at = '2013-01-01 10:17'"
}

more_views() {
    at "$1" >/dev/null <<SQL
        SET client_min_messages = warning;
        SELECT gundb.create_view('aircraft', 'flights', '$aircraft');
        SELECT gundb.create_view('numbers', 'flights', '$numbers', key => 'carrier, flight');
        SELECT gundb.create_view('days', 'weather', '$days', key => 'day');
SQL
}

three_airports() {
    local airport
    act "Three airports and a weather station"
    tell "Kennedy and La Guardia are sites too. Newark dials Kennedy, that La Guardia, that Newark: a ring. Streams come by themselves."
    at ewr -c "SELECT gundb.create_stream('weather')" >/dev/null
    for airport in jfk lga; do
        at "$airport" -c 'CREATE EXTENSION gundb' -c "SELECT gundb.set_site_name('$airport')" >/dev/null
    done
    dial ewr jfk
    dial jfk lga
    dial lga ewr
    for airport in jfk lga; do
        until_true "$airport" "SELECT to_regclass('flights') IS NOT NULL AND to_regclass('weather') IS NOT NULL"
        at "$airport" -c "SELECT gundb.create_view('carriers', 'flights', key => 'carrier', columns => '$carriers')" >/dev/null
    done
    tell "A view of the aircraft: of two words about one, the later by its own \"at\" counts, whichever comes last."
    show ewr "SELECT gundb.create_view('aircraft', 'flights', '$aircraft');"
    for airport in "${airports[@]}"; do more_views "$airport"; done
    until_true ewr "SELECT bool_and(state = 'connected') AND count(*) = 2 FROM gundb.peer_status"
    show ewr "SELECT peer, role, state, push FROM gundb.peer_status;"

    tell "The station has no PostgreSQL: one program, one file. It calls La Guardia now and then, for the weather alone."
    lay weather lga
    at lga -c 'CREATE ROLE peer_weather LOGIN' -c "SELECT gundb.grant_peer('peer_weather', push => '{weather}', pull => '{weather}')" >/dev/null
    station init --name weather
    station stream create weather
    station view create days weather --key day "$days"
    station peer add lga "$(url weather lga)" --push weather --pull weather
    call

    tell "The first four days: each airport appends its own departures, the station its readings. A backup of Kennedy is made after the second."
    fly 1 2 1 "${airports[@]}"
    agree
    cluster_as_server "$(cluster_tree 15)/bin/pg_basebackup" --host="$cluster_home/jfk" --port="$(<"$cluster_home/jfk/port")" --username=postgres \
        --pgdata="$cluster_home/jfk/backup" --checkpoint=fast --no-sync
    note "Kennedy's backup"
    fly 3 4 1 "${airports[@]}"
    measure 1 4 station
    call
    agree
    show lga "SELECT carrier, departed, cancelled, round(mean_late, 1) AS mean_late, cardinality(served) AS places FROM carriers ORDER BY departed DESC LIMIT 5;"
    note "before the cut"
}

cut_off() {
    act "The cable to La Guardia is cut"
    # What the looking back of later must show.
    before=$(value ewr 'SELECT clock_timestamp()')
    at ewr -c 'CREATE TABLE carriers_before AS TABLE carriers'
    cut jfk lga
    cut lga ewr
    tell "All go on writing. The station reaches La Guardia, and nobody else."
    fly 5 6 1 "${airports[@]}"
    measure 5 18
    call
    until_true jfk "SELECT state <> 'connected' FROM gundb.peer_status WHERE peer = 'lga'"
    show jfk "SELECT peer, state, to_send FROM gundb.peer_status WHERE url IS NOT NULL;"
    note "two days after the cut"
}

# What Kennedy itself has written.
readonly own="SELECT count(*) || ' ' || md5(string_agg(id::text, ' ' ORDER BY id)) FROM flights JOIN gundb.site USING (site) WHERE own"

killed_and_restored() {
    local written backed_up
    act "Kennedy's server is killed, and its disk is lost"
    # That what it wrote has come to Newark is what makes it come back.
    proven "Newark holds all that Kennedy holds." "$(value jfk "SELECT gundb.wait_for(gundb.site_clock(), 'ewr', timeout => '2 min')")" t
    written=$(value jfk "$own")
    cluster_stop jfk immediate
    cluster_as_server rm -rf "$cluster_home/jfk/data"
    note "Kennedy is killed"
    tell "Newark and La Guardia do not wait for it."
    fly 7 18 20 ewr lga
    tell "The backup is that of the second. Kennedy starts from it, still out of reach, and lacks four days."
    cluster_as_server cp -a "$cluster_home/jfk/backup" "$cluster_home/jfk/data"
    cluster_launch jfk
    backed_up=$(value jfk "$own")
    show jfk "SELECT name AS written_at, count(*) FROM flights JOIN gundb.site USING (site) GROUP BY name ORDER BY name;"
    note "Kennedy from its backup"
    ((${backed_up% *} < ${written% *})) || { echo "The backup lacks nothing: $backed_up, $written." >&2; exit 1; }
    tell "Newark reaches it again, and brings what it had got: also what Kennedy wrote itself, and lost."
    lay ewr jfk
    show ewr "SELECT gundb.sync_now('jfk', timeout => '2 min');"
    show jfk "SELECT name AS written_at, count(*) FROM flights JOIN gundb.site USING (site) GROUP BY name ORDER BY name;"
    proven "All $((${written% *} - ${backed_up% *})) events that Kennedy had written and lost are back." "$(value jfk "$own")" "$written"
    tell "It goes on writing, in a new run: no place in its history is ever used twice."
    fly 7 18 20 jfk
    proven "Kennedy has written in two runs." "$(value jfk 'SELECT runs FROM gundb.site WHERE own')" 2
    note "Kennedy writes again"
}

# status AIRPORT AT TEXT: a word about an aircraft.
readonly plane=N3BJAA
status() {
    show "$1" "INSERT INTO flights (type, key, data) VALUES ('Noted', '$plane', '{\"at\": \"$2\", \"status\": \"$3\"}');"
}

mended() {
    local view jobs
    act "The cable is mended"
    tell "Just before: the same aircraft, at two airports that cannot know of each other."
    status jfk 2013-01-19T04:40Z 'inspected at JFK, fit to fly'
    status lga 2013-01-19T04:50Z 'bird strike seen at LGA, grounded'
    note "before it is mended"
    lay jfk lga
    lay lga ewr
    tell "Nobody resolves anything. They would dial again within a minute; sync_now does so at once."
    value jfk "SELECT gundb.sync_now('lga', timeout => '2 min')" >/dev/null &
    jobs=($!)
    value lga "SELECT gundb.sync_now('ewr', timeout => '2 min')" >/dev/null &
    jobs+=($!)
    drain
    all_of "${jobs[@]}"
    agree
    call
    for view in carriers aircraft numbers days; do
        proven "The view $view is the same everywhere, to the byte, and at Kennedy it is what its events give." \
            "$(everywhere "SELECT gundb.view_digest('$view')") $(value jfk "SELECT count(*) FROM gundb.check_view('$view')")" '1 0'
    done
    proven "The station holds the same weather as the airports, by its digest." "$(gundb digest weather | tr -d -)" "$(value ewr "SELECT gundb.digest('weather')" | tr -d -)"
    proven "… and shows the same days." "$(gundb view digest days | tr -d -)" "$(value ewr "SELECT gundb.view_digest('days')" | tr -d -)"
    proven "Nothing waits anywhere." "$(everywhere 'SELECT count(*) FROM gundb.pending') $(value ewr 'SELECT count(*) FROM gundb.pending')" '1 0'
    note "mended"
}

what_met() {
    act "What met"
    tell "Both words about the aircraft stand in the stream. Its row has the later one by \"at\", and what it won over is not lost."
    show ewr "SELECT * FROM aircraft WHERE key = '$plane';"
    show ewr "SELECT key, \"column\", winner_value, other_value FROM gundb.conflicts('aircraft', '$plane');"
    proven "So says every airport." "$(everywhere "SELECT winner_value, other_value FROM gundb.conflicts('aircraft', '$plane')")" 1
    proven "La Guardia's word is the one that won, and Kennedy's the other." \
        "$(value lga "SELECT w.name || ' ' || o.name FROM gundb.conflicts('aircraft', '$plane') c JOIN gundb.site w ON w.site = gundb.site_of(c.winner) JOIN gundb.site o ON o.site = gundb.site_of(c.other)")" 'lga jfk'
    tell "Of all aircraft these left at both sides of the cut. The later departure decided each."
    show jfk "SELECT count(DISTINCT key) AS aircraft, count(*) AS writes_won_over FROM gundb.conflict WHERE kind = 'lww';"
    show jfk "SELECT key, winner_value, other_value FROM gundb.conflict WHERE kind = 'lww' ORDER BY key LIMIT 4;"
    proven "Of none of these did either airport know of the other's, and none was decided otherwise." "$(value jfk "
        WITH event AS MATERIALIZED (SELECT dot, data->>'at' AS at FROM gundb.read('flights', max => 100000))
        SELECT count(*) FILTER (WHERE NOT (gundb.concurrent(winner, other) AND w.at >= o.at)) || ' of ' || (count(*) > 100)
          FROM gundb.conflict JOIN event w ON w.dot = winner JOIN event o ON o.dot = other WHERE kind = 'lww'")" '0 of true'
    tell "A word by somebody who has seen both closes it."
    status ewr 2013-01-19T05:00Z 'inspected again after the bird strike, fit to fly'
    agree
    proven "Nothing is in conflict about it any more, anywhere." "$(for airport in "${airports[@]}"; do value "$airport" "SELECT count(*) FROM gundb.conflicts('aircraft', '$plane')"; done | tr -d '\n')" 000
}

looking_back() {
    local clock
    act "The minute before the cut"
    show ewr "SELECT carrier, departed, round(mean_late, 1) AS mean_late FROM gundb.view_at(NULL::carriers, at => '$before') ORDER BY departed DESC LIMIT 3;"
    show ewr "SELECT carrier, departed, round(mean_late, 1) AS mean_late FROM carriers ORDER BY departed DESC LIMIT 3;"
    tell "What the aircraft went through, in an order that is the same everywhere."
    show jfk "SELECT type, \"row\"->>'status' AS status FROM gundb.view_history('aircraft', '$plane');"
    proven "What Newark says of that minute is, row by row, what it showed then." \
        "$(value ewr "SELECT count(*) FROM (SELECT * FROM gundb.view_at(NULL::carriers, at => '$before') EXCEPT TABLE carriers_before) AS d")$(value ewr "SELECT count(*) FROM (TABLE carriers_before EXCEPT SELECT * FROM gundb.view_at(NULL::carriers, at => '$before')) AS d")" 00
    clock=$(value ewr "SELECT gundb.clock_at('$before')")
    proven "Restored Kennedy, asked for what Newark knew then, says the same." \
        "$(value jfk "SELECT md5(string_agg(v::text, ' ' ORDER BY carrier)) FROM gundb.view_at(NULL::carriers, clock => '$clock') v")" \
        "$(value ewr "SELECT md5(string_agg(v::text, ' ' ORDER BY carrier)) FROM carriers_before v")"
}

the_rest() {
    act "The rest of the month"
    fly 19 31 20 "${airports[@]}"
    measure 19 31
    call
    agree
    tell "Views are tables: the station's weather beside the airports' cancellations."
    show lga "SELECT day, gust, coldest, cancelled FROM days
  JOIN (SELECT data->>'day' AS day, count(*) AS cancelled FROM flights WHERE type = 'Cancelled' GROUP BY 1) c USING (day)
 ORDER BY gust DESC NULLS LAST LIMIT 3;"
    tell "Flights whose last departure was cancelled."
    show jfk "SELECT carrier, flight, flown, cancelled FROM numbers WHERE cancelled ORDER BY flown DESC, carrier, flight LIMIT 3;"
    note "the end"
    proven "The three hold the month, and the words about the aircraft." "$(value jfk 'SELECT count(*) FROM flights')" 27007
    proven "The station holds its month." "$(gundb --json read weather | wc -l)" 2226
    proven "gundb.health finds nothing wrong anywhere." "$(for airport in "${airports[@]}"; do value "$airport" "SELECT count(*) FROM gundb.health WHERE status <> 'OK'"; done | tr -d '\n')" 000
}

summary() {
    tell "Who held how many events, and when."
    printf '%s%-42s %5s  %-23s %-33s%s\n' "$dim" '' '' 'flights held at' 'readings held at' "$plain"
    printf '%s%-42s %5s %7s %7s %7s %9s %7s %7s %7s%s\n' "$bold" when s "${airports[@]}" weather "${airports[@]}" "$plain"
    printf '%s\n' "${noted[@]}"
    printf '\n%sThose were %s events at three sites and a station, in %d seconds, through a cut cable and a lost disk.%s\n' \
        "$bold" "$(value jfk 'SELECT sum(rows) FROM gundb.stream')" "$SECONDS" "$plain"
}

look_further() {
    local airport
    if [[ -z ${DEMO_KEEP-} ]]; then
        printf 'Nothing is left running; DEMO_KEEP=1 make demo keeps all of it to look further.\n'
        return
    fi
    [[ ! -e $kept ]] || "$0" stop
    cluster_keep "$kept"
    printf 'All of it is still there:\n\n'
    for airport in "${airports[@]}"; do printf '    psql postgresql://postgres@127.0.0.1:%s/postgres    # %s\n' "$(<"$cluster_home/$airport/port")" "$airport"; done
    printf '    %s --store %s/weather view show days\n' "$program" "$cluster_home"
    printf '    %s --store %s/weather sync --once lga\n' "$program" "$cluster_home"
    printf "\n    TABLE gundb.peer_status; TABLE gundb.health; SELECT * FROM gundb.view_history('aircraft', '%s');\n\n" "$plane"
    printf 'make demo-stop ends it.\n'
}

# However it ends: after an error the end of each server's log, then nothing is left.
ended() {
    local status=$? log
    if ((status > 0 && status < 128)); then
        for log in "$cluster_home"/*/log; do
            printf '\nThat went wrong. The end of the log of %s:\n' "$(basename "$(dirname "$log")")"
            tail -n 15 "$log"
        done >&2
    fi
    cluster_stop_all
}
trap ended EXIT

echo "Four sites write. A cable is cut, a disk is lost, and in the end all hold the same. Whatever is claimed is checked."
echo "Starting three PostgreSQLs of our own: Newark, Kennedy, La Guardia …"
jobs=()
for airport in "${airports[@]}"; do
    (cluster_start "$airport" 15 synchronous_commit=off && load "$airport") &
    jobs+=($!)
done
all_of "${jobs[@]}"

one_airport
three_airports
cut_off
killed_and_restored
mended
what_met
looking_back
the_rest
summary
look_further
