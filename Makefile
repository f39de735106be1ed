# make reproduce   environment if need be, then the quick size of every study, on embedded data
# make test        environment if need be, then the tests; FULL=1: those of full size too; WORKERS=8: on more cores
# make bench       environment if need be, then the benchmarks; writes the tables of docs/performance.md
# make mutations   environment if need be, then alters everything in a run; writes the table of docs/provenance.md
# make tutorial    environment if need be, then executes docs/tutorial.ipynb and writes its outputs
# make lint        style and types; make format rewrites what it can
# make clean       remove what runs made (results, logs); make distclean the environment too; figures stay
#
# PYTHON=python3.12 make reproduce    another interpreter for the environment

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
STAMP := $(VENV)/.complete

.PHONY: reproduce test bench mutations tutorial lint format clean distclean

reproduce: $(STAMP)
	$(BIN)/snakemake --cores all

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(if $(FULL),,-m "not full")

bench: $(STAMP)
	@mkdir -p results
	$(BIN)/python -m pytest tests/benchmarks/bench_*.py --benchmark-json=results/benchmarks.json
	$(BIN)/python -m tests.benchmarks.report results/benchmarks.json

mutations: $(STAMP)
	$(BIN)/python -m tests.audit.report

tutorial: $(STAMP)
	$(BIN)/python -m tests.tutorial

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# The stamp is written last: an interrupted installation is repeated.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null || { \
	  echo "error: Python 3.11 to 3.14 is needed, but '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	  echo "       Name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "error: $(PYTHON) lacks venv or ensurepip. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

clean:
	rm -rf results logs .snakemake .benchmarks .pytest_cache .mypy_cache .ruff_cache .hypothesis

distclean: clean
	rm -rf $(VENV)
