#!/usr/bin/env bash
# Builds the documents as a book with a search, into target/book, and checks that its links lead somewhere.
#
# It needs mdbook: that of PATH, or one that it installs into target/tools, which takes some minutes; so CI does not run it.
# The chapters are those of docs/SUMMARY.md. Links lead out of docs/ (to README.md, examples/, sources), so the pages are
# put together in target/book-pages as they lie in the project. What always holds: nothing is written outside target/.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly version=0.5.4
mdbook=$(command -v mdbook || echo target/tools/bin/mdbook)
if [[ ! -x $mdbook ]]; then
    echo "Installing mdbook $version into target/tools; this takes some minutes."
    cargo install mdbook --version "$version" --locked --quiet --root target/tools --target-dir target/tools/build
    rm -rf target/tools/build
fi

rm -rf target/book target/book-pages
mkdir -p target/book-pages
python3 tests/book.py pages target/book-pages
"$mdbook" build
python3 tests/book.py links target/book
echo "The book: target/book/index.html"
