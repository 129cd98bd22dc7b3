# make demo · test · check · soak · bench · docs      (two commands are enough: make demo, make test)
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: demo test check soak sim bench docs fast slow quick lint types floors setup

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "quorate needs python3 >= 3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies (once, about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/quorate trial

test: $(STAMP)
	@$(BIN)/python -m pytest -n auto -q

quick: $(STAMP)
	@$(BIN)/python -m pytest -n auto -q -m "not slow"

lint: $(STAMP)
	@$(BIN)/ruff format --check src tests tools examples
	@$(BIN)/ruff check src tests tools examples

types: $(STAMP)
	@$(BIN)/mypy
	@$(BIN)/pyright

floors: $(STAMP)
	@$(BIN)/lint-imports

check: lint types floors test

# Local clusters beside each other, in alternation; then: .venv/bin/quorate bench check, .venv/bin/quorate bench parts
bench: $(STAMP)
	@$(BIN)/quorate bench

docs: $(STAMP)
	@$(BIN)/python tools/build_docs.py

# The judges' hottest modules compiled from the same source (needs a C compiler), and back.
fast: $(STAMP)
	@$(BIN)/python tools/compile_hot.py

slow: $(STAMP)
	@$(BIN)/python tools/compile_hot.py --remove

# One seed again, with all that happened: make sim SEED=7 [LEVEL=core]
SEED ?= 1
LEVEL ?= loop
sim: $(STAMP)
	@$(BIN)/quorate sim --seed $(SEED) --level $(LEVEL) --trace

# New seeds for so many hours, then the bugs whose hunts take long: make soak HOURS=8
HOURS ?= 1
soak: $(STAMP)
	@$(BIN)/quorate sim --seeds 0 --hours $(HOURS) --level both --first $$(date +%s)
	@$(BIN)/python -m pytest -q -m soak tests/broken tests/checkers
