# What a user runs: build, demo, test. What a developer runs: test-fast, fuzz, bench, lint, format, docs, lock.
# Each works on a fresh machine with Python >= 3.11, cargo and a C compiler; a rebuild costs what changed.

# The first Python that is new enough; say PYTHON=... for another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
# Tests that run at a time, and compilers.
JOBS ?= $(shell nproc)

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export CARGO_BUILD_JOBS ?= $(JOBS)
# Tests are to meet the program as the operator does, and must not litter src, whose age decides about rebuilds.
export PYTHONDONTWRITEBYTECODE := 1

# Directories are among the sources so that a file that went away is noticed.
PYTHON_SOURCES := $(shell find src -not -path '*.egg-info*' -not -path '*__pycache__*')
RUST_SOURCES := Cargo.toml Cargo.lock $(shell find dataplane \( -name target -o -name fuzz \) -prune -o \( -type d -o -name '*.rs' -o -name Cargo.toml \) -print)

.PHONY: build demo develop docs test test-fast fuzz bench bench-queue lint format lock clean

build: .venv/installed

.venv/python:
	@test -n "$(PYTHON)" || { echo "pinfold needs Python 3.11 or newer, with its venv module" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/needs: .venv/python requirements.lock requirements-build.lock
	$(PIP) install --require-hashes -r requirements.lock -r requirements-build.lock
	@touch $@

# A real installation from a wheel; what setuptools left of an earlier build would bring removed files back.
.venv/installed: .venv/needs pyproject.toml MANIFEST.in $(PYTHON_SOURCES) $(RUST_SOURCES)
	rm -rf build src/pinfold.egg-info
	$(PIP) install --no-deps --no-build-isolation --force-reinstall .
	@touch $@

.venv/develops: .venv/needs requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

# The main job, to look at; Ctrl-C ends it.
demo: build
	@exec $(BIN)/pinfold demo

develop: .venv/develops build

# Ends in pytest's own summary.
test: lint develop
	cargo test --locked --workspace --quiet
	$(BIN)/pytest -n $(JOBS) --dist worksteal

test-fast: develop
	cargo test --locked --quiet -p pinfold-wire -p pinfold-core
	$(BIN)/pytest tests/unit tests/seam

# Everything that reads bytes of others, each for SECONDS; what is found stays in dataplane/fuzz/artifacts.
SECONDS ?= 60
FUZZ := dataplane/fuzz
TARGETS ?= $(basename $(notdir $(wildcard $(FUZZ)/targets/*.rs)))
fuzz: target/tools/bin/cargo-fuzz
	@for target in $(TARGETS); do \
	  mkdir -p $(FUZZ)/corpus/$$target; \
	  target/tools/bin/cargo-fuzz run --fuzz-dir $(FUZZ) --sanitizer none $$target $(FUZZ)/corpus/$$target $(FUZZ)/seeds/$$target -- \
	    -max_total_time=$(SECONDS) -print_final_stats=1 || exit 1; \
	done

# Without sanitizer it needs no nightly: what is fuzzed forbids unsafe code, and looks for panics.
target/tools/bin/cargo-fuzz:
	cargo install --locked --quiet --root target/tools --version 0.13.2 cargo-fuzz

# pinfold beside its peers, bench/README.md; ARGS="--rounds 3 --only small,unix --peers haproxy,nginx".
LOAD := --manifest-path bench/load/Cargo.toml --target-dir target/bench
BENCH := PYTHONPATH=tests:. $(BIN)/python -m
bench: develop
	cargo build --locked --release --quiet $(LOAD)
	@$(BENCH) bench.install
	@$(BENCH) bench $(ARGS)

bench-queue: override ARGS := --queue $(ARGS)
bench-queue: bench

lint: .venv/develops
	$(BIN)/ruff format --check src tests tools bench
	$(BIN)/ruff check src tests tools bench
	$(BIN)/mypy src tests/support tools bench
	PYTHONPATH=src $(BIN)/lint-imports
	$(BIN)/python tools/check_sizes.py
	$(BIN)/python tools/check_lexicon.py
	$(BIN)/python tools/check_reasons.py
	$(BIN)/python tools/check_crates.py
	cargo fmt --all --check
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo fmt --all --check --manifest-path bench/load/Cargo.toml
	cargo clippy --locked --quiet $(LOAD) --all-targets -- -D warnings

# Pages that are made from the code.
docs: build
	$(BIN)/python tools/config_reference.py

format: .venv/develops
	$(BIN)/ruff format src tests tools bench
	$(BIN)/ruff check --fix src tests tools bench
	cargo fmt --all
	cargo fmt --manifest-path $(FUZZ)/Cargo.toml
	cargo fmt --all --manifest-path bench/load/Cargo.toml

# Newest versions that pyproject.toml allows, with hashes, for every Python from 3.11 on.
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate --python-version 3.11
lock: .venv/develops
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) requirements-build.in -o requirements-build.lock
	$(LOCK) pyproject.toml requirements-build.in --extra test --extra lint -c requirements.lock -c requirements-build.lock \
	  -o requirements-dev.lock

clean:
	rm -rf .venv build dist target src/pinfold.egg-info
	find src tests tools bench -name __pycache__ -exec rm -rf {} +
