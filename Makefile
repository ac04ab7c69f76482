# Everything runs in .venv, which `make setup` fills from the Python package index.
PYTHON ?= python3.11
BIN := .venv/bin
MODEL ?= runs/demo/model
STAMP := .venv/.ready
WITHOUT_RAY := tests/deploy tests/parity tests/s2st

.PHONY: setup demo serve test test-without-ray test-with-ray check bench

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

# Two processes, one of which starts no Ray. `.venv/bin/python -m pytest` runs all in one.
test: setup
	$(MAKE) --jobs 2 test-without-ray test-with-ray

test-without-ray:
	$(BIN)/python -m pytest $(WITHOUT_RAY)

test-with-ray:
	$(BIN)/python -m pytest $(WITHOUT_RAY:%=--ignore=%)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks
