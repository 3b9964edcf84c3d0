#!/usr/bin/env bash
# The images and docker/compose.yaml: three sites and an edge node find each other, write while they are cut off, and hold the
# same when that is over.
#
#   docker.sh [release|dev]      which build goes into the images: dev, which the other tests have built, if nothing is said
#
# Images stand on a bare Debian that is made here, so none is pulled. What always holds: no engine is started, and without one
# the test is skipped; images, containers, networks and volumes bear this run's name, and are removed however it ends.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/bare.sh
source tests/bare.sh

skip() { echo "skipped: $*"; exit; }
command -v docker >/dev/null || skip "Docker is not installed"
docker info >/dev/null 2>&1 || skip "no Docker engine answers"
if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    skip "Compose is not installed"
fi
# A bare Debian has device files and owners, which only root can make.
[[ -e $bare_tar ]] || ((EUID == 0)) || skip "only root can make the bare Debian that images stand on"

readonly name=gundb-test-$$ work=target/docker
export GUNDB_SERVER_IMAGE=$name:server GUNDB_EDGE_IMAGE=$name:edge GUNDB_SECRETS=$PWD/$work/secrets COMPOSE_PROJECT_NAME=$name
compose+=(--file docker/compose.yaml)

clean() {
    "${compose[@]}" down --volumes --timeout 2
    docker rmi $name:server $name:edge $name:build $name:bare
} >/dev/null 2>&1
trap clean EXIT

# --- images -----------------------------------------------------------------------------------------------------------

rm -rf $work
mkdir -p $work/context/target/dist
packaging/stage.sh server $work/context/target/dist/server "${1:-dev}" target/pg/15/bin/pg_config
packaging/stage.sh edge $work/context/target/dist/edge "${1:-dev}"
cp -r docker .dockerignore $work/context/
docker/secrets.sh $work/secrets

bare_make
docker import - $name:bare <$bare_tar >/dev/null
for target in build server edge; do
    docker build --target $target --tag $name:$target --build-arg RUST_IMAGE=$name:bare --build-arg DEBIAN_IMAGE=$name:bare \
        --build-arg PREBUILT=target/dist --file $work/context/docker/Dockerfile $work/context >$work/$target.log 2>&1 ||
        { tail -n 20 $work/$target.log; exit 1; }
done
echo "images after $SECONDS seconds"

# --- machinery --------------------------------------------------------------------------------------------------------

fail() {
    echo "FAILED: $*"
    "${compose[@]}" logs --tail=30
    exit 1
}
id() { "${compose[@]}" ps --all --quiet "$1" 2>/dev/null || "${compose[@]}" ps --quiet "$1"; }
sql() { docker exec "$(id "$1")" psql -X -qAt -v ON_ERROR_STOP=1 -d shop -c "$2"; }
at_boat() { docker exec "$(id boat)" gundb "$@"; }
# While its daemon does not run.
alone() { "${compose[@]}" run --rm --no-deps -T boat gundb "$@" </dev/null 2>/dev/null; }

# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1))
    until "${@:2}"; do
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}
is_healthy() { [[ $(docker inspect --format '{{.State.Health.Status}}' "$(id "$1")") == healthy ]]; }
all_healthy() {
    local service
    for service in paris tokyo osaka boat; do
        until_true 60 is_healthy $service || fail "$service is not healthy"
    done
}
# has_all SITE CLOCK...: the site comes to hold all of the clocks.
has_all() {
    local clock
    for clock in "${@:2}"; do
        [[ $(sql "$1" "SELECT gundb.wait_for('$clock', timeout => '90 s')") == t ]] || fail "$1 does not get $clock"
    done
}
# It is tried again after 1, 2, 4 … seconds, where it came before paris.
boat_has_met_paris() { at_boat --json peer list | grep -q '"state":"connected"'; }
boat_holds_what_paris_holds() { [[ $(at_boat digest) == $(sql paris 'SELECT gundb.digest()') ]]; }
# What everybody has written comes to everybody.
all_have_all() {
    local clocks service
    clocks=("$(sql paris 'SELECT gundb.site_clock()')" "$(sql tokyo 'SELECT gundb.site_clock()')" "$(sql osaka 'SELECT gundb.site_clock()')" "$(at_boat clock)")
    for service in paris tokyo osaka; do has_all $service "${clocks[@]}"; done
    until_true 60 boat_has_met_paris || fail "boat and paris do not meet"
    has_all paris "$(at_boat clock)"
    until_true 60 boat_holds_what_paris_holds || fail "boat does not get all"
}
# What each holds, by a hash: one line, if all hold the same.
digests() {
    local service
    for service in paris tokyo osaka; do sql $service 'SELECT gundb.digest()'; done >$work/digests
    at_boat digest >>$work/digests
    sort -u $work/digests
}
all_equal() { [[ $(digests | wc -l) == 1 ]] || fail "they differ: $(cat $work/digests)"; }
measure() { sql "$1" "INSERT INTO readings (type, key, data) SELECT 'Measured', '$1', jsonb_build_object('n', n) FROM generate_series(1, $2) n"; }

# --- they find each other ---------------------------------------------------------------------------------------------

"${compose[@]}" up --detach --no-build >$work/up.log 2>&1 || { cat $work/up.log; exit 1; }
all_healthy
echo "healthy after $SECONDS seconds"
for service in paris tokyo osaka boat; do
    [[ $(docker exec "$(id $service)" id -u) != 0 ]] || fail "$service runs as root"
done
sql paris "SELECT gundb.create_stream('readings')" >/dev/null
measure paris 10
all_have_all
all_equal
echo "four hold the same after $SECONDS seconds"

# --- a cable is cut ---------------------------------------------------------------------------------------------------

network=${name}_sites
docker network disconnect "$network" "$(id tokyo)"
"${compose[@]}" stop boat >/dev/null 2>&1
measure paris 3
measure osaka 4
measure tokyo 5
for n in 1 2; do alone append readings Measured --key boat --data "{\"n\": $n}" >/dev/null; done
[[ $(sql tokyo 'SELECT count(*) FROM readings') == 15 ]] || fail "tokyo was not cut off"
has_all osaka "$(sql paris 'SELECT gundb.site_clock()')"

docker network connect --alias tokyo "$network" "$(id tokyo)"
"${compose[@]}" start boat >/dev/null 2>&1
# At once, rather than within a minute.
sql paris "SELECT gundb.sync_now('tokyo', '60 s')" >/dev/null
sql tokyo "SELECT gundb.sync_now('osaka', '60 s')" >/dev/null
all_healthy
all_have_all
all_equal
for service in paris tokyo osaka; do
    [[ $(sql $service 'SELECT count(*) FROM readings') == 24 ]] || fail "$service does not hold 24 readings"
done
echo "four hold the same again after $SECONDS seconds"

# --- they start again, and nothing is configured twice ----------------------------------------------------------------

before=$(digests)
"${compose[@]}" restart --timeout 30 >/dev/null 2>&1
all_healthy
[[ $(sql paris "SELECT gundb.sync_now('tokyo', '60 s')") == t ]] || fail "paris and tokyo are no peers any more"
[[ $(digests) == "$before" ]] || fail "starting again wrote something"
[[ $(sql paris "SELECT string_agg(name, ' ') FROM gundb.peer") == tokyo ]] || fail "the peers of paris are others now"
if "${compose[@]}" logs --no-color 2>&1 | grep -F -f <(cat $work/secrets/* | fold -w 48; echo); then fail "a password is in a log"; fi
echo "docker: passed in $SECONDS seconds"
