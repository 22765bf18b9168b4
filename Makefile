# Two commands are enough on a fresh machine: `make run` and `make test`.

# Passed on to the command of the target: make run ARGS="--set train.epochs=2"
ARGS ?=
# Test processes, of up to 3 GB each. WORKERS=0 runs the tests in one, as for a debugger.
WORKERS ?= 2
BIN := .venv/bin
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-engines fuzz test-trixie coverage test-docker bench-quality lint format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: ## Make .venv from the pinned lock (the other targets do this themselves)
	@bash requirements/setup.sh

run: setup ## Run the pipeline on MovieLens-100K; options in ARGS="..."
	@$(BIN)/two-tower run $(ARGS)

PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

test: setup ## Run all tests, the end-to-end run and the real ratings included
	@$(PYTEST) $(ARGS)

test-fast: setup ## Run the tests that take seconds
	@$(PYTEST) -m "not slow and not real_data" $(ARGS)

test-engines: setup ## Run the pipeline on a Spark cluster and on remote workers; needs root, Java, Maven
	@bash tests/engines/setup.sh $(CURDIR)/$(BIN)/python
	@$(BIN)/python -m pytest tests/engines -m engines $(ARGS)

fuzz: setup ## Run the tests that hypothesis feeds, with much more input (20 minutes)
	@HYPOTHESIS_PROFILE=fuzz $(PYTEST) -m fuzz --timeout=3600 $(ARGS)

test-trixie: ## Run the tests on Debian 13 (TFX 1.21, Python 3.13), in a chroot; needs root
	@bash requirements/trixie.sh $(ARGS)

coverage: setup ## Run the tests and list the lines that none of them runs
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered $(ARGS)

test-docker: setup ## Build the image and run the pipeline in containers, as Kubeflow would
	@$(BIN)/python tests/docker/chain.py

# Make an environment of its own: folder of its requirements.txt, and of its .venv.
define peers
	@test -e $(1)/.venv/done || { \
		$(BIN)/uv venv -q --clear --python $(BIN)/python $(1)/.venv && \
		VIRTUAL_ENV=$(1)/.venv $(BIN)/uv pip sync -q $(1)/requirements.txt && \
		touch $(1)/.venv/done; }
endef

bench-quality: setup ## Compare with other recommenders; they get environments of their own (6 GB)
	$(call peers,benchmarks/quality)
	$(call peers,benchmarks/quality/sequential)
	@$(BIN)/python -m benchmarks.quality $(ARGS)

lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: setup ## Format the code and fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: setup ## Renew requirements/*.txt; ARGS=--upgrade takes newer releases
	@bash requirements/lock.sh $(ARGS)

clean: ## Remove .venv and all caches; the workspace stays
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .coverage* build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
