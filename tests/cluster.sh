# shellcheck shell=bash
# Temporary PostgreSQL clusters for scripts that `source` this file:
#
#   cluster_start NAME VERSION [SETTING=VALUE ...]   makes and starts one: gundb preloaded, UTF8, C.UTF-8, trust
#   cluster_start NAME VERSION --like NAME [SETTING=VALUE ...]   the same, as a copy of one that was stopped, which is faster
#   cluster_use NAME                                 points psql and its kin there (PGHOST, PGPORT, PGUSER, PATH)
#   cluster_restart NAME [fast|immediate]
#   cluster_stop NAME [fast|immediate]
#   cluster_log NAME                                 prints the path of the server's log
#   cluster_tree VERSION                             prints the private PostgreSQL tree that servers run from
#   cluster_keep FILE, cluster_stop_kept FILE        leave all running and note where; stop what the note names
#
# What always holds: everything lives in one new directory, cluster_home, in /tmp or where cluster_under says; when the script ends, in whatever way, the
# servers in it are stopped and it is removed; nothing else is touched, no other process signalled. As root the servers
# run as the user postgres, since PostgreSQL refuses root. A cluster listens on a socket in its directory and on a free
# port of 127.0.0.1.

cluster_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# A short name: the path of a socket has 107 bytes at most.
cluster_home=$(mktemp -d "${cluster_under-/tmp}/gundb.XXXXXX")
((EUID != 0)) || chown postgres "$cluster_home"

cluster_stop_all() {
    local data
    for data in "$cluster_home"/*/data; do
        [[ ! -e $data ]] || cluster_stop "$(basename "$(dirname "$data")")" immediate
    done
    rm -rf "$cluster_home"
}
trap cluster_stop_all EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command as the user that servers run as, from a directory that it can read. A backtrace in an error message
# would make output differ from build to build.
cluster_as_server() (
    cd "$cluster_home" || exit
    if ((EUID == 0)); then
        exec runuser -u postgres -- env -u RUST_BACKTRACE "$@"
    else
        exec env -u RUST_BACKTRACE "$@"
    fi
)

cluster_tree() {
    local tree=$cluster_top/target/pg/$1 copy=$cluster_home/trees/$1
    # In a checkout below root's home, say, the servers' user cannot reach the tree: it gets a copy.
    if ! cluster_as_server test -x "$tree/bin/postgres"; then
        [[ -d $copy ]] || { mkdir -p "$cluster_home/trees" && cp -a "$tree" "$copy"; }
        tree=$copy
    fi
    printf '%s\n' "$tree"
}

cluster_log() { printf '%s\n' "$cluster_home/$1/log"; }

cluster_start() {
    local name=$1 version=$2 dir=$cluster_home/$1 setting value
    shift 2
    cluster_as_server mkdir "$dir"
    ln -s "$(cluster_tree "$version")" "$dir/tree"
    if [[ ${1-} == --like ]]; then
        cluster_as_server cp -a "$cluster_home/$2/data" "$dir/data"
        shift 2
    else
        cluster_initdb "$dir"
    fi
    for setting in listen_addresses=127.0.0.1 unix_socket_directories="$dir" shared_preload_libraries=gundb \
        log_line_prefix='%m [%p] %d ' "$@"; do
        value=${setting#*=}
        printf "%s = '%s'\n" "${setting%%=*}" "${value//\'/\'\'}"
    done >>"$dir/data/postgresql.conf"
    cluster_launch "$name"
}

cluster_initdb() {
    cluster_as_server "$1/tree/bin/initdb" --pgdata="$1/data" --username=postgres --auth=trust \
        --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$1/initdb.log" 2>&1 || { cat "$1/initdb.log" >&2; return 1; }
}

# Starts the server at a port that is free, and says why if it cannot.
cluster_launch() {
    local dir=$cluster_home/$1 tries
    for tries in {1..10}; do
        # Below the ports that the kernel hands out, so that nobody gets ours while we restart.
        printf '%s\n' "$((20000 + RANDOM % 12000))" >"$dir/port"
        cluster_pg_ctl "$1" start --log="$dir/log" --options="-p $(<"$dir/port")" && return
        tail -n 5 "$dir/log" | grep -q 'Address already in use' || break
    done
    echo "PostgreSQL did not start (try $tries); the end of its log:" >&2
    tail -n 20 "$dir/log" >&2
    return 1
}

cluster_pg_ctl() {
    local dir=$cluster_home/$1
    shift
    cluster_as_server "$dir/tree/bin/pg_ctl" "$@" --pgdata="$dir/data" --wait --timeout=120 </dev/null >/dev/null
}

cluster_stop() { cluster_pg_ctl "$1" stop --mode="${2-fast}" 2>/dev/null || true; }

cluster_restart() { cluster_pg_ctl "$1" restart --mode="${2-fast}" --log="$cluster_home/$1/log"; }

cluster_use() {
    local dir=$cluster_home/$1
    PGPORT=$(<"$dir/port")
    export PGHOST=$dir PGPORT PGUSER=postgres PGDATABASE=postgres PSQLRC=/dev/null PSQL_PAGER=
    PATH=$(realpath "$dir/tree/bin"):$PATH
}

cluster_keep() {
    trap - EXIT
    printf '%s\n' "$cluster_home" >"$1"
}

cluster_stop_kept() {
    if [[ -s $1 ]]; then
        rmdir "$cluster_home"
        cluster_home=$(<"$1")
        rm "$1"
    fi
    # The trap does the rest.
}
