#!/usr/bin/env bash
# SQL regression tests and isolation specs, on one version of PostgreSQL:
#
#   regress.sh VERSION [NAME ...]            compares what is printed with what is expected
#   regress.sh VERSION --accept [NAME ...]   takes what is printed as expected, and shows what that changed
#
# tests/sql/NAME.sql goes through psql; tests/isolation/specs/NAME.spec goes through PostgreSQL's isolationtester once at
# each isolation level. What they print must be expected/NAME.out beside them, or NAME.LEVEL.out where a level differs
# from READ COMMITTED, or either with -VERSION before .out where a version of PostgreSQL differs. Each runs in a database
# of its own that has the extension and is dropped afterwards. The clients are PostgreSQL 15's whatever the server, so
# that output differs only where servers do. A server that crashed fails the run even if no test noticed.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1
shift
accept=
if [[ ${1-} == --accept ]]; then
    accept=1
    shift
fi

for name; do
    [[ -e tests/sql/$name.sql || -e tests/isolation/specs/$name.spec ]] || { echo "There is no test named $name." >&2; exit 1; }
done

# shellcheck source=tests/cluster.sh
source tests/cluster.sh

results=$PWD/target/regress/$version
rm -rf "$results"
mkdir -p "$results"/{sql,isolation}
cluster_start "pg$version" "$version" fsync=off max_prepared_transactions=10 log_checkpoints=off
cluster_use "pg$version"
clients=$(cluster_tree 15)
PATH=$clients/bin:$clients/lib/postgresql/15/lib/pgxs/src/test/isolation:$PATH
export PGTZ=UTC PGDATESTYLE=ISO PGAPPNAME=regress LC_ALL=C.UTF-8
unset RUST_BACKTRACE

# run KIND NAME LEVEL: prints what the test prints.
run() {
    case $1 in
        sql) (cd tests/sql && timeout 600 psql -X -a -q <"$2.sql") ;;
        isolation)
            PGOPTIONS="-c default_transaction_isolation=${3//-/\\ }" timeout 600 isolationtester "dbname=$PGDATABASE" \
                <"tests/isolation/specs/$2.spec"
            ;;
    esac
}

# candidates KIND NAME LEVEL: the files that may hold what the test must print here, the first that is there does.
candidates() {
    local stem=tests/$1/expected/$2
    printf '%s\n' "$stem.$3-$version.out" "$stem.$3.out" "$stem-$version.out" "$stem.out"
}

expected() {
    local candidate
    for candidate in $(candidates "$@"); do
        [[ ! -e $candidate ]] || break
    done
    echo "$candidate"
}

# accept RESULT KIND NAME LEVEL: makes the result what is expected, in a file of its own only where it differs from what
# would do otherwise. (15 and READ COMMITTED are what the others are compared with.)
accept() {
    local result=$1 own=tests/$2/expected/$3 want
    shift
    [[ $3 == read-committed ]] || own+=.$3
    [[ $version == 15 ]] || own+=-$version
    want=$(expected "$@")
    diff -uN "$want" "$result" && return
    rm -f "$own.out"
    cmp -s "$(expected "$@")" "$result" || cp "$result" "$own.out"
}

passed=0 failed=()
# check KIND NAME LEVEL
check() {
    local level=$3 title=$1/$2 result want start_us=${EPOCHREALTIME/[^0-9]/} outcome=ok
    [[ $level == read-committed ]] || title+=.$level
    result=$results/$title.out
    want=$(expected "$@")
    export PGDATABASE=${title/\//_}
    psql -X -q -d postgres -c "CREATE DATABASE \"$PGDATABASE\""
    psql -X -q -c 'CREATE EXTENSION gundb'
    run "$@" >"$result" 2>&1 || outcome='FAILED (the client)'
    # After a crash the server is back in a moment.
    timeout 60 bash -c 'until pg_isready -q -d postgres; do sleep 0.1; done'
    psql -X -q -d postgres -c "DROP DATABASE \"$PGDATABASE\"" || outcome='FAILED (its database could not be dropped)'
    if [[ $accept && $outcome == ok ]]; then
        accept "$result" "$@"
    elif ! diff -u "$want" "$result" >"$result.diff" 2>&1; then
        outcome=FAILED
    fi
    printf '%6d ms  %s  %s\n' $(((${EPOCHREALTIME/[^0-9]/} - start_us) / 1000)) "$title" "$outcome"
    if [[ $outcome == ok ]]; then
        passed=$((passed + 1))
    else
        failed+=("$title")
        head -n 100 "$result.diff" 2>/dev/null || true
    fi
}

wanted() { [[ $# == 1 || " ${*:2} " == *" $1 "* ]]; }
for file in tests/sql/*.sql tests/isolation/specs/*.spec; do
    [[ -e $file ]] || continue
    name=$(basename "${file%.*}")
    wanted "$name" "$@" || continue
    case $file in
        tests/sql/*) check sql "$name" read-committed ;;
        # Of two SERIALIZABLE sessions that define one type, one may get 40001, now this one, now that.
        */define-event.spec) for level in read-committed repeatable-read; do check isolation "$name" "$level"; done ;;
        *) for level in read-committed repeatable-read serializable; do check isolation "$name" "$level"; done ;;
    esac
done

cp "$(cluster_log "pg$version")" "$results/server.log"
if grep -E -A1 'was terminated by signal|PANIC|TRAP:' "$results/server.log"; then
    failed+=('the server crashed')
fi
if ((${#failed[@]})); then
    echo "--- the end of the server's log, $results/server.log ---"
    tail -n 30 "$results/server.log"
    printf 'failed: %s\n' "${failed[@]}"
fi
echo "$passed passed, ${#failed[@]} failed"
((${#failed[@]} == 0))
