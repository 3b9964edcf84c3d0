#!/usr/bin/env bash
# Builds the extension against one PostgreSQL and installs it there:
#
#   extension.sh build|install|uninstall PG_CONFIG dev|release
#   extension.sh scripts DIRECTORY        only the SQL scripts, to look at
#
# cargo decides what has to be built again. The install script gundb--VERSION.sql is sql/[0-9]*.sql, one after the
# other in the order of their numbers. In upgrade scripts, sql/gundb--A--B.sql, a line "-- include FILE" stands for such
# a file, so that nothing is written twice. DESTDIR is honoured, for packagers.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

die() { printf '%s\n' "$@" >&2; exit 1; }

extension_version=$(sed -nE "s/^default_version = '(.*)'/\1/p" gundb.control)

# Writes the install script and the upgrade scripts to a directory.
write_scripts() {
    cat sql/[0-9]*.sql | install -m 644 /dev/stdin "$1/gundb--$extension_version.sql"
    local upgrade
    for upgrade in sql/gundb--*--*.sql; do
        awk '$1 == "--" && $2 == "include" { while ((getline line <("sql/" $3)) > 0) print line; next } { print }' \
            "$upgrade" | install -m 644 /dev/stdin "$1/${upgrade##*/}"
    done
}

if [[ $1 == scripts ]]; then
    write_scripts "$2"
    exit
fi

action=$1 profile=$3
pg_config=$(command -v "$2" || true)
[[ -n $pg_config ]] || die "$2 is not there. Debian has it in postgresql-server-dev-NN; PG_CONFIG=… says where it is."

version=$("$pg_config" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
[[ $version =~ ^1[5-8]$ ]] || die "gundb builds for PostgreSQL 15 to 18; $pg_config is of $("$pg_config" --version | head -n 1)."
library=${DESTDIR-}$("$pg_config" --pkglibdir)/gundb.so
scripts=${DESTDIR-}$("$pg_config" --sharedir)/extension

# cargo rebuilds the bindings when pg_config is another one, so the private trees and the system's PostgreSQL have each
# a directory of their own.
case $pg_config in
    target/pg/* | "$PWD"/target/pg/*) target_dir=$PWD/target/pg$version ;;
    *) target_dir=$PWD/target/install/pg$version ;;
esac
built=$target_dir/${profile/dev/debug}/libgundb.so

build() {
    if ! command -v cargo >/dev/null; then
        # `make build && sudo make install`: root seldom has cargo.
        [[ -e $built ]] || die "cargo is not in PATH, and there is no build to install: please run make build first."
        return
    fi
    [[ -e $built ]] || echo "Building gundb for PostgreSQL $version ($profile); the first time takes a few minutes."
    PGRX_PG_CONFIG_PATH=$(realpath -s "$pg_config") CARGO_TARGET_DIR=$target_dir \
        cargo build -p gundb --profile "$profile" --no-default-features --features "pg$version"
}

remove() {
    rm -f "$library" "$scripts"/gundb.control "$scripts"/gundb--*.sql
}

case $action in
    build)
        build
        ;;
    install)
        build
        remove
        install -D -m 755 "$built" "$library"
        install -D -m 644 -t "$scripts" gundb.control
        write_scripts "$scripts"
        echo "Installed gundb $extension_version ($profile) for PostgreSQL $version: $library"
        ;;
    uninstall)
        remove
        ;;
    *)
        die "unknown action: $action"
        ;;
esac
