# The one place where a command is spelled: .ci/run, pre-commit and the documentation call these targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Beside the machine's code, which is made of these folders' sources and, like it, out of date once one is newer.
COMPILED := bitlm/__pycache__/compiled
TEST_PROCESSES ?= 3
# Waiting for the disk is up to two fifths of a test's time. What tests write is in memory where 4 GB of it are
# free for files; what must be true of a power cut they see in the system calls, not on a disk.
TEST_FOLDER ?= $(or $(TMPDIR),$(shell df -BG --output=avail /dev/shm 2>/dev/null \
  | awk 'NR == 2 && $$1 + 0 >= 4 { print "/dev/shm" }'),/tmp)
# Debian's packages that the tests drive; each is named like its program.
PACKAGES := chromium-headless-shell redis-server strace

# Without compiled Python each of the tests' forty services starts a sixth slower, and tests are collected in 26 s, not 15.
export PYTHONDONTWRITEBYTECODE :=

# Idle OpenMP threads must sleep: spinning ones starve whatever else runs on a small machine.
export OMP_WAIT_POLICY ?= passive
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

.PHONY: setup setup-dev installed compiled packages run test coverage check lint types layers bench fuzz evidence map docs help

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A usable environment is kept; a missing or half-made one is made anew.
$(BIN)/python:
	@for python in "$(PYTHON)" python3; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" --version)."; \
	    "$$python" -m venv --clear $(VENV) || { rm -f $@; exit 1; }; \
	    exit 0; \
	  fi; \
	done; \
	echo "BitLM needs Python 3.11 or newer: neither '$(PYTHON)' nor python3 is one." \
	     "Install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; \
	exit 1

setup: compiled ## Make .venv, install what runs (requirements.txt) and compile.

# What was installed is kept beside it, so an unchanged list starts at once and a changed one installs.
installed: $(BIN)/python
	@if ! cmp -s requirements.txt $(VENV)/installed.txt; then \
	  $(BIN)/python -m pip install -r requirements.txt; \
	  cp requirements.txt $(VENV)/installed.txt; \
	fi

compiled: $(COMPILED)

$(COMPILED): requirements.txt $(wildcard $(addsuffix /*.py,bitlm bitlm/model bitlm/telemetry bitlm/compression)) | installed
	$(BIN)/python -m bitlm compile
	@touch $@

setup-dev: installed
	@if ! cat requirements.txt requirements-dev.txt | cmp -s - $(VENV)/installed-dev.txt; then \
	  $(BIN)/python -m pip install -r requirements-dev.txt; \
	  cat requirements.txt requirements-dev.txt > $(VENV)/installed-dev.txt; \
	fi

packages:
	@missing=""; \
	for program in $(PACKAGES); do [ -x /usr/bin/$$program ] || missing="$$missing $$program"; done; \
	[ -n "$$missing" ] || exit 0; \
	as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo -n"; \
	if command -v apt-get >/dev/null && $$as_root true 2>/dev/null; then \
	  $$as_root apt-get update -qq </dev/null || true; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing </dev/null || true; \
	fi; \
	for program in $$missing; do \
	  [ -x /usr/bin/$$program ] || echo "Some tests will fail: they need /usr/bin/$$program," \
	    "which is in Debian's package '$$program' (apt-get install $$program)." >&2; \
	done

run: setup ## Start BitLM on http://127.0.0.1:5000 (BITLM_HOST, BITLM_PORT, BITLM_DATA_DIR).
	@exec $(BIN)/python -m app

# The longest files come first (testpaths in pyproject.toml), so that none is left for the end.
# They start services, which shall not wait for the compiler.
test: setup-dev packages ## Run every test; shapes and types are checked while tests of parts run.
	$(BIN)/python -m bitlm compile
	TMPDIR=$(TEST_FOLDER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile --no-loadscope-reorder $(ARGS)

# By itself, because counting lines takes half as long again as the tests.
coverage: ## Run every test and show which lines and branches none of them reached.
	@$(MAKE) test ARGS="--cov --cov-report=term:skip-covered $(ARGS)"

# The compiler has a core to itself while types are checked on another and packages are fetched.
check: setup-dev ## Everything that must be green: lint, types, layers, test.
	@$(MAKE) --jobs=3 --output-sync=target types compiled packages lint layers
	@$(MAKE) test

lint: setup-dev ## Check style and formatting (ruff).
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check

types: setup-dev ## Check types (mypy, strict).
	$(BIN)/python -m mypy

# import-linter's cache does not notice a new module, so it is not used.
layers: setup-dev ## Check that imports point down only (import-linter).
	$(BIN)/lint-imports --no-logo --no-cache

bench: setup-dev ## Run every benchmark, one after the other.
	@for script in $$(grep -l '^if __name__ == "__main__":' benchmarks/*.py | grep -v /evidence.py); do \
	  name="$$(basename "$$script" .py)"; \
	  echo "== benchmarks.$$name"; \
	  $(BIN)/python -m "benchmarks.$$name"; \
	done

fuzz: setup-dev ## Send the service what no client should, 60,000 times (ARGS="--cases 1000 --seed 2").
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

evidence: setup-dev ## Write docs/evidence.md, every claim with its figure (MEASURE=1: measure first what is old).
	@$(BIN)/python -m benchmarks.evidence $(if $(MEASURE),--measure)

map: setup-dev ## Draw docs/architecture.svg from the imports.
	$(BIN)/python -m benchmarks.import_map

docs: setup-dev ## Check the documentation: links, commands, settings it names.
	$(BIN)/python -m pytest tests/test_repository.py
