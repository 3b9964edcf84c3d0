# shellcheck shell=bash
# Three airports and a weather station, for a script in the top directory to `source`: how they are asked, what lies
# between them, what they do, and how much each holds.
#
# What always holds: all of it lives in cluster_home. Each airport is a server of its name, and its database is postgres.
#
# GUNDB_BINARY is the program gundb, if it is not the first of target/{binary,release,debug}/gundb that is there.

# shellcheck source=tests/cluster.sh
source tests/cluster.sh
# shellcheck source=examples/look.sh
source examples/look.sh

readonly airports=(ewr jfk lga)

program=${GUNDB_BINARY-}
for candidate in target/{binary,release,debug}/gundb; do
    [[ -n $program || ! -x $candidate ]] || program=$candidate
done
[[ -x $program ]] || { echo "The program gundb is not there: cargo build -p gundb-node" >&2; exit 1; }

# --- at a site --------------------------------------------------------------------------------------------------------

at() {
    local airport=$1
    shift
    (cluster_use "$airport" && psql -X -q -v ON_ERROR_STOP=1 "$@")
}
value() { at "$1" -A -t -c "$2"; }

# show AIRPORT SQL: the statement, then what that airport answers. A row that is wider than a terminal is printed a column a line.
show() {
    typed "$1" '=#' "$2"
    at "$1" -P columns=120 -P expanded=auto -P footer=off -c "$2" | sed '/^$/d'
}

# refused AIRPORT SQL WORDS: the same for a statement that gundb must refuse, with these words.
refused() {
    local answer
    typed "$1" '=#' "$2"
    ! answer=$(at "$1" -c "$2" 2>&1) || { echo "That should have been refused." >&2; exit 1; }
    printf '%s\n' "$answer"
    [[ $answer == *"$3"* ]] || { echo "It was not refused for that: $3." >&2; exit 1; }
}

# until_true AIRPORT SQL: asks until the answer is true.
until_true() {
    local deadline=$((SECONDS + 60))
    until [[ $(value "$1" "$2") == t ]]; do
        ((SECONDS < deadline)) || { echo "$1 does not come to this: $2" >&2; exit 1; }
        sleep 0.1
    done
}

# all_of JOB ...: waits for all of these, and fails if one of them did.
all_of() {
    local job
    for job; do wait "$job"; done
}

# The weather station: the program gundb, and one file.
gundb() { "$program" --store "$cluster_home/weather" "$@"; }
station() {
    local word words=''
    for word; do
        # As a shell wants it.
        [[ $word != *[\ \{\"\&\?]* ]] || word="'$word'"
        words+=" ${word//"$cluster_home"/…}"
    done
    words=${words# }
    typed weather \$ "gundb ${words//"${cluster_home//\//%2F}"/…}"
    gundb "$@"
}

# call: the station exchanges everything with La Guardia. While the airports tell each other of a new site by whom it is reached,
# its session may have to begin anew: then it calls again.
call() {
    local said deadline=$((SECONDS + 60))
    typed weather \$ 'gundb sync --once lga'
    until said=$(gundb sync --once lga 2>&1); do
        ((SECONDS < deadline)) || { printf '%s\n' "$said" >&2; exit 1; }
        sleep 0.2
    done
    printf '%s\n' "$said"
}

# --- cables -----------------------------------------------------------------------------------------------------------

# The cable from one site to another is a directory in which the one finds the other's socket.
cable() { printf '%s/cable-%s-%s' "$cluster_home" "$1" "$2"; }
lay() {
    cluster_as_server mkdir -p "$(cable "$1" "$2")"
    cluster_as_server ln -sf "$cluster_home/$2/.s.PGSQL.$(<"$cluster_home/$2/port")" "$(cable "$1" "$2")/.s.PGSQL.5432"
}
cut() {
    rm "$(cable "$1" "$2")/.s.PGSQL.5432"
    value "$2" "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'peer_$1'" >/dev/null
}
url() {
    local directory
    directory=$(cable "$1" "$2")
    printf 'postgres://peer_%s@%s/postgres' "$1" "${directory//\//%2F}"
}

# dial FROM TO: FROM dials TO; one connection carries both directions.
dial() {
    lay "$1" "$2"
    at "$2" -c "CREATE ROLE peer_$1 LOGIN" -c "SELECT gundb.grant_peer('peer_$1', accept => 'any')" >/dev/null
    # Small bundles, so that one sees them come.
    at "$1" -c "SELECT gundb.add_peer('$2', '$(url "$1" "$2")', options => '{\"bundle_bytes\": 65536}')" >/dev/null
}

# --- what they do -----------------------------------------------------------------------------------------------------

# load AIRPORT: what is to leave there this month, as the events that it will append.
load() {
    at "$1" >/dev/null <<SQL
        CREATE TEMP TABLE raw (year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, sched_arr_time int,
            arr_delay int, carrier text, flight int, tailnum text, origin text, dest text, air_time int, distance int, hour int, minute int, time_hour timestamptz);
        \copy raw FROM PROGRAM 'gzip -dc examples/data/flights-2013-01.csv.gz' (FORMAT csv, HEADER, NULL 'NA')
        CREATE TABLE timetable AS
        SELECT row_number() OVER (ORDER BY day, at, flight) AS n, day, at, type, tailnum AS tail,
               jsonb_strip_nulls(jsonb_build_object('carrier', carrier, 'flight', flight, 'to', dest, 'day', day, 'late', dep_delay,
                   'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI"Z"'),
                   'status', CASE type WHEN 'Departed' THEN format('left %s for %s', origin, dest) ELSE format('%s to %s cancelled', origin, dest) END)) AS data
          FROM raw, LATERAL (SELECT CASE WHEN dep_time IS NULL THEN 'Cancelled' ELSE 'Departed' END AS type,
                   (time_hour + make_interval(mins => minute + coalesce(dep_delay, 0))) AT TIME ZONE 'UTC' AS at) AS event
         WHERE origin = upper('$1');
        ALTER TABLE timetable ADD PRIMARY KEY (n);
SQL
}

# fly FIRST_DAY LAST_DAY SIZE AIRPORT ...: each airport appends its own departures of these days, so many in a transaction.
fly() {
    local first=$1 last=$2 size=$3 airport whole=0 begun=$EPOCHREALTIME jobs=()
    shift 3
    for airport; do
        whole=$((whole + $(value "$airport" "SELECT count(*) FROM timetable WHERE day BETWEEN $first AND $last")))
        (cluster_use "$airport" && psql -X -v ON_ERROR_STOP=1 -v first="$first" -v last="$last" -v size="$size") >"$cluster_home/flown-$airport" <<'SQL' &
            SELECT format('INSERT INTO flights (type, key, data) SELECT type, tail, data FROM timetable WHERE n BETWEEN %s AND %s', min(n), max(n))
              FROM timetable WHERE day BETWEEN :first AND :last GROUP BY n / :size ORDER BY min(n) \gexec
SQL
        jobs+=($!)
    done
    # psql says INSERT 0 and how many for each transaction.
    while [[ -n $is_live && -n $(jobs -pr) ]]; do
        progress "January $first to $last" "$(cat "${@/#/$cluster_home/flown-}" | awk '{ n += $3 } END { print n + 0 }')" "$whole"
        sleep 0.2
    done
    progress_done
    all_of "${jobs[@]}"
    awk -v n="$whole" -v size="$size" -v first="$first" -v last="$last" -v sites="$*" -v a="$begun" -v b="$EPOCHREALTIME" \
        'BEGIN { printf "January %d to %d at %s: %d departures, %d a transaction, in %.1f s\n", first, last, sites, n, size, b - a }'
}

# measure FIRST_DAY LAST_DAY: the station appends its readings of these days.
measure() {
    gzip -dc examples/data/weather-2013-01.csv.gz | awk -F, -v first="$1" -v last="$2" 'NR == 1 || ($4 >= first && $4 <= last)' >"$cluster_home/readings.csv"
    "${3-gundb}" append weather Measured --csv "$cluster_home/readings.csv" --columns 'airport=origin:text, day:number, temp:number, gust=wind_gust:number' --null NA
}

# agree: waits until every airport holds, and shows, all that each of them holds now; then their digests must be the same.
agree() {
    local from to clock begun=$EPOCHREALTIME
    for from in "${airports[@]}"; do
        clock=$(value "$from" 'SELECT gundb.site_clock()')
        for to in "${airports[@]}"; do
            [[ $from == "$to" || $(value "$to" "SELECT gundb.wait_for('$clock', timeout => '2 min')") == t ]] ||
                { echo "$to does not get what $from holds." >&2; at "$to" -c 'SELECT * FROM gundb.peer_status' >&2; exit 1; }
        done
    done
    proven "$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "All three hold the same %.1f s later: digest ", b - a }')$(value ewr 'SELECT gundb.digest()')" \
        "$(everywhere 'SELECT gundb.digest()')" 1
}

# everywhere SQL: how many different answers the airports give.
everywhere() {
    local airport
    for airport in "${airports[@]}"; do value "$airport" "$1" || echo "no answer of $airport"; done | sort -u | wc -l
}

# note WHEN: how much each holds at this point, for the table at the end.
noted=()
note() {
    local airport row
    printf -v row '%-42s %5d' "$1" "$SECONDS"
    for airport in "${airports[@]}"; do
        row+=$(printf ' %7s' "$(value "$airport" 'SELECT count(*) FROM flights' 2>/dev/null || echo down)")
    done
    row+=$(printf ' %9s' "$(gundb --json read weather | wc -l)")
    for airport in "${airports[@]}"; do
        row+=$(printf ' %7s' "$(value "$airport" 'SELECT count(*) FROM weather' 2>/dev/null || echo down)")
    done
    noted+=("$row")
}

# drain: what each airport still lacks, drawn as it gets less, until nobody lacks anything.
drain() {
    local whole=0 airport first='' last='' begun=$EPOCHREALTIME deadline=$((SECONDS + 120)) sum most=0 row
    local -A lacks=()
    for airport in "${airports[@]}"; do
        whole=$((whole + $(value "$airport" 'SELECT count(*) FROM flights JOIN gundb.site USING (site) WHERE own')))
    done
    printf '%sseconds   %-28s%-28s%s%s\n' "$dim" 'ewr lacks' 'jfk lacks' 'lga lacks' "$plain"
    while :; do
        sum=0 row=''
        for airport in "${airports[@]}"; do
            lacks[$airport]=$((whole - $(value "$airport" 'SELECT count(*) FROM flights')))
            sum=$((sum + lacks[$airport]))
            [[ -n $first ]] || most=$((lacks[$airport] > most ? lacks[$airport] : most))
        done
        # A line for each 24th of it, however long it takes.
        if [[ -z $first ]] || ((sum == 0 || (last - sum) * 24 >= first)); then
            for airport in "${airports[@]}"; do
                row+=$(printf '%6d %s%s%s ' "${lacks[$airport]}" "${hue[$airport]-}" "$(bar "${lacks[$airport]}" "$most" 20)" "$plain")
            done
            awk -v a="$begun" -v b="$EPOCHREALTIME" -v row="$row" 'BEGIN { printf "%7.1f %s\n", b - a, row }'
            first=${first:-$sum} last=$sum
        fi
        ((sum)) || break
        ((SECONDS < deadline)) || { echo "They do not get what they lack." >&2; exit 1; }
    done
}
