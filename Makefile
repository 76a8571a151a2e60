# The two commands of the README, and what a developer needs. Everything runs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

NODE_READY := node_modules/.package-lock.json

.PHONY: demo test slow lint lint-js types check benchmark clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version.split()[0]'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)      ## Tune a real model with local job runs, then train the best configuration.
	$(BIN)/python notebooks/demo.py

test: $(READY)      ## The tests, but for the slow ones.
	$(BIN)/python -m pytest -n auto --maxprocesses 4

slow: $(READY)      ## Notebooks, browser, fuzz, kills.
	$(BIN)/python -m pytest -m slow -n auto --maxprocesses 4

lint: $(READY) lint-js
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-js:            ## Lint, format and types of the dashboard's JavaScript; needs npm.
	@if command -v npm > /dev/null; then $(MAKE) --silent --no-print-directory $(NODE_READY) && npm run --silent lint; \
	else echo "npm is not installed: the JavaScript is not linted"; fi

$(NODE_READY): package.json package-lock.json
	npm ci --silent
	touch $@

types: $(READY)
	$(BIN)/mypy

check: lint types test slow

benchmark: $(READY)
	$(BIN)/python -m tests.benchmarks.overhead

clean:
	rm -rf $(VENV) node_modules demo
