#!/bin/bash
# The entry point of the image `edge`: makes the store, notes its peers, and becomes `gundb run`.
#
#   edge.sh                  the daemon
#   edge.sh COMMAND ...      another command instead, as: gundb append …
#
#   GUNDB_SITE    the site's name
#   GUNDB_PEERS   whom it dials: "postgres://gundb_boat@paris/shop". The host is the peer's name; the role's password is
#                 the file /run/secrets/ROLE
#
# What always holds: it may run at each start, and changes nothing that is so already; other peers, and what stands in
# gundb.toml otherwise, stay.
set -euo pipefail

(($# == 0)) || exec "$@"

umask 077
: "${GUNDB_SITE:?the name of the site}"
readonly passfile=/var/lib/gundb/passfile
gundb init --name "$GUNDB_SITE"

: >"$passfile"
for url in ${GUNDB_PEERS-}; do
    authority=${url#*://} role=${authority%%@*} host=${authority#*@} host=${host%%[:/?]*}
    password=$(sed 's/[\\:]/\\&/g' "/run/secrets/$role")
    printf '%s:*:*:%s:%s\n' "$host" "$role" "$password" >>"$passfile"
    url+=$([[ $url == *\?* ]] && echo '&' || echo '?')passfile=$passfile
    if gundb --json peer list | grep -qF "\"url\":\"$url\""; then continue; fi
    gundb peer drop "$host" 2>/dev/null || true
    gundb peer add "$host" "$url"
done
exec gundb run
