# `make install` needs python3 (3.11 or newer) and make, nothing else. Everything goes into .venv, next to this file.
# Arguments for a command go into ARGS: make test ARGS="tests/test_project.py -x"

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# uv only writes the lock files; nobody needs it to install from them.
UV := uv==0.13.9
COMPILE = "$$venv/bin/uv" --quiet pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
NPM := $(shell command -v npm 2>/dev/null)
PACKAGES := connect_inbox schema resolvers sync storage

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo serve test check soak schemathesis oldest bench fanout lock clean

help:
	@echo "make install  set up .venv from the lock files"
	@echo "make demo     start with a made-up workspace to look at"
	@echo "make serve    start the server"
	@echo "make test     run the tests                        (ARGS: for pytest)"
	@echo "make check    lint, format, types, layers, schema"
	@echo "make soak     run the long test                    (ARGS: --scale 0.1)"
	@echo "make schemathesis  ask a demo for what its schema allows, in an environment made for it"
	@echo "make oldest   test the wire with the oldest redis-py that is supported"
	@echo "make bench    measure                              (ARGS: for bench)"
	@echo "make fanout   measure the fan-out, beside others'  (ARGS: for bench.fanout)"
	@echo "make lock     renew the lock files, Python's and npm's"
	@echo "make clean    remove what these commands made"

install: .venv/installed

# Two stamps: a changed lock file makes the environment anew, so that nothing of the old one stays behind; a changed
# pyproject.toml only registers the project again.
.venv/locked: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "error: Python 3.11 or newer is needed; name one with: make install PYTHON=python3.x" >&2; exit 1; }
	@echo "Making .venv and installing the locked packages (a minute or two) ..."
	@$(PYTHON) -m venv --clear .venv \
		|| { echo "error: could not make .venv; on Debian and Ubuntu the package python3-venv is needed" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

.venv/installed: .venv/locked pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready: $(BIN)/connect-inbox"

demo: install
	@$(BIN)/connect-inbox demo $(ARGS)

serve: install
	@$(BIN)/connect-inbox serve $(ARGS)

ifdef NPM
test: tests/npm/node_modules/installed
else
test: no-npm
endif
# Or each of the hundred processes that tests start would compile what it loads.
test: export PYTHONDONTWRITEBYTECODE :=
test: install
	@$(BIN)/pytest -n auto $(ARGS)

.PHONY: no-npm
no-npm:
	@echo "npm was not found: the tests with JavaScript clients are skipped."

# `npm ci` empties node_modules, the stamp with it.
tests/npm/node_modules/installed: tests/npm/package.json tests/npm/package-lock.json
	@echo "Installing the JavaScript clients for the tests ..."
	@cd tests/npm && npm ci --silent --no-audit --no-fund
	@touch $@

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/connect-inbox schema check

soak: install
	@$(BIN)/python -m tests.soak $(ARGS)

schemathesis: install
	@$(BIN)/python -m tests.schemathesis

oldest: install
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		--target "$$folder" -r tests/oldest/requirements.txt; \
	export PYTHONPATH="$$folder"; \
	$(BIN)/python -c 'import redis; print("redis-py", redis.__version__)'; \
	$(BIN)/pytest -n auto tests/test_redis.py

bench: install
	@$(BIN)/python -m bench $(ARGS)

ifdef NPM
fanout: tests/npm/node_modules/installed
endif
fanout: install
	@$(BIN)/python -m bench.fanout $(ARGS)

# To renew what is locked: make lock. The run-time lock is renewed first, the other one then holds the same versions.
lock:
	@set -e; venv=$$(mktemp -d); trap 'rm -rf "$$venv"' EXIT; \
	echo "Resolving ..."; \
	$(PYTHON) -m venv "$$venv"; \
	"$$venv/bin/python" -m pip install --quiet --disable-pip-version-check $(UV); \
	$(COMPILE) pyproject.toml --upgrade --group build --output-file requirements.txt; \
	$(COMPILE) pyproject.toml --upgrade --group dev --constraints requirements.txt \
		--output-file requirements-dev.txt; \
	$(COMPILE) tests/schemathesis/requirements.in --upgrade --output-file tests/schemathesis/requirements.txt; \
	$(COMPILE) tests/oldest/requirements.in --upgrade --output-file tests/oldest/requirements.txt
ifdef NPM
	@cd tests/npm && npm update --silent --package-lock-only --no-audit --no-fund
else
	@echo "npm was not found: tests/npm/package-lock.json stays as it is."
endif

clean:
	rm -rf .venv tests/npm/node_modules dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
