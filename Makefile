# Everything from a bare clone, with Python 3.11 or newer, pip and make:  make demo, make test.
# `make help` lists the targets. Another interpreter: make test PYTHON=python3.12
#
# One environment, built in two steps: what the program needs to run, and, on top of it, the tools of development. `make demo` takes the first alone.

PYTHON ?= python3
VENV   ?= .venv
BENCH  ?= ../shared/bench

BIN     := $(VENV)/bin
RUNTIME := $(VENV)/.ready-run
READY   := $(VENV)/.ready
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: env help demo test lint docs bench slow golden clean
.DELETE_ON_ERROR:

env: $(READY)  ## build .venv from constraints.txt (the other targets do this by themselves)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# torch is installed first: its version and build are chosen by constraints.txt, not by a dependency of another package.
$(RUNTIME): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python %d.%d, 3.11 or newer needed; make PYTHON=python3.12" % v[:2])'
	@echo "building $(VENV) (minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(READY): $(RUNTIME)
	@echo "adding the tools of development to $(VENV)"
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@

demo: $(RUNTIME)  ## simulate a noisy image, restore it, score it, draw demo/restoration.png (STACK=1: a stack)
	@$(BIN)/zsdeconv demo -o demo$(if $(STACK),-stack --stack) --overwrite

test: $(READY) lint  ## lint, then the test suite with doctests and coverage
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gui" --cov --cov-report=term

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

golden: $(READY)  ## store the golden runs anew, only where a change of the numbers is intended
	@OMP_NUM_THREADS=1 $(BIN)/python tests/golden/runs.py

clean:  ## remove everything that make has built, the environment too
	@rm -rf $(VENV) demo demo-stack docs/_build docs/_reports .pytest_cache .ruff_cache .hypothesis .coverage build dist
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
