# Every target does its own set-up: a virtual environment pinned by constraints/. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:

AIRFLOW ?= 3.3
PYTHON  ?= python3
PINS    := constraints/airflow-$(AIRFLOW).txt
VENV    := $(if $(filter 3.3,$(AIRFLOW)),.venv,.venv-$(AIRFLOW))
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
ARGS    ?=
WORKERS ?= 3
UV      := uv==0.13.9
# Modules are compiled once, also where the surroundings forbid it: else each of the tests' many processes would compile
# all of Airflow anew, which takes longer than most of what they do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-soak bench bench-quick lint format build airflow constraints clean

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

test: $(READY) ## Run the tests with coverage (AIRFLOW=2.11 for that line, ARGS='-k name' for some without it)
	@# In the order of their folders: what takes long comes before the many short ones, so that no worker is left alone.
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadscope --no-loadscope-reorder $(or $(ARGS),--cov --cov-report=)
	$(if $(ARGS),,$(BIN)/coverage report --fail-under=95)

test-soak: $(READY) ## Run what takes minutes, one after another, with its figures printed
	@$(BIN)/pytest -m soak -s --show-capture=no $(ARGS)

bench: $(READY) ## Measure against what users would otherwise pick, and write docs/benchmarks.md (15 minutes)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(READY) ## The same in less than three minutes, printed only
	@$(BIN)/python -m benchmarks --quick $(ARGS)

lint: $(READY) ## Check style and types
	@$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/ruff check --preview --select AIR example_dags
	$(BIN)/mypy

format: $(READY) ## Put the code into the project's style
	@$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(READY) ## Build wheel and sdist into dist/
	@$(BIN)/python -m build --installer uv

airflow: $(READY) ## Start a whole Airflow 3 with emulator, connection and example DAGs, to look around (PORT=…)
	@$(BIN)/python scripts/standalone.py

constraints: $(READY) ## Renew the pins of both Airflow lines
	@for line in 3.3:airflow-3 2.11:airflow-2; do
	$(BIN)/uv pip compile --quiet --upgrade pyproject.toml --all-extras --group test --group lint --group bench --group $${line#*:} \
	  --no-emit-index-url --no-header --no-annotate --universal --python-version 3.11 -o constraints/airflow-$${line%:*}.txt
	done

clean: ## Remove what the other targets made
	@rm -rf .venv* .bench .demo .airflow dist .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
