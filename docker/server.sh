#!/bin/bash
# The entry point of the image `server`: makes the cluster, makes its database a site, and becomes PostgreSQL.
#
#   server.sh [OPTION ...]     options of the server, as -c work_mem=64MB
#   server.sh COMMAND ...      another command instead
#
#   GUNDB_SITE       the site's name
#   GUNDB_DATABASE   the database that is the site
#   GUNDB_GRANTS     roles as which sites may dial in, and whose events they may bring: "gundb_tokyo=any gundb_boat=own"
#   GUNDB_PEERS      whom the site dials: "postgres://gundb_paris@tokyo/shop". The host is the peer's name
#
# A role's password is the file /run/secrets/ROLE; that of postgres, if it is there, lets the superuser in by TCP. With
# /run/secrets/tls_certificate and tls_key, in PEM, the server has TLS.
#
# What always holds: a cluster is there whole or not at all; all of this may run at each start, and changes nothing that is
# so already; what else was configured in SQL stays; while it runs nobody is let in from outside, and no peer is dialled.
set -euo pipefail

[[ $# == 0 || $1 == -* ]] || exec "$@"

readonly quiet=(log_statement=none log_min_duration_statement=-1 log_min_error_statement=panic client_min_messages=warning)
readonly data=/var/lib/postgresql/data secrets=/run/secrets
: "${GUNDB_SITE:?the name of the site}" "${GUNDB_DATABASE:?}"

die() { printf 'server.sh: %s\n' "$*" >&2; exit 1; }

make_cluster() {
    [[ -e $data ]] && return
    rm -rf "$data.new"
    initdb --pgdata="$data.new" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --data-checksums \
        --auth-local=peer --auth-host=scram-sha-256
    echo 'host all all all scram-sha-256' >>"$data.new/pg_hba.conf"
    printf "%s = '%s'\n" listen_addresses '*' shared_preload_libraries gundb >>"$data.new/postgresql.conf"
    sync
    mv "$data.new" "$data"
}

# No statement is logged: some hold a password.
sql() {
    PGHOST=$private PGOPTIONS="${quiet[*]/#/-c }" \
        psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --output=/dev/null "$@"
}

# The passwords are read by psql: they stand in no command line.
configure_site() {
    if [[ -e $secrets/postgres ]]; then
        sql -d postgres <<'SQL'
\set password `cat /run/secrets/postgres`
ALTER ROLE postgres PASSWORD :'password';
SQL
    fi
    sql -d postgres -v database="$GUNDB_DATABASE" <<'SQL'
SELECT format('CREATE DATABASE %I', :'database') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec
SQL
    sql -d "$GUNDB_DATABASE" -v site="$GUNDB_SITE" <<'SQL'
CREATE EXTENSION IF NOT EXISTS gundb;
ALTER EXTENSION gundb UPDATE;
SELECT gundb.set_site_name(:'site') WHERE gundb.site_name() <> :'site';
SQL
}

# ROLE ACCEPT: a role as which a site may dial in.
grant() {
    [[ -r $secrets/$1 ]] || die "$secrets/$1, the password of the role $1, cannot be read"
    sql -d "$GUNDB_DATABASE" -v role="$1" -v accept="$2" -v file="$secrets/$1" <<'SQL'
\set password `cat :'file'`
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
SELECT gundb.grant_peer(:'role', accept => :'accept')
 WHERE NOT EXISTS (SELECT FROM gundb.peer_grant WHERE role::text = :'role' AND accept = :'accept');
SQL
}

# URL: a peer that is dialled.
peer() {
    local authority=${1#*://} host role
    role=${authority%%@*} host=${authority#*@}
    host=${host%%[:/?]*}
    [[ -r $secrets/$role ]] || die "$secrets/$role, the password of $1, cannot be read"
    sql -d "$GUNDB_DATABASE" -v url="$1" -v peer="$host" -v file="$secrets/$role" <<'SQL'
\set password `cat :'file'`
SELECT gundb.add_peer(:'peer', :'url') WHERE NOT EXISTS (SELECT FROM gundb.peer WHERE name = :'peer');
SELECT gundb.alter_peer(:'peer', url => :'url') WHERE NOT EXISTS (SELECT FROM gundb.peer WHERE name = :'peer' AND url = :'url');
SELECT gundb.set_peer_secret(:'peer', :'password');
SQL
}

make_cluster
if [[ -e $secrets/tls_key ]]; then
    install -m 600 "$secrets/tls_certificate" "$secrets/tls_key" /var/lib/postgresql
    set -- -c ssl=on -c ssl_cert_file=/var/lib/postgresql/tls_certificate -c ssl_key_file=/var/lib/postgresql/tls_key "$@"
fi

# A copy of the server that only this script can reach.
private=$(mktemp -d)
pg_ctl --pgdata="$data" --silent --wait --timeout=86400 \
    --options="-c listen_addresses= -c unix_socket_directories=$private -c gundb.dial_peers=off" start
configure_site
for entry in ${GUNDB_GRANTS-}; do grant "${entry%%=*}" "${entry#*=}"; done
for url in ${GUNDB_PEERS-}; do peer "$url"; done
pg_ctl --pgdata="$data" --silent --wait --timeout=86400 stop
rm -rf "$private"
exec postgres -D "$data" "$@"
