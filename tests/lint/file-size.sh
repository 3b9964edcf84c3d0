#!/usr/bin/env bash
# A file is one noun or verb. Past about 450 lines somebody should ask whether it is two: it is listed. Nothing fails
# here, since the answer may be no.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly lines_max=450
long=$(git ls-files --cached --others --exclude-standard -- '*.rs' '*.sql' '*.sh' '*.proto' ':!tests/sql' |
    xargs wc -l | awk -v max="$lines_max" '$2 != "total" && $1 > max')
if [[ -n $long ]]; then
    printf 'Longer than %d lines (is each still one thing?):\n%s\n' "$lines_max" "$long"
else
    echo "no file is longer than $lines_max lines"
fi
