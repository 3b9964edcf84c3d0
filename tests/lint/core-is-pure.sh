#!/usr/bin/env bash
# Holds crates/core to what makes it testable anywhere: no database, no I/O, no ambient time or randomness, no unsafe.
# Looks at the crates it depends on, and at its own source (comments aside).
set -euo pipefail
cd "$(dirname "$0")/../.."

# What core may use, in so many words. A new crate is a decision: is it pure, small, maintained? Then add it here.
# (prost: what sites send each other is protobuf, so that others can read it. zstd: memory to memory; C, and the decoder that the world fuzzes.)
readonly allowed='blake3 gundb-core jsonschema num-bigint prost serde serde_json strsim thiserror time uuid zstd'
# What must not come in through another crate either.
readonly forbidden='async-std chrono hyper libpq-sys mio pgrx pgrx-pg-sys postgres rand reqwest rustls
    socket2 tempfile tokio tokio-postgres ureq'
# Sources of effects. The words are matched in code, not in comments.
readonly effects='\bunsafe\b|\bpgrx\b|\btokio\b|\bstd::(fs|net|env|process|thread|io)\b|\bSystemTime\b|\bInstant\b|\bthread_rng\b|\bnow_v7\b|\bnew_v[147]\b|\bprintln!|\beprintln!'

status=0
complain() {
    printf '%s\n' "$@"
    status=1
}

names() { cargo tree -p gundb-core -e normal --prefix none --format '{p}' "$@" | cut -d' ' -f1 | sort -u; }

for crate in $(names --depth 1); do
    [[ " $allowed " == *" $crate "* ]] || complain "core depends on $crate, which is not on the list of $0"
done
for crate in $(names); do
    [[ " ${forbidden//[[:space:]]/ } " != *" $crate "* ]] || complain "core depends on $crate:" \
        "$(cargo tree -p gundb-core -e normal -i "$crate" --prefix indent 2>/dev/null)"
done

found=$(grep -rnE --include='*.rs' "$effects" crates/core/src | grep -vE '^[^:]+:[0-9]+:\s*//' || true)
[[ -z $found ]] || complain "core reaches outside itself:" "$found"
grep -q '^#!\[forbid(unsafe_code)\]' crates/core/src/lib.rs || complain "crates/core/src/lib.rs does not forbid unsafe_code"

((status)) || echo "core is pure"
exit "$status"
