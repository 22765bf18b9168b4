# Two commands are enough on a fresh machine: `make run` and `make test`.

# Passed on to the command of the target: make run ARGS="--set train.epochs=2"
ARGS ?=
BIN := .venv/bin
SHELL := /bin/bash

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast test-docker bench-quality lint format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | \
		awk -F ':.*## ' '{ printf "  make %-14s %s\n", $$1, $$2 }'

setup: ## Make .venv from the pinned lock (the other targets do it themselves)
	@bash requirements/setup.sh

run: setup ## Run the pipeline on MovieLens-100K; options in ARGS="..."
	@$(BIN)/two-tower run $(ARGS)

test: setup ## Run all tests, the end-to-end run and the real ratings included
	@$(BIN)/python -m pytest $(ARGS)

test-fast: setup ## Run the tests that take seconds
	@$(BIN)/python -m pytest -m "not slow and not real_data" $(ARGS)

test-docker: setup ## Build the image and run the chain in containers, as Kubeflow would
	@$(BIN)/python tests/docker/chain.py

PEERS := benchmarks/quality/.venv
bench-quality: setup ## Compare with other recommenders; they get an environment of their own
	@test -e $(PEERS)/done || { \
		$(BIN)/uv venv -q --clear --python $(BIN)/python $(PEERS) && \
		VIRTUAL_ENV=$(PEERS) $(BIN)/uv pip sync -q benchmarks/quality/requirements.txt && \
		touch $(PEERS)/done; }
	@$(BIN)/python -m benchmarks.quality $(ARGS)

lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

format: setup ## Format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: setup ## Remake requirements/*.txt; ARGS=--upgrade takes newer releases
	@bash requirements/lock.sh $(ARGS)

clean: ## Remove .venv and all caches; the workspace stays
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
