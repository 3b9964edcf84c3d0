#!/usr/bin/env bash
# Runs the tests that need whole servers of their own: the crate tests/clusters, with the private PostgreSQL trees in
# GUNDB_PG15 and GUNDB_PG18 (programs in bin/, gundb installed). Arguments choose tests, as for cargo test.
set -euo pipefail
cd "$(dirname "$0")/.."

# shellcheck source=tests/cluster.sh
source tests/cluster.sh
GUNDB_PG15=$(cluster_tree 15)
GUNDB_PG18=$(cluster_tree 18)
export GUNDB_PG15 GUNDB_PG18
cargo test -p gundb-clusters --no-fail-fast -- "$@"
