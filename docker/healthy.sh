#!/bin/bash
# The health check of the image `server`: the server answers, and gundb's worker runs in the site's database. While the
# entry point still configures it, nobody answers here. What is not well with the site says gundb.health.
set -euo pipefail
[[ $(psql --no-psqlrc -qAt -d "$GUNDB_DATABASE" -c 'SELECT worker FROM gundb.status()') == t ]]
