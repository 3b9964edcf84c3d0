#!/usr/bin/env bash
# Runs libFuzzer's targets, or those that are named, for FUZZ_SECONDS each (60 unless told), from the golden files,
# from fuzz/seeds, and from what earlier runs have found. A crash fails the run, and leaves its input in fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "skipped: the targets of fuzz/ need cargo-fuzz (cargo install cargo-fuzz --locked)"
    exit
fi
# The stable compiler can instrument, if it is allowed to.
export RUSTC_BOOTSTRAP=1
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(cargo fuzz list)
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target"
    cp crates/core/tests/golden/* "fuzz/corpus/$target"
    [[ ! -d fuzz/seeds/$target ]] || cp "fuzz/seeds/$target"/* "fuzz/corpus/$target"
    # Core forbids unsafe code, and without the address sanitizer it is many times faster. Overflow panics.
    cargo fuzz run --sanitizer none "$target" -- -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 \
        -dict=fuzz/words.dict -print_final_stats=1
done
