#!/usr/bin/env bash
# The life of the extension on one version of PostgreSQL: loading, the worker's comings and goings, upgrades.
#
#   lifecycle.sh VERSION
#
# Use it when you change loading, the launcher or worker, the utility hook, or anything in sql/. Install scripts of
# releases stand frozen in tests/releases: each must still upgrade to what a fresh installation gives.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1
# shellcheck source=tests/cluster.sh
source tests/cluster.sh
unset RUST_BACKTRACE
shopt -s nullglob

passed=0 failed=0
# ok NAME COMMAND...: a check that passes if the command does.
ok() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$name"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
    fi
}
sql() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
# until_true SECONDS COMMAND...: tries until the command succeeds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}
# within MS COMMAND...: the command succeeds within so many milliseconds.
within() {
    local limit_ms=$1 start_us=${EPOCHREALTIME/[^0-9]/} took_ms
    shift
    "$@" || return 1
    took_ms=$(((${EPOCHREALTIME/[^0-9]/} - start_us) / 1000))
    ((took_ms <= limit_ms)) || { echo "took $took_ms ms"; return 1; }
}
workers() { sql -d postgres -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'gundb worker' AND datname = '$1'"; }
has_workers() { [[ $(workers "$1") == "$2" ]]; }

# --- Loading ----------------------------------------------------------------------------------------------------------

cluster_start plain "$version" shared_preload_libraries=pg_stat_statements
cluster_use plain
error=$(sql -d postgres -v VERBOSITY=verbose -c 'CREATE EXTENSION gundb' 2>&1 || true)
ok 'without preloading, CREATE EXTENSION fails with GD013' grep -q 'GD013' <<<"$error"
hint=$(sed -n 's/^HINT:  Run \(ALTER SYSTEM .*;\) and restart.*/\1/p' <<<"$error")
ok 'the hint is a command that keeps what is loaded, each name quoted apart' \
    test "$hint" = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements', 'gundb';"
sql -d postgres -c "$hint"
cluster_restart plain
ok 'after the hinted command and a restart it succeeds' sql -d postgres -c 'CREATE EXTENSION gundb'
ok 'a database that is not in UTF8 is refused' bash -c '
    psql -X -q -d postgres -c "CREATE DATABASE latin ENCODING LATIN1 LOCALE \"C\" TEMPLATE template0" &&
    psql -X -q -d latin -c "CREATE EXTENSION gundb" 2>&1 | grep -q UTF8'
cluster_stop plain

# --- The worker -------------------------------------------------------------------------------------------------------

cluster_start live "$version" fsync=off
cluster_use live
sql -d postgres -c 'CREATE DATABASE one'
ok 'no worker where there is no extension' has_workers one 0
sql -d one -c 'CREATE EXTENSION gundb'
ok 'CREATE EXTENSION starts a worker without a restart' until_true 5 has_workers one 1
sql -d one -c "SELECT gundb.create_stream('s')" -c "INSERT INTO s (type) VALUES ('a')" >/dev/null
ok 'an append is told by NOTIFY' bash -c '
    psql -X -q -d one <<<"LISTEN gundb_s; INSERT INTO s (type) VALUES ('"'b'"'); SELECT pg_sleep(1); SELECT 1;" |
        grep -q "notification \"gundb_s\""'
ok 'CREATE DATABASE … TEMPLATE succeeds within 5 s beside a live worker' \
    within 5000 sql -d postgres -c 'CREATE DATABASE copy TEMPLATE one'
ok 'the worker comes back after it' until_true 10 has_workers one 1
ok 'the copy goes on in a run of its own' bash -c '
    [[ $(psql -X -qAt -d copy -c "INSERT INTO s (type) VALUES ('"'c'"'); SELECT count(DISTINCT lane) FROM s") == 2 ]]'
ok 'the copy acts on CRDT values as another replica of the same site' bash -c '
    replica() { psql -X -qAt -d "$1" -c "SELECT gundb.replica()"; }
    one=$(replica one) copy=$(replica copy); [[ $one != "$copy" && ${one%/*} == "${copy%/*}" ]]'
ok 'the copy has a worker once it appends' until_true 10 has_workers copy 1
ok 'ALTER DATABASE … RENAME succeeds within 5 s' within 5000 sql -d postgres -c 'ALTER DATABASE copy RENAME TO copied'
ok 'DROP DATABASE succeeds within 5 s' within 5000 sql -d postgres -c 'DROP DATABASE copied'
ok 'a failed DROP DATABASE lets the worker come back' bash -c '
    psql -X -q -d one -c "SELECT pg_sleep(12)" >/dev/null & sleep 0.5
    ! psql -X -q -d postgres -c "DROP DATABASE one" 2>/dev/null; wait'
ok 'and it is back' until_true 10 has_workers one 1
pid=$(sql -d postgres -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'gundb worker' AND datname = 'one'")
sql -d postgres -c "SELECT pg_terminate_backend($pid)" >/dev/null
ok 'a worker that was terminated is started again' until_true 10 has_workers one 1
ok 'DROP EXTENSION is refused while there are streams' bash -c '! psql -X -q -d one -c "DROP EXTENSION gundb CASCADE" 2>/dev/null'
sql -d one -c 'SELECT gundb.uninstall()' -c 'DROP EXTENSION gundb' >/dev/null 2>&1
ok 'DROP EXTENSION ends the worker' until_true 5 has_workers one 0
ok 'DROP EXTENSION leaves nothing of its own, in pg_catalog either' test "$(sql -d one -c "SELECT count(*) FROM (
    SELECT oid FROM pg_operator UNION ALL SELECT oid FROM pg_proc UNION ALL SELECT oid FROM pg_cast UNION ALL
    SELECT oid FROM pg_opclass UNION ALL SELECT oid FROM pg_opfamily) AS objects WHERE oid >= 16384")" = 0
ok 'the events are still there, in a plain table' test "$(sql -d one -c 'SELECT count(*) FROM s')" = 2
sql -d one -c 'DROP TABLE s' -c 'CREATE EXTENSION gundb'
ok 'CREATE EXTENSION again starts anew' until_true 5 has_workers one 1
ok 'a fast shutdown takes at most 5 s' within 5000 cluster_stop live
cluster_start full "$version" fsync=off max_worker_processes=2
cluster_use full
sql -d postgres -c 'CREATE EXTENSION gundb' -c "SELECT gundb.create_stream('s')" -c "INSERT INTO s (type) VALUES ('a')" >/dev/null
ok 'where no worker slot is free, appends go on and health says it' bash -c '
    [[ $(psql -X -qAt -d postgres -c "SELECT status FROM gundb.health WHERE \"check\" = '"'worker'"'") == WARNING ]]'
ok 'and the log says it once, with what to do' bash -c '
    sleep 3; [[ $(grep -c "no background worker slot is free" "$1") == 1 ]] && grep -q "Raise max_worker_processes" "$1"' - "$(cluster_log full)"
cluster_stop full

# --- Upgrades ---------------------------------------------------------------------------------------------------------

current=$(sed -nE "s/^default_version = '(.*)'/\1/p" gundb.control)
cluster_start upgrade "$version" fsync=off
cluster_use upgrade
# What the extension consists of, as PostgreSQL describes it: members, definitions, comments, rights.
members() {
    sql -d "$1" <<'END'
SELECT pg_describe_object(d.classid, d.objid, d.objsubid),
       coalesce(pg_get_functiondef(p.oid), pg_get_viewdef(c.oid),
                (SELECT string_agg(format('%s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull), ', ' ORDER BY a.attnum)
                   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)),
       obj_description(d.objid, d.classid::regclass::text), coalesce(p.proacl, c.relacl),
       (SELECT string_agg(pg_get_indexdef(i.indexrelid), E'\n' ORDER BY 1) FROM pg_index i WHERE i.indrelid = c.oid)
  FROM pg_depend d
  LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid AND p.prokind = 'f'
  LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
 ORDER BY pg_describe_object(d.classid, d.objid, d.objsubid) COLLATE "C"
END
}
sql -d postgres -c 'CREATE DATABASE fresh'
sql -d fresh -c 'CREATE EXTENSION gundb'
fresh=$(members fresh)
for script in tests/releases/gundb--*.sql; do
    release=${script##*--}
    release=${release%.sql}
    if [[ $release == "$current" ]]; then
        ok "the install script of release $release is as it was released" bash -c 'cmp <(cat sql/[0-9]*.sql) "$1"' - "$script"
        continue
    fi
    install -m 644 "$script" "$(cluster_tree "$version")"/share/*/extension/ 2>/dev/null ||
        install -m 644 "$script" "$("$(cluster_tree "$version")"/bin/pg_config --sharedir)/extension/"
    old="from $release"
    sql -d postgres -c "CREATE DATABASE \"$old\""
    sql -d "$old" -c "CREATE EXTENSION gundb VERSION '$release'" -c "SELECT gundb.create_stream('s')" >/dev/null
    # Other sessions update the extension and make a view; this one must learn of both.
    seen=$(sql -d "$old" <<END
INSERT INTO s (type, key) VALUES ('Before', 'a');
SELECT count(*) FROM gundb.read();
\! psql -X -q -d '$old' -c 'ALTER EXTENSION gundb UPDATE'
\! psql -X -q -A -t -d '$old' -c "SELECT gundb.create_view('v', 's', '{\"n\": {\"fold\": \"count\"}}')"
INSERT INTO s (type, key) VALUES ('After', 'a');
SELECT count(*) FROM gundb.read();
SELECT n FROM v;
END
    )
    ok "release $release appends with this library, upgrades, and folds in a session that was there before" \
        test "$seen" = $'1\nv\n2\n2'
    ok "release $release, upgraded, has what a fresh installation has" \
        diff <(echo "$fresh") <(members "$old")
done

echo "$passed passed, $failed failed"
exit $((failed > 0))
