# The two commands of the README (demo, test), and what a developer needs. Everything runs in .venv.
PYTHON ?= python3
PYTEST_OPTIONS ?=
NAMES ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_READY := node_modules/.package-lock.json

.PHONY: help demo test slow mutants lint lint-js types docs notebooks check benchmark clean

help:               ## List the targets.
	@sed -n 's/^\([a-z-]*\):[^#]*##/  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is required, this is " + sys.version.split()[0]'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)      ## Tune a small neural network with local job runs and train the best configuration.
	$(BIN)/python notebooks/demo.py

test: $(READY)      ## Run the tests except the slow ones.
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(PYTEST_OPTIONS)

slow: $(READY)      ## Run the slow tests: notebooks, browser, fuzzing, kills.
	$(BIN)/python -m pytest -m slow -n auto --maxprocesses 4 $(PYTEST_OPTIONS)

mutants: $(READY)   ## Run the tests on deliberate faults of the protocol; each must be caught.
	$(BIN)/python -m tests.mutants

lint: $(READY) lint-js  ## Check style, import contracts and spelling.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

lint-js:            ## Check style, format and types of the dashboard's JavaScript; needs npm.
	@if command -v npm > /dev/null; then $(MAKE) --silent --no-print-directory $(NODE_READY) && npm run --silent lint; \
	else echo "npm is not installed: the JavaScript is not linted"; fi

$(NODE_READY): package.json package-lock.json
	npm ci --silent
	touch $@

types: $(READY)     ## Check types.
	$(BIN)/mypy

docs: $(READY)      ## Build the documentation into docs/_build/html; warnings are errors.
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --quiet docs docs/_build/html

check: lint types docs test slow  ## Run everything that CI runs on the sources.

notebooks: $(READY) ## Execute the notebooks and save them with outputs; NAMES chooses some.
	$(BIN)/python -m tests.notebook.saving $(NAMES)

benchmark: $(READY) ## Measure the overhead of a tuner per trial.
	$(BIN)/python -m tests.benchmarks.overhead

clean:              ## Remove the environments, the demo and built documentation.
	rm -rf $(VENV) node_modules demo docs/_build docs/notebooks
