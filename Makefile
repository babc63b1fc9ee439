# `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow lint types contracts clean

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[field]'
	touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp ## Find and classify the galaxies of the Hubble Deep Field
	$(BIN)/galvote demo --out demo --overwrite

test: $(VENV)/dev.stamp ## Run the default tests
	$(BIN)/pytest -n 2 -q

test-slow: $(VENV)/dev.stamp ## Run every test, the slow ones too
	$(BIN)/pytest -n 2 -q -m 'slow or not slow'

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

contracts: $(VENV)/dev.stamp
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) demo
