#!/usr/bin/env bash
# Debian packages, on a bare Debian: they install with what they need, work, and leave nothing behind.
#
#   packages.sh [release|dev]    which build is packed: dev, which the other tests have built, if nothing is said
#
# Works in a directory below target/, in namespaces of its own: no network, no process that outlives it. Only root can make
# those; for others it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/bare.sh
source tests/bare.sh

if ((EUID != 0)); then
    echo "skipped: only root can unpack a bare Debian and install packages in it"
    exit
fi

readonly work=target/packages root=target/packages/root
rm -rf $work
mkdir -p $root
trap 'rm -rf --one-file-system $root' EXIT

bare_make
packaging/deb.sh target/pg/15/bin/pg_config "${1:-dev}" $work/deb
tar --extract --file=$bare_tar --directory=$root
cp $work/deb/*.deb $root/tmp/

if command -v systemd-analyze >/dev/null; then
    mkdir $work/unit
    dpkg-deb --fsys-tarfile $work/deb/gundb_*.deb | tar --extract --directory=$work/unit
    # Of what it asks for, only its program is there.
    install -D -m 755 /dev/null $work/unit/bin/kill
    printf '[Unit]\n' | tee $work/unit/usr/lib/systemd/system/{sysinit,basic,shutdown,network-online,multi-user}.target >/dev/null
    systemd-analyze verify --man=no --root="$(realpath $work/unit)" gundb@boat.service
    echo "the unit is one"
else
    echo "skipped: systemd-analyze, to verify the unit, is not here"
fi

# The rest is said inside.
# shellcheck disable=SC2016 # $0 is the inner shell's
unshare --mount --pid --net --ipc --uts --fork --kill-child bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" /bin/bash -s' $root <<'INSIDE'
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PGOPTIONS='-c client_min_messages=warning'
cd /tmp
install() { apt-get install --yes -qq --no-install-recommends "$@" >/tmp/apt.log 2>&1 </dev/null || { tail -n 20 /tmp/apt.log; exit 1; }; }
# What is on the disk, but for what runs, and for what apt, dpkg and servers note.
files() { find / -xdev \( -path /proc -o -path /tmp -o -path /run -o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/postgresql \) -prune -o -print | sort; }
as_postgres() { runuser -u postgres -- "$@"; }
sql() { as_postgres psql -X -qAt -v ON_ERROR_STOP=1 "$@" </dev/null; }

apt-get install --simulate --no-install-recommends ./*.deb | grep -q '^Inst postgresql-15 ' || { echo "the extension does not ask for PostgreSQL"; exit 1; }

mkdir -p /etc/postgresql-common/createcluster.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/gundb.conf
install man-db postgresql-15
pg_createcluster 15 main --pgoption listen_addresses= >/dev/null 2>&1
pg_ctlcluster 15 main start
files >before

echo "--- install"
install ./*.deb
dpkg-query -W -f '${Package} ${Version} ${Status}\n' gundb postgresql-15-gundb
said=$(sql -c 'CREATE EXTENSION gundb' 2>&1) && { echo "the extension was made without being loaded"; exit 1; }
grep -q shared_preload_libraries <<<"$said"
sql -c "ALTER SYSTEM SET shared_preload_libraries = 'gundb'"
pg_ctlcluster 15 main restart
sql -c 'CREATE EXTENSION gundb' -c "SELECT gundb.set_site_name('shore')" -c "SELECT gundb.create_stream('orders')" \
    -c "INSERT INTO orders (type, data) VALUES ('Ordered', '{}')" -c 'SELECT count(*) FROM orders' | tail -n 1 | grep -qx 1
echo "the extension works"

gundb --store /tmp/boat init --name boat
gundb --store /tmp/boat stream create orders
gundb --store /tmp/boat append orders Ordered --data '{}' >/dev/null
[[ $(gundb --store /tmp/boat read orders | wc -l) == 1 ]]
as_postgres gundb --store 'postgres://postgres@%2Fvar%2Frun%2Fpostgresql/postgres' stream list | grep -q orders
echo "the program works"
for page in gundb gundb-peer-add gundb-view-create; do
    man --warnings "$page" 2>man.err | grep -q NAME
    [[ ! -s man.err ]] || { cat man.err; exit 1; }
done
bash -n /usr/share/bash-completion/completions/gundb
echo "manual pages render: $(ls /usr/share/man/man1/gundb* | wc -l)"

echo "--- purge"
sql -c 'SELECT gundb.uninstall(keep_tables => false)' -c 'DROP EXTENSION gundb'
sql -c 'ALTER SYSTEM RESET shared_preload_libraries'
pg_ctlcluster 15 main restart
apt-get purge --yes -qq gundb postgresql-15-gundb >/dev/null
[[ $(sql -c 'SELECT 1') == 1 ]]
files >after
diff before after
echo "nothing is left behind"
pg_ctlcluster 15 main stop
INSIDE
echo "packages: passed in $SECONDS seconds"
