# Every target makes its own virtual environment in .venv, installs what it needs with pip (no compiler), and runs.
# A stamp file per set of packages keeps the second run fast; a changed pyproject.toml renews them.
#
#   make demo     handshakes whose private key operations pause, drawn in the terminal
#   make test     all tests; real peers that are not installed are skipped (not when CI=true).  ARGS="-k name" goes to pytest
#   make check    ruff, mypy --strict, the order of the layers
#   make bench    every benchmark against its peers.  ONLY=row runs one
#   make fuzz     atheris on what the network sends, FUZZ_SECONDS (default 20) for each target

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --prefer-binary
ARGS ?=
ONLY ?=
FUZZ_SECONDS ?= 20

.PHONY: help demo test check bench fuzz clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.cli
	@$(BIN)/caesura demo $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layering.py

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(ARGS)

fuzz: $(VENV)/.fuzz
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python tests/fuzz/run.py $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The first Python that is new enough and can make a virtual environment; PYTHON=... chooses another.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    "$$python" -c 'import venv, ensurepip' 2>/dev/null || { incomplete=$$python; continue; }; \
	    echo "making $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear $(VENV); \
	done; \
	if [ -n "$$incomplete" ]; then \
	    echo "$$incomplete cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)" >&2; \
	else \
	    echo "Caesura needs Python 3.11 or newer, and no such python3 was found. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	fi; exit 1

# .venv/.NAME stands for `pip install -e .[NAME]`.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "installing what '$*' needs into $(VENV)"
	@$(PIP) --editable '.[$*]'
	@touch $@
