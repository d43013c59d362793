# Every target does its own set-up: a virtual environment pinned by constraints/. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

AIRFLOW ?= 3.3
PYTHON  ?= python3
PINNED  ?= airflow
PINS    := constraints/$(PINNED)-$(AIRFLOW).txt
VENV    := .venv$(addprefix -,$(filter-out airflow,$(PINNED)))$(addprefix -,$(filter-out 3.3,$(AIRFLOW)))
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
ARGS    ?=
AGAINST ?=
TAG     ?=
WORKERS ?= 3
UV      := uv==0.13.9
# Modules are compiled once, also where the surroundings forbid it: else each of the tests' many processes would compile
# all of Airflow again, which takes longer than most of what they do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test coverage test-clickhouse test-duckdb-floor test-readers test-lowest test-soak docs links screenshots bench bench-quick lint format build release-check airflow constraints clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): $(PINS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=…")'
	echo "Setting up $(VENV) (Airflow $(AIRFLOW)) …"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r $(PINS) -e .
	touch $(READY)

demo: $(READY) ## Run the marketing workflow of example_dags/ on a real Airflow, against the emulator
	@$(BIN)/python scripts/demo.py

test: $(READY) ## Run the tests (AIRFLOW=2.11 for that line, ARGS='-k name' or a path for some)
	@# In the order of their folders: what takes long comes before the many short ones, so that no worker is left alone.
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadscope --no-loadscope-reorder $(ARGS)

coverage: $(READY) ## Run the tests and measure how much of the package they run, which takes longer
	@$(MAKE) --no-print-directory test ARGS='--cov --cov-report='
	$(BIN)/coverage report --fail-under=95

test-duckdb-floor: $(READY) ## Run the tests of DuckDB on the oldest version that pyproject.toml allows
	@floor=$$(sed -n 's/.*"duckdb>=\([0-9.]*\)".*/\1/p' pyproject.toml)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --upgrade --target $(VENV)/duckdb-floor duckdb==$$floor
	export PYTHONPATH=$(CURDIR)/$(VENV)/duckdb-floor
	$(BIN)/python -c "import duckdb, sys; sys.exit(duckdb.__version__ != '$$floor' and 'Another DuckDB is found first')"
	$(BIN)/pytest --numprocesses=$(WORKERS) -k "duckdb or DuckDB" tests/integration/targets tests/integration/test_sources.py

test-readers: $(READY) ## Read what is written by Spark, DataFusion and ClickHouse's engine too (1.1 GB, and Java)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --upgrade --target $(VENV)/readers -r constraints/readers.txt
	ALTCRAFT_TESTS_HAVE_ENGINES=1 PYTHONPATH=$(CURDIR)/$(VENV)/readers $(BIN)/pytest tests/integration/targets/test_docs_readers.py

test-clickhouse: $(READY) ## Run the tests of ClickHouse over its engine (533 MB), which no other run installs
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --upgrade --target $(VENV)/clickhouse $$(grep ^chdb constraints/readers.txt)
	ALTCRAFT_TESTS_HAVE_ENGINES=1 PYTHONPATH=$(CURDIR)/$(VENV)/clickhouse $(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadscope tests/integration/targets/test_clickhouse*.py \
	  tests/integration/targets/test_docs_readers.py -k clickhouse

LOWEST := tests/unit/client tests/unit/extract tests/unit/test_arrow.py tests/unit/targets/test_formats.py tests/unit/targets/test_object_storage.py \
  tests/integration/targets/test_local.py tests/integration/targets/test_conformance.py \
  -k 'not (S3 or Azure or Gcs or Postgres or MariaDB or DuckDB or Delta or Iceberg or LocalFolder or Replace or Append or at_any_point)'
test-lowest: ## Run client, extraction and local targets with the lowest versions that pyproject.toml admits
	@$(MAKE) --no-print-directory test PINNED=lowest ARGS="$(LOWEST)"

test-soak: $(READY) ## Run what takes minutes, one after another, with its figures printed
	@$(BIN)/pytest -m soak -s --show-capture=no $(ARGS)

docs: $(READY) ## Build the site of the documentation into .docs/, warnings being errors
	@$(BIN)/sphinx-build -b html --fail-on-warning --keep-going --quiet --fresh-env docs .docs
	echo "The site begins at .docs/index.html"

links: $(READY) ## Ask the sites that the documentation links to whether the pages are there (needs the internet)
	@$(BIN)/sphinx-build -b linkcheck --quiet docs .docs-links

bench: $(READY) ## Measure against what users would otherwise pick (AGAINST=revision: and that build), write docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(addprefix --against=,$(AGAINST)) $(ARGS)

bench-quick: $(READY) ## The same in less than three minutes, printed only
	@$(BIN)/python -m benchmarks --quick $(addprefix --against=,$(AGAINST)) $(ARGS)

lint: $(READY) ## Check style, types and imports
	@$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/ruff check --preview --select AIR example_dags
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## Put the code into the project's style
	@$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(READY) ## Build wheel and sdist into dist/
	@$(BIN)/python -m build --installer uv

release-check: $(READY) ## Build, check the archives, pull by the wheel with oldest and newest versions (TAG=v0.1.0: that it may be tagged)
	@$(BIN)/python scripts/release_check.py $(TAG)

screenshots: $(READY) ## Take the pictures of docs/page.md again (Chromium and its driver)
	@$(BIN)/python -m scripts.screenshots

airflow: $(READY) ## Start a whole Airflow 3 with emulator, connection and example DAGs, to look around (PORT=…)
	@$(BIN)/python scripts/standalone.py

COMPILE := $(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-header --no-annotate --universal \
  --python-version 3.11 pyproject.toml
constraints: $(READY) ## Renew the pins of both Airflow lines, newest and lowest
	@for line in 3.3:airflow-3 2.11:airflow-2; do
	docs=$$([[ $$line == 3.3:* ]] && echo --group docs || true)
	$(COMPILE) --all-extras --group test --group lint --group bench $$docs --group $${line#*:} -o constraints/airflow-$${line%:*}.txt
	$(COMPILE) --resolution lowest-direct --extra excel --extra phone --extra sqlite --extra testing --group test-lowest --group $${line#*:} \
	  -o constraints/lowest-$${line%:*}.txt
	done

clean: ## Remove what the other targets made
	@rm -rf .venv* .docs .docs-links .bench .demo .airflow dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
