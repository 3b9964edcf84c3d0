#!/usr/bin/env bash
# pgspot over the scripts that install and upgrade the extension: nothing in them is looked up where others can write.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=$PWD/target/venv/bin/python
if ! "$python" -c 'import pgspot' 2>/dev/null; then
    echo "skipped: pgspot is not installed (make setup-lint)"
    exit
fi
scripts=$(mktemp -d)
trap 'rm -rf "$scripts"' EXIT
tests/extension.sh scripts "$scripts"
# What an upgrade replaces is the extension's own: it is read with the release before it, as that would be made now.
for upgrade in "$scripts"/gundb--*--*.sql; do
    released=${upgrade##*/gundb--}
    cat - "tests/releases/gundb--${released%%--*}.sql" "$upgrade" <<<'SET LOCAL search_path TO pg_catalog, pg_temp;' >"$scripts/both"
    mv "$scripts/both" "$upgrade"
done
# It reads SQL, and not psql's lines.
sed -i '/^\\echo/d' "$scripts"/*.sql
# It fails on functions whose body is SQL and no text. What those name was looked up when they were made, as in any
# other statement, and that is how their body is shown to it.
# PS015, a view that is replaced: PostgreSQL refuses to replace one that is not the extension's.
"$python" - --ignore PS015 "$scripts"/*.sql <<'EOF'
import sys
from pgspot import cli, visitors

of_text = visitors.SQLVisitor.visit_CreateFunctionStmt

def visit(self, ancestors, node):
    if node.sql_body is None:
        of_text(self, ancestors, node)
    elif node.replace:
        self.state.warn("PS002", visitors.format_function(node))

visitors.SQLVisitor.visit_CreateFunctionStmt = visit
sys.exit(cli.run())
EOF
