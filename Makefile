# Every target that needs the environment asks scripts/setup.sh for it, which takes milliseconds when .venv stands.
CONFIG ?= configs/bank.yaml
NAMES ?=
PYTHON_BIN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-flink test test-all test-debian13 bench lint format lock clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

setup:  ## make .venv from the locked requirements
	@scripts/setup.sh

demo: setup  ## run a whole pipeline on bundled data (CONFIG=configs/bank.yaml)
	@$(PYTHON_BIN) scripts/demo_data.py --for $(CONFIG)
	@.venv/bin/tfx-imbalance run $(CONFIG)

demo-flink: setup  ## run the demo's Beam nodes on a Flink cluster of two TaskManagers (needs Java and Maven)
	@$(PYTHON_BIN) scripts/demo_data.py --for $(CONFIG)
	@scripts/flink.sh run $(CONFIG)

test: setup  ## run the tests, all but the slow ones
	@$(PYTHON_BIN) -m pytest -q -n 2 --dist loadfile

test-all: setup  ## run all tests
	@$(PYTHON_BIN) -m pytest -q -m ""

test-debian13:  ## run `make test` in a Debian 13 root: the TFX 1.21 stack (needs to be root)
	@scripts/test_debian13.sh

bench: setup  ## measure the README's claims (NAMES="..." for some of them)
	@scripts/peers.sh || true  # without them the claims that need them say so
	@$(PYTHON_BIN) -m benchmarks $(NAMES)

lint: setup  ## check format, lint and types
	@$(PYTHON_BIN) -m ruff format --check .
	@$(PYTHON_BIN) -m ruff check .
	@$(PYTHON_BIN) scripts/typecheck.py

format: setup  ## format the code and mend what lint can mend
	@$(PYTHON_BIN) -m ruff format .
	@$(PYTHON_BIN) -m ruff check --fix .

lock:  ## resolve requirements/*.in anew
	@scripts/lock.sh

clean:  ## remove the environment, runs, caches and build products (not data/)
	rm -rf .venv .venvs runs build dist benchmarks/results.jsonl
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find benchmarks components pipeline scripts tests tfx_imbalance -name __pycache__ -prune -exec rm -rf {} +
