# Two commands for a newcomer: `make run` and `make test`. `make help` tells the rest.
#
#   make run                                a clinical table that comes with a dependency
#   make run DATA=my.csv ARGS="--rows 500"  your own table
#
# Variables: PYTHON (the interpreter to build .venv with), DATA, OUT, ARGS, PYTEST_ARGS.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

VENV := .venv
# Windows keeps a virtual environment's programs in Scripts, everybody else in bin
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
DATA ?=
ARGS ?=
PYTEST_ARGS ?=
OUT ?=

.PHONY: help run serve test test-browser test-backends check lint docs clean

help:
	@echo "make run              synthetic twin of a clinical table, with its report, into results/gbsg2"
	@echo "make run DATA=my.csv  the same for your own table (ARGS=\"--rows 500\" passes options on, OUT=dir names the folder)"
	@echo "make serve            the web page and the API for this machine, with nothing to set up (ARGS=\"--port 8001\")"
	@echo "make test             the tests"
	@echo "make test-browser     the tests of the web page, in Chromium (on Debian, as root, it is installed where it is missing)"
	@echo "make test-backends    the tests that need SynthCity and SDV; installs them where they are not (13 GB on disk)"
	@echo "make check            what CI checks: lint, types, import rules, tests"
	@echo "make lint             ruff, mypy and import rules only"
	@echo "make docs             write the generated tables and JSON Schemas of docs/ anew"
	@echo "make clean            remove .venv, caches and build leftovers (results/ stays)"
	@echo "PYTHON=/path/to/python3.12 chooses the interpreter; it must be 3.11 or newer."

# --- the environment ---------------------------------------------------------------------------------------------

$(VENV)/.made:
	@sh scripts/make_venv.sh $(VENV) $(BIN)

$(VENV)/.installed: $(VENV)/.made pyproject.toml
	@echo "Installing synthloom and what it needs into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-server: $(VENV)/.made pyproject.toml
	@echo "Installing synthloom with its server into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[server]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(VENV)/.made pyproject.toml
	@echo "Installing synthloom with its development tools into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/.installed $(VENV)/.installed-server

# --- the two commands --------------------------------------------------------------------------------------------

results/gbsg2.csv: scripts/demo_table.py | $(VENV)/.installed
	@$(BIN)/python scripts/demo_table.py $@

ifeq ($(strip $(DATA)),)
run: $(VENV)/.installed results/gbsg2.csv
	@$(BIN)/python scripts/check_pango.py
	@$(BIN)/synthloom run results/gbsg2.csv --survival time,cens --out "$(or $(OUT),results/gbsg2)" $(ARGS)
	@echo
	@echo "Open $(or $(OUT),results/gbsg2)/report.html (or report.pdf); synthetic.csv lies beside it."
	@echo "For your own table: make run DATA=path/to/table.csv"
else
run: $(VENV)/.installed
	@$(BIN)/python scripts/check_pango.py
	@$(BIN)/synthloom run "$(DATA)" $(if $(OUT),--out "$(OUT)") $(ARGS)
endif

serve: $(VENV)/.installed-server
	@$(BIN)/python scripts/check_pango.py
	@exec $(BIN)/synthloom serve --open $(ARGS)

test: $(VENV)/.installed-dev
	@$(BIN)/python scripts/check_pango.py
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-browser: $(VENV)/.installed-dev
	@sh scripts/get_chromium.sh
	@$(BIN)/python scripts/check_pango.py
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser $(PYTEST_ARGS)

# SDV is under BUSL-1.1, which allows its use in tests; see docs/backends.md
test-backends: $(VENV)/.installed-dev
	@for name in synthcity sdv; do \
		if $(BIN)/synthloom backends check $$name --quiet 2>/dev/null; then echo "$$name is installed and works."; \
		else $(BIN)/synthloom backends install $$name --accept-licence || exit $$?; fi; \
	done
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m backends $(PYTEST_ARGS) tests/backends

# --- for developers ----------------------------------------------------------------------------------------------

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test

docs: $(VENV)/.installed-dev
	@$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
