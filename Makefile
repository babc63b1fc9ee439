# `make demo` and `make test` do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Not quiet, so that it shows how far it is
PIP := --disable-pip-version-check --no-input
# The tests run side by side, each on one core; whoever has none left takes over the other's.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -q

.PHONY: demo test test-slow base browser lint types contracts clean

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	@echo "Installing what the demo needs into $(VENV): it takes about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP) --no-compile -c constraints.txt -e '.[field]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install $(PIP) -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/demo.stamp

demo: $(VENV)/demo.stamp ## Classify example galaxies and those of the Hubble Deep Field
	$(BIN)/galvote demo --out demo --overwrite
	@echo "Open demo/index.html. To use galvote in this shell: source $(BIN)/activate"

test: $(VENV)/dev.stamp ## Run the default tests
	$(PYTEST)

test-slow: $(VENV)/dev.stamp ## Run the tests that `make test` leaves out
	$(PYTEST) -m slow

base: ## Try what the base install does, in an environment without torch
	$(PYTHON) -m venv .venv-base
	.venv-base/bin/pip install --quiet -c constraints.txt '.[field,finetune,serve]'
	OMP_NUM_THREADS=1 .venv-base/bin/python tests/without_torch.py .venv-base/tried

browser: ## Install the browser that the page's tests drive, where that is possible; without it they are skipped
	@command -v chromium >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium fonts-liberation >/dev/null; \
	} || echo "No Chromium, and it cannot be installed here: the tests of the page are skipped."

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

contracts: $(VENV)/dev.stamp
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .venv-base demo
