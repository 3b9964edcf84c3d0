# What people and CI run here; `make` alone lists it.
#
# Whatever is built, copied or downloaded goes under target/; only Debian packages and cargo's own registry lie
# outside. Tests and the demo run on private copies of PostgreSQL in target/pg, never on the system's.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The versions that are tested. The extension builds for 16 and 17 too (make install), untested.
VERSIONS := 15 18

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- try it -----------------------------------------------------------------------------------------------------------

setup: ## Install what a bare Debian 12 misses, and make the private PostgreSQL trees
	@tests/setup.sh

# The station's few readings do not need a release, and whoever runs the tests has that program already.
demo: setup ## Three airports and a weather station: a cut cable, a lost disk, and nobody resolves a conflict (DEMO_KEEP=1 keeps all of it)
	@tests/extension.sh install target/pg/15/bin/pg_config release
	@cargo build -p gundb-node
	@GUNDB_BINARY=target/debug/gundb examples/demo.sh

demo-stop: ## End what DEMO_KEEP=1 kept
	@examples/demo.sh stop

# --- use it -----------------------------------------------------------------------------------------------------------

PG_CONFIG ?= pg_config

build: ## Build for release against the PostgreSQL of PG_CONFIG=…
	@tests/extension.sh build $(PG_CONFIG) release

install: ## Build and install into the PostgreSQL of PG_CONFIG=… (DESTDIR=… is honoured)
	@tests/extension.sh install $(PG_CONFIG) release

binary: ## Build the program gundb as it is shipped: target/binary/gundb (about ten minutes)
	cargo build --profile binary -p gundb-node

deb: ## Debian packages of the extension for PG_CONFIG=… and of the program, in target/deb
	@packaging/deb.sh $(PG_CONFIG)

uninstall: ## Remove what install put there
	@tests/extension.sh uninstall $(PG_CONFIG) release

# --- prove it ---------------------------------------------------------------------------------------------------------

test: setup ## Every tier of tests, with the minutes of each
	@tests/tiers.sh test-core $(VERSIONS:%=extension-%) $(VERSIONS:%=test-sql-%) \
	    $(VERSIONS:%=test-lifecycle-%) test-clusters test-docs test-demo test-python

test-core: ## The algebra: unit, property and golden-file tests, no PostgreSQL
	@if command -v cargo-nextest >/dev/null; then cargo nextest run; else cargo test --all-targets; fi
	@cargo test --doc

test-sql: $(VERSIONS:%=test-sql-%) ## SQL regression and isolation specs on each version (TESTS='types catalog' for some)

$(VERSIONS:%=test-sql-%): test-sql-%: extension-%
	@tests/regress.sh $* $(TESTS)

test-lifecycle: $(VERSIONS:%=test-lifecycle-%) ## Loading, the worker's comings and goings, upgrades from each release

$(VERSIONS:%=test-lifecycle-%): test-lifecycle-%: extension-%
	@tests/lifecycle.sh $*

test-clusters: $(VERSIONS:%=extension-%) ## Real servers, killed, copied, restored
	@tests/clusters.sh $(TESTS)

test-docs: extension-15 ## What the documents say to run runs, and prints what they say (TESTS='README.md docs/edge.md' for some)
	@cargo build -p gundb-node
	@tests/docs.sh $(TESTS)

test-packages: extension-15 ## Debian packages on a bare Debian: install, use, purge
	@tests/packages.sh

test-docker: extension-15 ## Images and compose: three sites and an edge node, cut off and healed
	@tests/docker.sh

test-python: extension-15 ## The Python package on real sites, mypy, ruff (arguments: tests/python.sh -k NAME)
	@tests/python.sh

test-demo: extension-15 ## The demo: that it is true, plain in a log, and told where it goes wrong
	@cargo build -p gundb-node
	@tests/demo.sh

example: extension-15 ## Run an example and see it: NAME=shop-stock, field-hospital or bank-ledger
	@cargo build -p gundb-node
	@tests/docs.sh --show examples/$(or $(NAME),shop-stock)/README.md

book: ## The documents as a book with a search: target/book/index.html (the first time builds mdbook, some minutes)
	@tests/book.sh

accept-docs: extension-15 ## Take what the documents' SQL and shell print now as what they say, then read the diff (TESTS=… for some)
	@cargo build -p gundb-node
	@tests/docs.sh --accept $(TESTS)
	@git --no-pager diff --stat -- README.md docs examples

fuzz: $(VERSIONS:%=extension-%) ## Random and mutated input, fifty times what CI tries; libFuzzer for FUZZ_SECONDS=60 a target
	@GUNDB_CASES_TIMES=50 cargo test --release -p gundb-core --tests
	@GUNDB_BINARY_VALUES=50000 tests/clusters.sh --nocapture binary_values
	@fuzz/run.sh

# By the names of their tests: CI runs a slice of each.
test-long: $(VERSIONS:%=extension-%) ## The long runs: 1,000 kills, a power cut at each write of 1,000 operations, 1 M events, 40,000 streams, 100 orders of arrival, 20 restores of each kind, 12 histories
	@GUNDB_BACKEND_KILLS=1000 GUNDB_SERVER_KILLS=50 GUNDB_EVENTS=1000000 GUNDB_STREAMS=40000 GUNDB_ORDERS=100 \
	GUNDB_RESTORES=20 GUNDB_LARGE=1000000 GUNDB_HISTORIES=12 \
	    tests/clusters.sh --nocapture kills streams first_append order_of_arrival lost not_received come_back until_they \
	    same_hub large_transaction causally_consistent
	@GUNDB_POWER_OPERATIONS=1000 cargo test --release -p gundb-node --test power -- --nocapture after_a_power_cut

chaos: $(VERSIONS:%=extension-%) ## Ten minutes of partitions, kills, full disks over PostgreSQL sites and edge nodes, and a table (CHAOS_SECONDS=… for others)
	@GUNDB_CHAOS_DISK=1 GUNDB_CHAOS_SECONDS=$(or $(CHAOS_SECONDS),600) tests/clusters.sh --nocapture after_chaos

accept: extension-15 ## Take what the SQL tests print now as expected, then read the diff (TESTS=… for some)
	@tests/regress.sh 15 --accept $(TESTS)

$(VERSIONS:%=extension-%): extension-%: setup
	@tests/extension.sh install target/pg/$*/bin/pg_config dev

bench: setup ## Every benchmark, and one table of all ratios with their bars (half an hour once built)
	@tests/setup.sh bench
	@tests/extension.sh install target/pg/15/bin/pg_config release
	@cargo build --profile binary -p gundb-node
	@benches/all.sh

bench-append: setup ## gundb beside a plain table, as one table of figures (ROWS=… for some)
	@tests/extension.sh install target/pg/15/bin/pg_config release
	@benches/run.sh $(ROWS)

bench-replication: setup ## Two sites beside PostgreSQL's logical replication (ROWS=… for some)
	@tests/setup.sh bench
	@tests/extension.sh install target/pg/15/bin/pg_config release
	@benches/replication.sh $(ROWS)

bench-edge: ## The edge node: its store beside bare redb, and the binary: size, start, idling, catching up
	@benches/edge.sh

bench-growth: setup ## How cost grows with events, streams, lanes, clocks and sites, as curves (hours; GROWTH_QUICK=1 minutes)
	@tests/setup.sh bench
	@tests/extension.sh install target/pg/15/bin/pg_config release
	@benches/growth.sh

# --- keep it tidy -----------------------------------------------------------------------------------------------------

lint: setup-lint ## Formatting, clippy, shellcheck, purity of core, sizes, search paths, licences of dependencies
	@tests/tiers.sh lint-format lint-clippy lint-core lint-size lint-shell lint-sql lint-dependencies

setup-lint: setup
	@tests/setup.sh lint

lint-format:
	cargo fmt --all -- --check
	cargo fmt --manifest-path fuzz/Cargo.toml -- --check

lint-clippy: setup
	cargo clippy --workspace --exclude gundb --all-targets -- -D warnings
	CARGO_TARGET_DIR=target/pg15 PGRX_PG_CONFIG_PATH=$(CURDIR)/target/pg/15/bin/pg_config \
	    cargo clippy -p gundb --no-default-features --features pg15 -- -D warnings

lint-core:
	tests/lint/core-is-pure.sh

lint-size:
	tests/lint/file-size.sh

lint-shell:
	tests/lint/shell.sh

lint-sql:
	tests/lint/pgspot.sh

lint-dependencies:
	tests/lint/dependencies.sh

.PHONY: help setup demo demo-stop build install binary uninstall test test-core test-sql test-lifecycle test-clusters test-docs test-demo test-python test-packages test-docker deb example book accept-docs test-long chaos fuzz accept bench bench-append bench-edge bench-growth bench-replication lint \
    setup-lint lint-format lint-clippy lint-core lint-size lint-shell lint-sql lint-dependencies \
    $(VERSIONS:%=test-sql-%) $(VERSIONS:%=test-lifecycle-%) $(VERSIONS:%=extension-%)
