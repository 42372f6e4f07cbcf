# Everything runs in .venv, at the versions that requirements/*.txt pin with the hash of each file. A target installs only
# what it needs: `make run` the product (run.txt), `make test` also the test group, and so on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
RUN := $(VENV)/installed-run
DOCS := $(VENV)/installed-docs
TEST := $(DOCS) $(VENV)/installed-test
BROWSER := $(TEST) $(VENV)/installed-browser
DEV := $(BROWSER) $(VENV)/installed-lint
SCENARIO ?= kaliwates
SECONDS ?= 600
UPGRADE ?=
ORDINARY := not slow and not models and not browser and not peers
TEST_PROCESSES ?= 4
MODELS := tests/integration/test_models.py tests/unit/drive/client/test_shaped_connection.py
SOURCES := harness mock_server powercut reports tests benchmarks docs/_generate

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # pytest would rewrite and compile every test module again in each process
.NOTPARALLEL: # two pips in one environment would interfere
.PHONY: help setup setup-dev run check format test test-unit test-models test-browser test-peers test-slow bench soak docs lock clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(RUN)  ## create .venv with what running the harness needs

setup-dev: $(DEV)  ## install everything that check, docs and the tests need

$(RUN): requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is required; $(PYTHON) is $$($(PYTHON) --version). Try make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "Python's venv module is missing (Debian, Ubuntu: apt-get install python3-venv)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo 'Installing the product into $(VENV) (about a minute)'
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --no-index --no-build-isolation -e .
	@touch $@

# Not installed again when only pyproject.toml changed: the locks say what has to be there.
$(VENV)/installed-%: requirements/%.txt | $(RUN)
	@echo 'Installing the group $* into $(VENV)'
	$(PIP) --require-hashes -r $<
	@touch $@

run: setup  ## run a scenario and write its report (SCENARIO=kaliwates)
	$(BIN)/harness run $(SCENARIO)

check: $(DEV)  ## format, lint, types, imports, dependencies, English: the hooks of .pre-commit-config.yaml
	$(BIN)/pre-commit run --all-files

format: $(DEV)  ## format the code and apply the linter's fixes
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: $(TEST)  ## the tests (a few minutes; real processes and sockets; TEST_PROCESSES=4 in parallel; COVERAGE=1 measures coverage)
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal --ignore=tests/browser -m '$(ORDINARY)' $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

test-unit: $(TEST)  ## the light unit tests only (under half a minute)
	$(BIN)/pytest -n auto --dist worksteal -m '$(ORDINARY) and not heavy' tests/unit

test-models: $(TEST)  ## the incident and metastability, shortened (two minutes; needs a quiet machine)
	$(BIN)/pytest -m models $(MODELS)

test-browser: $(BROWSER)  ## the report, the documentation site and Locust's web UI in headless Chromium (needs chromium)
	$(BIN)/pytest -n 2 --dist loadfile -m browser tests/browser

test-peers: $(TEST)  ## interoperability with servers and clients written by others (needs root, node, npm, curl, nginx, prometheus, fuse3, postgresql)
	$(BIN)/pytest -n 2 --dist loadfile -m peers tests/integration

test-slow: $(TEST) $(VENV)/installed-bench  ## long tests: many repetitions, many seeds (needs wrk, hey)
	$(BIN)/pytest -m slow

bench: $(TEST) $(VENV)/installed-bench  ## measure, and write the results into docs/explanation (needs wrk, hey, nginx; 50 minutes, a quiet machine; PART=twin: one part)
	$(BIN)/python -m benchmarks $(PART)

soak: setup  ## check that memory and descriptors stay flat and nothing is lost (SECONDS=600)
	$(BIN)/python -m benchmarks.soak --seconds $(SECONDS)

docs: $(DOCS)  ## generate the reference pages and build the documentation site into site/
	$(BIN)/python -m docs._generate
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

lock: $(VENV)/installed-lock  ## resolve pyproject.toml into requirements/*.txt (UPGRADE=--upgrade for the newest versions)
	UV=$(BIN)/uv bash requirements/compile.sh $(UPGRADE)

clean:  ## remove .venv and everything that was built (runs stay)
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
