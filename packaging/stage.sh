#!/usr/bin/env bash
# Builds what is shipped and lays it into a directory as it lies on a system, below usr/:
#
#   stage.sh server DIRECTORY release|dev [PG_CONFIG]   the extension, for the PostgreSQL of pg_config
#   stage.sh edge DIRECTORY release|dev                 the program gundb, its unit, manual pages and completions
#
# packaging/deb.sh makes packages of it, docker/Dockerfile images. What always holds: cargo decides what has to be built
# again; programs and libraries are stripped; the private trees of the tests (target/pg/NN/bin/pg_config) stand for Debian's
# PostgreSQL, of which they are copies.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

part=$1 profile=$3
mkdir -p "$2"
directory=$(realpath "$2")

stage_server() {
    local pg_config=$1 whole=$directory/.whole tree
    DESTDIR=$whole tests/extension.sh install "$pg_config" "$profile"
    mkdir -p "$directory/usr"
    case $pg_config in
        */pg/*) tree=$(realpath "${pg_config%/bin/pg_config}") ;;
        *) tree=/usr ;;
    esac
    cp -a "$whole$tree"/. "$directory/usr"
    rm -rf "$whole"
    find "$directory/usr" -name gundb.so -exec strip --strip-unneeded {} +
}

stage_edge() {
    local target=${CARGO_TARGET_DIR:-target} usr=$directory/usr
    if [[ $profile == release ]]; then
        cargo build --profile binary -p gundb-node
        target+=/binary
    else
        cargo build -p gundb-node
        target+=/debug
    fi
    install -D -m 755 --strip "$target/gundb" "$usr/bin/gundb"
    install -D -m 644 -t "$usr/lib/systemd/system" packaging/gundb@.service
    mkdir -p "$usr/share/man/man1"
    "$usr/bin/gundb" manual "$usr/share/man/man1"
    "$usr/bin/gundb" completions bash | install -D -m 644 /dev/stdin "$usr/share/bash-completion/completions/gundb"
    "$usr/bin/gundb" completions zsh | install -D -m 644 /dev/stdin "$usr/share/zsh/vendor-completions/_gundb"
    "$usr/bin/gundb" completions fish | install -D -m 644 /dev/stdin "$usr/share/fish/vendor_completions.d/gundb.fish"
}

case $part in
    server) stage_server "${4-pg_config}" ;;
    edge) stage_edge ;;
    *) echo "stage.sh: unknown part: $part" >&2; exit 2 ;;
esac
