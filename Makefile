.PHONY: help setup env demo up test cover unit check format fuzz fuzz-parsers audit-deps sbom mutants bench bench-backlog bench-scale chaos
.DEFAULT_GOAL := help

# The first interpreter that is new enough: `python3` on some systems is not.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN := .venv/bin
export MINUTES JOBS SEED SAMPLE ONLY RUNS RATE KILL_EVERY KEEP WAITING TENANTS ROUNDS RELEASES MILLION
WHOLE_SUITE := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
READY := .venv/.ready
SUPPLY := .venv/supply

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

setup: $(READY) ## Make .venv and install everything from the lock file

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "darkroom: Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "darkroom: Python's venv module is missing: install python3-venv."; exit 1; }
	@echo "setting up .venv (once)"
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

env: ## Write .env for docker compose: a fresh secret for each that is missing, what is there stays
	@sh deploy/env.sh

demo: setup ## Run one job through the whole stack, show where its image is, stop
	@$(BIN)/darkroom demo

up: setup ## Keep the whole stack running with a sandbox upstream (Ctrl-C stops it)
	@$(BIN)/darkroom up

test: setup ## Run the whole test suite
	$(WHOLE_SUITE)

# apart from `test`: measuring nearly doubles the CPU time of a test without processes (37 to 70 s of 3,527 tests)
cover: setup ## Run the whole test suite and measure what it covers: fails below the floor of pyproject.toml
	$(WHOLE_SUITE) --cov

unit: setup ## Run the fast tests only, in seconds
	$(BIN)/python -m pytest -q tests/unit

check: setup ## Lint, types, import contracts, Lua scripts, rules of our own, line budget
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/loq check api worker config tests
	$(BIN)/python -m tests.luacheck
	$(BIN)/python -m tests.ownrules

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

chaos: setup ## Kill, freeze and restart everything under load: make chaos JOBS=10000 SEED=1 RUNS=1 RATE=40 KILL_EVERY=2
	$(BIN)/python -m tests.chaos

fuzz: setup ## Try every call of the OpenAPI schema with generated input, with a key and without: make fuzz EXAMPLES=100 (a call)
	SCHEMA_EXAMPLES=$(or $(EXAMPLES),100) $(BIN)/python -m pytest -q -s --timeout 3000 tests/e2e/test_schema.py

# atheris is no part of the lock file: nothing but this target uses it, and it has no wheel for the newest Python
fuzz-parsers: setup ## Whatever reads what strangers send, by coverage and by structure: make fuzz-parsers MINUTES=60 ONLY=picture,token
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check atheris==3.0.0
	nice -n 19 $(BIN)/python -m tests.fuzz

# in an environment of their own: they bring other versions of what the lock file names
$(SUPPLY)/.ready: $(READY)
	@$(BIN)/python -m venv --clear $(SUPPLY)
	@$(SUPPLY)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

audit-deps: $(SUPPLY)/.ready ## Has a locked package a known vulnerability? Needs the internet; fails where it cannot find out
	@$(SUPPLY)/bin/pip-audit --strict --require-hashes --disable-pip -r requirements.lock || { \
		echo "darkroom: a package above has a known vulnerability, or could not be looked up: then nothing is known."; exit 1; }

sbom: $(SUPPLY)/.ready ## Write the bill of materials (SBOM, CycloneDX) of the lock file to dist/sbom.cdx.json
	@mkdir -p dist
	@$(SUPPLY)/bin/cyclonedx-py requirements --output-reproducible --validate --pyproject pyproject.toml \
		--of JSON -o dist/sbom.cdx.json requirements.lock
	@echo "dist/sbom.cdx.json"

# mutmut is no part of the lock file: nothing but this target uses it, and it brings a terminal interface along
mutants: setup ## Plant small faults one at a time; which does no test notice? make mutants SAMPLE=150 SEED=1 ONLY=tick,queue
	@$(BIN)/python -c 'import mutmut' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check mutmut==3.8.1
	$(BIN)/python -m tests.mutants

bench-backlog: setup ## Measure accept and release behind 100,000 waiting jobs against an empty queue: WAITING= TENANTS= MILLION=1
	$(BIN)/python -m tests.benchmarks.bench_backlog

bench: setup ## Measure the intake against a tutorial's way and against no I/O at all
	$(BIN)/python -m tests.benchmarks.bench_intake

bench-scale: setup ## Measure 1, 2 and 4 workers on one Redis, without a limit and with one
	$(BIN)/python -m tests.benchmarks.bench_scale
