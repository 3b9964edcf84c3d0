#!/usr/bin/env bash
# SQL regression tests and isolation specs, on one version of PostgreSQL:
#
#   regress.sh VERSION [NAME ...]            compares what is printed with what is expected
#   regress.sh VERSION --accept [NAME ...]   takes what is printed as expected, and shows what that changed
#
# tests/sql/NAME.sql goes through psql, tests/isolation/specs/NAME.spec through PostgreSQL's isolationtester. What they
# print must be expected/NAME.out beside them, or NAME-VERSION.out where a version differs. Each runs in a database of
# its own that has the extension and is dropped afterwards. The clients are PostgreSQL 15's whatever the server, so that
# output differs only where servers do. A server that crashed fails the run even if no test noticed.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1
shift
accept=
if [[ ${1-} == --accept ]]; then
    accept=1
    shift
fi

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

results=$PWD/target/regress/$version
rm -rf "$results"
mkdir -p "$results"/{sql,isolation}
cluster_start "pg$version" "$version" fsync=off max_prepared_transactions=10
cluster_use "pg$version"
clients=$(cluster_tree 15)
PATH=$clients/bin:$clients/lib/postgresql/15/lib/pgxs/src/test/isolation:$PATH
export PGTZ=UTC PGDATESTYLE=ISO PGAPPNAME=regress LC_ALL=C.UTF-8
unset RUST_BACKTRACE

# run KIND NAME: prints what the test prints.
run() {
    case $1 in
        sql) (cd tests/sql && timeout 600 psql -X -a -q <"$2.sql") ;;
        isolation) timeout 600 isolationtester "dbname=$PGDATABASE" <"tests/isolation/specs/$2.spec" ;;
    esac
}

# expected KIND NAME: the file that holds what the test must print here.
expected() {
    local stem=tests/$1/expected/$2
    if [[ -e $stem-$version.out ]]; then echo "$stem-$version.out"; else echo "$stem.out"; fi
}

passed=0 failed=0
# check KIND NAME
check() {
    local kind=$1 name=$2 result=$results/$1/$2.out want start_us=${EPOCHREALTIME/[^0-9]/} outcome=ok
    want=$(expected "$kind" "$name")
    # After a crash the server is back in a moment.
    timeout 60 bash -c 'until pg_isready -q -d postgres; do sleep 0.1; done'
    export PGDATABASE=${kind}_$name
    psql -X -q -d postgres -c "CREATE DATABASE \"$PGDATABASE\""
    psql -X -q -c 'CREATE EXTENSION gundb'
    run "$kind" "$name" >"$result" 2>&1 || outcome='FAILED (the client)'
    psql -X -q -d postgres -c "DROP DATABASE \"$PGDATABASE\"" || outcome='FAILED (its database could not be dropped)'
    if [[ $accept && $outcome == ok ]]; then
        diff -uN "$want" "$result" || cp "$result" "$want"
    elif ! diff -u "$want" "$result" >"$result.diff" 2>&1; then
        outcome=FAILED
    fi
    printf '%6d ms  %s/%s  %s\n' $(((${EPOCHREALTIME/[^0-9]/} - start_us) / 1000)) "$kind" "$name" "$outcome"
    if [[ $outcome == ok ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        head -n 100 "$result.diff" 2>/dev/null || true
    fi
}

wanted() { [[ $# == 1 || " ${*:2} " == *" $1 "* ]]; }
for file in tests/sql/*.sql tests/isolation/specs/*.spec; do
    [[ -e $file ]] || continue
    name=$(basename "${file%.*}")
    wanted "$name" "$@" || continue
    case $file in tests/sql/*) check sql "$name" ;; *) check isolation "$name" ;; esac
done

cp "$(cluster_log "pg$version")" "$results/server.log"
if grep -E 'was terminated by signal|PANIC|TRAP:' "$results/server.log"; then
    echo "The server crashed."
    failed=$((failed + 1))
fi
if ((failed)); then
    echo "--- the end of the server's log, $results/server.log ---"
    tail -n 30 "$results/server.log"
fi
echo "$passed passed, $failed failed"
((failed == 0))
