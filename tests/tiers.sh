#!/usr/bin/env bash
# Runs make targets one after another, all of them even if one fails, and prints the minutes of each:
#
#   tiers.sh TARGET...
#
# Fails if any of them did.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

# Prints a duration in milliseconds as minutes.
minutes() { awk -v ms="$1" 'BEGIN { printf "%.1f", ms / 60000 }'; }
now_ms() { echo "$((${EPOCHREALTIME/[^0-9]/} / 1000))"; }

summary=() failed=0
for target; do
    printf '\n=== %s ===\n' "$target"
    start_ms=$(now_ms) outcome=ok
    "${MAKE:-make}" --no-print-directory "$target" || outcome=FAILED failed=1
    summary+=("$(printf '%-20s %7s  %s' "$target" "$(minutes "$(($(now_ms) - start_ms))")" "$outcome")")
done

printf '\n%-20s %7s\n' tier minutes
printf '%s\n' "${summary[@]}"
exit "$failed"
