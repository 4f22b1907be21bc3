# The one entry for people and CI. `make` alone lists the verbs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NAME ?= demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test check unit docs bench format clean

help:  ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.installed  ## the environment in .venv, nothing more

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "modelpress needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=..."; exit 2; }
	@echo "installing into $(VENV) (torch with its CUDA libraries is about 5 GB; a minute or two)"
	@$(PYTHON) -m venv $(VENV) || { echo "venv failed; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 2; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: setup  ## compress the shipped trained model on real data, and write a report to open
	$(BIN)/modelpress demo
	@echo "first    . $(BIN)/activate   (so that the shell finds modelpress)"

test: setup check  ## everything: lint, types, and every test
	$(BIN)/pytest

unit: setup  ## the tests that take seconds
	$(BIN)/pytest tests/unit tests/contract tests/architecture -m "not slow"

check: setup  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy shared services tests benchmarks examples docs

format: setup  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## draw the docs' pictures, write FORMAT.md's tables and cli.md anew
	$(BIN)/python -m docs.format
	$(BIN)/python -m docs.cli
	$(BIN)/python -m docs.schema
	$(BIN)/python -m docs.images.make

bench: setup  ## run one benchmark, e.g. make bench NAME=format
	$(BIN)/python -m benchmarks $(NAME)

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
