# Modelyard: `make demo` shows it, `make install` sets up .venv, `make test` runs every test.
SHELL := /bin/sh
WORKERS ?= 2
TESTS ?= tests

.PHONY: help install install-dev demo test bench lock clean

help:
	@echo "make demo     set up, train, deploy and call real models, clean up after it"
	@echo "make install  set up .venv with .venv/bin/modelyard"
	@echo "make test     run the whole test suite (TESTS=tests/wire for a part)"
	@echo "make bench    measure against floors and peers (benchmarks/)"

install:
	@python=$$(sh tools/bootstrap/python.sh) && "$$python" tools/bootstrap/install.py

install-dev:
	@python=$$(sh tools/bootstrap/python.sh) && "$$python" tools/bootstrap/install.py --dev

demo: install
	@.venv/bin/modelyard demo

# Quick tests, then slow ones (platforms and jobs of their own); both share the cores.
test: install install-dev
	@sh tools/test.sh

bench: install install-dev
	@for bench in benchmarks/*.py; do echo "== $$bench"; .venv/bin/python "$$bench" || exit 1; done

# New locks from pyproject.toml. No index address goes into them.
LOCK = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate
lock: install
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

clean:
	rm -rf .venv .demo .pytest_cache .ruff_cache .hypothesis
