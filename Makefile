# What a user runs: build, test. What a developer runs: test-fast, lint.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: build test test-fast lint lock clean

build: $(VENV)/.stamp

$(VENV)/.deps: requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pinfold needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	touch $@

$(VENV)/.stamp: $(VENV)/.deps pyproject.toml Cargo.lock $(shell find src dataplane -name '*.py' -o -name '*.rs' -o -name Cargo.toml)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	touch $@

test: build lint
	cargo test --locked --workspace
	$(BIN)/pytest

test-fast: build
	cargo test --locked -p pinfold-wire -p pinfold-core
	$(BIN)/pytest tests/unit tests/seam

lint: build
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/ruff check src tests
	$(BIN)/mypy
	$(BIN)/lint-imports

lock: pyproject.toml
	$(BIN)/pip freeze --all --exclude pip --exclude pinfold > requirements.lock

clean:
	rm -rf $(VENV) target build dist
