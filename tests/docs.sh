#!/usr/bin/env bash
# The documents are true: what they say to run runs, in order, and prints what they say.
#
#   docs.sh [FILE ...]            all of them, or some
#   docs.sh --accept [FILE ...]   takes what is printed as what the documents say: then read the difference
#   docs.sh --show FILE ...       shows each block and what it prints, as it goes
#
# Each document has fresh servers, one a site, and a directory of its own to run in, where one of examples/ finds copies of
# its files. tests/docs.py reads and runs it, and docs/contributing.md tells how a document says what is to be run where.
# docs/reference.md is not written by hand: it is what tests/reference.sql makes of the catalog, and that every function has
# a comment is checked here. So is that each document is a chapter of docs/SUMMARY.md.
#
# GUNDB_BINARY is the program gundb, if it is not target/debug/gundb.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=()
if [[ ${1-} == --accept || ${1-} == --show ]]; then
    mode=("$1")
    shift
fi
all=(README.md SECURITY.md docs/*.md docs/how-to/*.md examples/*/README.md)
documents=("$@")
((${#documents[@]})) || documents=("${all[@]}")

# Dozens of small servers, none of which has to outlive a power cut: in memory, where there is room.
shm_mb=$(df --output=avail --block-size=1M /dev/shm 2>/dev/null | tail -n 1)
cluster_under=$( ((${shm_mb:-0} > 1000)) && echo /dev/shm || echo /tmp)
# shellcheck source=tests/cluster.sh
source tests/cluster.sh

binary=$(realpath "${GUNDB_BINARY-target/debug/gundb}")
[[ -x $binary ]] || { echo "$binary is not there: cargo build -p gundb-node" >&2; exit 1; }
PATH=$(dirname "$binary"):$PATH

failed=0 ran=0
at() { (cluster_use "$1" && shift && psql -X -q -v ON_ERROR_STOP=1 "$@" >/dev/null); }

# What all begin from: like-server has an empty database, shop; in like-site the extension is there too.
cluster_start like-server 15 log_checkpoints=off synchronous_commit=off
at like-server -c 'CREATE DATABASE shop'
cluster_stop like-server
cluster_start like-site 15 --like like-server
at like-site -d shop -c 'CREATE EXTENSION gundb'
cluster_stop like-site

# reference: docs/reference.md is what the catalog says, and all of it says something.
reference() {
    local made=$cluster_home/reference.md missing=$cluster_home/missing
    cluster_start catalog 15 --like like-site
    (cluster_use catalog && psql -X -q -At -v ON_ERROR_STOP=1 -v without_comment="$missing" -d shop -f tests/reference.sql) >"$made"
    cluster_stop catalog immediate
    if [[ -s $missing ]]; then
        echo "These have no comment; give them one in sql/:"
        cat "$missing"
        return 1
    fi
    [[ ${mode-} != --accept ]] || cp "$made" docs/reference.md
    diff -u docs/reference.md "$made" || { echo "docs/reference.md is not what the catalog says: make accept-docs TESTS=docs/reference.md"; return 1; }
}

# begin KIND NAME: starts a server of the kind.
begin() {
    cluster_start "$2" 15 --like "like-$1" || return
    [[ $1 != site ]] || at "$2" -d shop -c "SELECT gundb.set_site_name('$2')"
}

python3 tests/docs.py links "${documents[@]}" || failed=1
python3 tests/book.py missing "${all[@]}" || failed=1

for document in "${documents[@]}"; do
    if [[ $document == docs/reference.md ]]; then
        reference || failed=1
        continue
    fi
    python3 tests/docs.py sites "$document" >"$cluster_home/sites"
    [[ -s $cluster_home/sites ]] || continue
    started=$SECONDS names=()
    while read -r kind name; do
        begin "$kind" "$name" </dev/null
        names+=("$name")
    done <"$cluster_home/sites"
    python3 tests/docs.py run "$document" "$cluster_home" "${mode[@]}" || failed=1
    for name in "${names[@]}"; do
        ! grep 'terminated by signal\|PANIC' "$(cluster_log "$name")" || { echo "$document: the server $name crashed"; failed=1; }
        cluster_stop "$name" immediate
        rm -rf "${cluster_home:?}/$name"
    done
    ran=$((ran + 1))
    printf '%-40s %3d s\n' "$document" "$((SECONDS - started))"
done

echo "$ran documents in $SECONDS seconds"
exit "$failed"
