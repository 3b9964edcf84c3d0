#!/usr/bin/env bash
# Makes the passwords of docker/compose.yaml: a file for each role that dials, in docker/secrets or where
#
#   secrets.sh [DIRECTORY]
#
# says. What always holds: one that is there is left alone; the directory is its owner's alone. The files in it may be read
# by others, since in a container it is not their owner who reads them.
set -euo pipefail

directory=${1-$(dirname "$0")/secrets}
mkdir -p "$directory"
chmod 700 "$directory"
for role in gundb_paris gundb_tokyo gundb_osaka gundb_boat; do
    file=$directory/$role
    [[ ! -s $file ]] || continue
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$file"
    chmod 644 "$file"
done
