# Everything runs in .venv, which `make setup` fills from the Python package index.
PYTHON ?= python3.11
BIN := .venv/bin
MODEL ?= runs/demo/model
STAMP := .venv/.ready

.PHONY: setup demo serve test check bench

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing about 3 GB of Python packages into .venv; this takes some minutes"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/python -m recipes demo

serve: setup
	$(BIN)/python -m serve $(MODEL)

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks
