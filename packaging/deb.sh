#!/usr/bin/env bash
# Makes Debian packages: postgresql-NN-gundb, the extension for the PostgreSQL of PG_CONFIG, and gundb, the program with its
# unit, manual pages and completions:
#
#   deb.sh [PG_CONFIG [release|dev [DIRECTORY]]]      in target/deb, if nothing is said
#
# What always holds: nothing is installed on this machine; what a package needs is found by dpkg-shlibdeps, so it fits the
# Debian release that it is built on; a package asks nothing, makes no user and no cluster, and restarts no server.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

pg_config=${1:-pg_config} profile=${2:-release} made=${3:-target/deb}
version=$(sed -nE "s/^default_version = '(.*)'/\1/p" gundb.control)-1
architecture=$(dpkg --print-architecture)
major=$("$pg_config" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
readonly maintainer="${DEBFULLNAME:-The gundb authors} <${DEBEMAIL:-gundb@localhost}>"
# Files of one commit are of one time, whoever packs them. (Not exported: cargo would build anew what it has built without.)
when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

# A dev build is large, and for a test.
compression=()
[[ $profile == release ]] || compression=(-Zgzip -z1)

# libraries FILE: what a program or library in debian/ needs, as Debian's packages.
libraries() (
    cd "$made"
    printf 'Source: gundb\n\nPackage: gundb\nArchitecture: any\n' >debian/control
    dpkg-shlibdeps -O "$1" | sed 's/^shlibs:Depends=//'
)

# documents DIRECTORY PACKAGE: licence and changelogs.
documents() {
    local doc=$1/usr/share/doc/$2
    mkdir -p "$doc"
    cat - LICENSE >"$doc/copyright" <<COPYRIGHT
gundb is free software by the gundb authors, under the GNU Affero General Public License, version 3 (AGPL-3.0-only). Its
text follows.

The crates that are built into it are under licences that this one allows: Apache-2.0, BSD-2-Clause, BSD-3-Clause, ISC, MIT,
MIT-0, Unicode-3.0 and Zlib. crates.gz beside this file names each with its licence.

COPYRIGHT
    gzip -9n <CHANGELOG.md >"$doc/changelog.gz"
    gzip -9n >"$doc/changelog.Debian.gz" <<CHANGELOG
gundb ($version) unstable; urgency=medium

  * changelog.gz says what is new.

 -- $maintainer  $(date --utc --rfc-email --date="@$when")
CHANGELOG
}

# crates PACKAGE-OF-CARGO FEATURES: what is built into it, and under which licences.
crates() { cargo tree --locked --edges normal --prefix none --no-dedupe --format '{p}: {l}' -p "$1" "${@:2}" | sed 's/ (proc-macro)//; s/ (\/[^)]*)//' | sort -u; }

# pack DIRECTORY PACKAGE: the package; what stands on standard input goes into its control file.
pack() {
    local directory=$1 package=$2
    documents "$directory" "$package"
    cat - >"$directory/DEBIAN/control" <<CONTROL
Package: $package
Source: gundb
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Section: database
Priority: optional
Installed-Size: $(du -k --summarize --apparent-size "$directory/usr" | cut -f1)
$(cat)
CONTROL
    (cd "$directory" && find usr -type f -printf '%P\n' | sort | sed 's,^,usr/,' | xargs md5sum) >"$directory/DEBIAN/md5sums"
    find "$directory" -newermt "@$when" -exec touch --no-dereference --date="@$when" {} +
    SOURCE_DATE_EPOCH=$when dpkg-deb --root-owner-group "${compression[@]}" --build "$directory" "$made" >/dev/null
    rm -r "$directory"
}

rm -rf "$made"
readonly server=$made/debian/postgresql-$major-gundb edge=$made/debian/gundb
mkdir -p "$server" "$edge"

packaging/stage.sh server "$server" "$profile" "$pg_config"
mkdir -p "$server/usr/share/doc/postgresql-$major-gundb" "$server/DEBIAN"
crates gundb --no-default-features --features "pg$major" | gzip -9n >"$server/usr/share/doc/postgresql-$major-gundb/crates.gz"
pack "$server" "postgresql-$major-gundb" <<CONTROL
Depends: postgresql-$major, $(libraries "debian/postgresql-$major-gundb/usr/lib/postgresql/$major/lib/gundb.so")
Description: event sourcing in PostgreSQL that is always locally writable
 gundb makes streams of events tables, maintains views of them in the
 transaction that appends, and lets sites bring each other their events:
 multi-master, without conflicts, whatever the network does.
 .
 It must be loaded when the server starts: add gundb to
 shared_preload_libraries, restart, and CREATE EXTENSION gundb in each
 database that shall be a site.
CONTROL

packaging/stage.sh edge "$edge" "$profile"
gzip -9n "$edge"/usr/share/man/man1/*
mkdir -p "$edge/usr/share/doc/gundb" "$edge/DEBIAN"
crates gundb-node | gzip -9n >"$edge/usr/share/doc/gundb/crates.gz"
install -m 755 -t "$edge/DEBIAN" packaging/postinst packaging/prerm
pack "$edge" gundb <<CONTROL
Depends: $(libraries debian/gundb/usr/bin/gundb)
Description: edge node and command line of gundb, an event store that always writes
 gundb keeps streams of events, and views of them, in one file, and exchanges
 them with other sites whenever it can: PostgreSQL sites that have the
 extension, and other edge nodes. Its commands work on a PostgreSQL site too.
 .
 The unit gundb@NAME.service runs the store in /var/lib/gundb/NAME. Removing the
 package leaves stores alone.
CONTROL

rm -r "$made/debian"
printf 'Made %s\n' "$made"/*.deb
