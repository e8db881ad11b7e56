# Tidewatch (观潮). `make help` lists what there is; nothing is needed but python3 >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/tidewatch-requirements.sha256
export GX_ANALYTICS_ENABLED := false

.DEFAULT_GOAL := help
.PHONY: help demo up down status test test-fast lint docs bench requirements venv venv-dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## the virtual environment with the pinned requirements
	@$(PYTHON) tools/bootstrap.py

venv-dev:
	@$(PYTHON) tools/bootstrap.py --dev

demo: venv ## everything on this machine: databases, three regions, Airflow, one backup of each source
	@$(BIN)/python -m tidewatch.local demo

up: venv ## start the local stack (PostgreSQL, three S3 regions, mail catcher, Airflow)
	@$(BIN)/python -m tidewatch.local up

down: ## stop the local stack; data stays in .tidewatch
	@if [ -f $(STAMP) ]; then $(BIN)/python -m tidewatch.local down; else echo "nothing is set up"; fi

status: ## what of the local stack runs
	@if [ -f $(STAMP) ]; then $(BIN)/python -m tidewatch.local status; else echo "nothing is set up"; fi

test: venv-dev ## all tests, on a stack of their own
	@$(BIN)/python tools/run_tests.py

test-fast: venv-dev ## the tests that need no Airflow scheduler
	@$(BIN)/python tools/run_tests.py --fast

lint: venv-dev ## ruff (with the Airflow rules), mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: venv-dev ## regenerate docs/DAGS.md, docs/cli.md and docs/schemas from the code
	@$(BIN)/python tools/generate_docs.py

bench: venv-dev ## measure the backup beside the script by hand, restic and pgBackRest (docs/benchmarks.md)
	@$(BIN)/python benchmarks/backup.py

requirements: venv-dev ## compile the pins of requirements*.txt from pyproject.toml
	@$(BIN)/python tools/requirements.py compile
