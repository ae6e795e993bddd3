# Every target makes the virtual environment it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: search test lint sanitize

search: $(VENV)/installed
	$(BIN)/opp-darts search --config=digits --workdir=runs/digits/search
	$(BIN)/opp-darts train --config=digits:train --workdir=runs/digits/train
	$(BIN)/opp-darts report --workdir=runs/digits/search,runs/digits/train

# Each worker, and each process that a test starts, imports what others compiled.
test: lint
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist=worksteal

lint: $(VENV)/installed_test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The C++ kernels under AddressSanitizer, UBSan and ThreadSanitizer.
sanitize: $(VENV)/installed
	$(BIN)/python tests/operations/cpu/sanitize/run.py

$(VENV)/installed: requirements.txt setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed_test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@
