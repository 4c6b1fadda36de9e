# The commands of README.md. Each one sets up its own environment in .venv first.
#   make quickstart ARGS='--steps 10'     options are passed on
#   make test PYTHON=python3.12           another interpreter (3.11 or 3.12)

VENV := .venv
BIN := $(VENV)/bin
IS_SUPPORTED := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON := $(shell for python in python3 python3.11 python3.12 python; do \
    $$python -c '$(IS_SUPPORTED)' 2>/dev/null && { echo $$python; break; }; done)
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help quickstart study test lint notebook tree parity

help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' \
	    | expand -t 20

quickstart: $(VENV)/runtime.stamp  ## video in, language matrix out: runs/quickstart/report.html
	$(BIN)/python -m experiments.quickstart --run_dir runs/quickstart $(ARGS)

study: $(VENV)/runtime.stamp  ## does VSM help across languages: ARGS='--mtvr_loo DIR'
	$(BIN)/python -m experiments.crosslingual.study --out docs/study $(ARGS)

test: lint  ## lint, types, then every test that is not slow
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/test.stamp  ## style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebook: $(VENV)/test.stamp  ## rebuild experiments/colab/quickstart.ipynb from its .py
	$(BIN)/jupytext --quiet --to ipynb experiments/colab/quickstart.py

parity: $(VENV)/test.stamp  ## rewrite docs/parity.md: how close every recorded case is
	$(BIN)/python -m tests.parity.table $(ARGS)

tree:  ## rewrite the list of files in README.md
	$(PYTHON) docs/readme_tree.py

# A stamp is written last, so an installation that was cut off is taken up again.
$(VENV)/runtime.stamp: requirements.txt pyproject.toml
	@'$(PYTHON)' -c '$(IS_SUPPORTED)' 2>/dev/null || { echo "make: PYTHON is\
	 '$(PYTHON)' ($$('$(PYTHON)' --version 2>&1 | head -n 1)); hero_jax needs Python\
	 3.11 or 3.12: install one, or name it with make PYTHON=python3.11" >&2; exit 2; }
	@echo "Setting up $(VENV) (about 1 GB, once; some minutes)"
	'$(PYTHON)' -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/runtime.stamp
	$(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@
