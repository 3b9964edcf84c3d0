#!/usr/bin/env bash
# Tests the Python package, clients/python, as it is installed, on sites of a temporary server of PostgreSQL 15; and has
# mypy and ruff look at it. Arguments go to pytest.
#
# What always holds: all that is installed goes into target/venv-python, and is named with its version in
# clients/python/tests/requirements.txt; the second run installs only the package.
set -euo pipefail
cd "$(dirname "$0")/.."

package=clients/python
requirements=$package/tests/requirements.txt
venv=target/venv-python
exec 8>target/venv-python.lock
flock 8 # two runs may start together
if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    echo "python: installing what $requirements names into $venv"
    [[ -x $venv/bin/python ]] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements"
    cp "$requirements" "$venv/requirements.txt"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --force-reinstall "./$package"
exec 8>&-

"$venv/bin/ruff" check --no-cache "$package"
"$venv/bin/ruff" format --no-cache --check --quiet "$package"
"$venv/bin/mypy" --config-file "$package/pyproject.toml" --cache-dir "$venv/mypy" "$package/src" "$package/tests"

# shellcheck source=tests/cluster.sh
source tests/cluster.sh
cluster_start python 15 fsync=off synchronous_commit=off max_connections=50
cluster_use python
export GUNDB_TEST_DSN="postgresql+psycopg://postgres@127.0.0.1:$PGPORT"

status=0
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -p no:cacheprovider -c "$package/pyproject.toml" --rootdir "$package" "$package/tests" "$@" || status=$?
! grep 'terminated by signal\|PANIC' "$(cluster_log python)" || { echo "the server crashed"; status=1; }
echo "python: $SECONDS seconds"
exit "$status"
