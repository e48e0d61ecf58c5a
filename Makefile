# The front desk: every target says what it is for; `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Bytecode is kept: each of the many processes of a run would else compile all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk 'BEGIN {FS = ":.*## "} {printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

$(BIN)/nightferry: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@echo "setting up $(VENV) (once, about half a minute)"
	@$(PYTHON) -m venv $(VENV) || { echo "install Python's venv module first (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/nightferry pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	@touch $@

demo: $(BIN)/nightferry ## four nights in a minute: the real controller against a simulated cluster
	@$(BIN)/nightferry demo $(ARGS)

check: $(VENV)/.dev ## format, lint, strict types, import contract, generated files: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m policies --check

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The stories mostly wait, so there are more of them at a time than cores. Only files that have such tests are read:
# each of the processes would else read all of them, and load Hypothesis, which none of these needs.
MARKED := $(filter-out tests/cluster/%,$(shell grep -rl --include='test_*.py' 'mark\.cluster' tests))
REAL := -p no:hypothesispytest -n 14 --maxschedchunk 1 --timeout 900 -m cluster tests/cluster $(MARKED)

test: $(VENV)/.dev ## set up the real parts and run every test
	@$(BIN)/python -m tests.setup.control_plane || [ "$$NIGHTFERRY_REQUIRE_CLUSTER" != 1 ]
	$(BIN)/pytest -n 2 -m "not cluster" $(ARGS)
	$(BIN)/pytest $(REAL) $(ARGS)

unit-test: $(VENV)/.dev ## the tests that need no real parts
	$(BIN)/pytest -n 2 -m "not cluster" $(ARGS)

# Twenty minutes of two cores: every fault at every request of every story, also where requests are alike.
test-exhaustive: $(VENV)/.dev ## every single fault and every pause at every request of the kernel's stories
	NIGHTFERRY_EXHAUSTIVE=1 $(BIN)/pytest -n 2 --maxschedchunk 1 --timeout 5400 tests/kernel $(ARGS)

cluster-test: $(VENV)/.dev ## the stories on a real control plane and a real Prometheus, and their figures
	$(BIN)/python -m tests.setup.control_plane
	$(BIN)/pytest $(REAL) $(ARGS)

shaken-test: $(VENV)/.dev ## the same while requests come late and servers stand still: finds what passes by luck
	$(BIN)/python -m tests.setup.control_plane
	NIGHTFERRY_SHAKEN=$${NIGHTFERRY_SHAKEN:-1} $(BIN)/pytest $(REAL) $(ARGS)

bench: $(VENV)/.dev ## print the figures of docs/performance.md
	$(BIN)/python -m tests.bench $(ARGS)

bench-decisions: $(VENV)/.dev ## print the figures of docs/statistics.md: false rollbacks, power, delays, rivals
	$(BIN)/python -m tests.bench.decisions $(ARGS)

nights: $(VENV)/.dev ## a thousand nights of thirty apps in virtual time: what the controller does while nobody looks
	$(BIN)/python -m tests.bench.nights $(ARGS)

manifests: $(VENV)/.dev ## write the CRDs, the JSON Schema and the reference page from the policy models
	$(BIN)/python -m policies

clean: ## remove what was built
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help demo check format test unit-test test-exhaustive cluster-test shaken-test bench bench-decisions nights manifests clean
