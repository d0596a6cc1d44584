# Everything from a bare clone, with Python 3.11 or newer, pip and make:  make demo, make test.
# `make help` lists the targets. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV   ?= .venv
BENCH  ?= ../shared/bench

BIN   := $(VENV)/bin
READY := $(VENV)/.ready
PIP   := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: env help demo test lint docs bench slow clean
.DELETE_ON_ERROR:

env: $(READY)  ## build .venv from constraints.txt (the other targets do this by themselves)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch goes first: it is the one package whose build must not be chosen by another package's wishes.
$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python %d.%d found, 3.11 or newer needed: make PYTHON=python3.12" % v[:2])'
	@echo "building $(VENV) (minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

demo: $(READY)  ## simulate a noisy image, restore it, score it, draw demo/restoration.png (STACK=1: a stack)
	@$(BIN)/python benchmarks/demo.py demo$(if $(STACK),-stack --stack)

test: $(READY) lint  ## lint, then the test suite with doctests and coverage
	@$(BIN)/python -m pytest -m "not slow and not gui" --cov --cov-report=term

lint: $(READY)  ## ruff and pyright
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "some files are not formatted: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/pyright

docs: $(READY)  ## the documentation, in docs/_build/html
	@$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(READY)  ## score the benchmark cases of BENCH=FOLDER (hours; resumes where it stopped)
	@test -f $(BENCH)/make_cases.py || { echo "no benchmark in '$(BENCH)': make bench BENCH=FOLDER (see benchmarks/README.md)" >&2; exit 2; }
	@test -d benchmarks/cases || $(BIN)/python $(BENCH)/make_cases.py benchmarks/cases --seed 1
	@$(BIN)/python benchmarks/run_cases.py benchmarks/cases $(BENCH)/real --modality 2d \
		--scorer $(BENCH)/score.py --baselines $(BENCH)/baselines.json -o benchmarks/out

slow: $(READY)  ## the tests that take minutes
	@$(BIN)/python -m pytest -m slow

clean:  ## remove everything that make has built, the environment too
	@rm -rf $(VENV) demo demo-stack docs/_build docs/_reports .pytest_cache .ruff_cache .hypothesis .coverage build dist
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
