# Two commands matter: `make demo` and `make test`. Every target sets up what it needs in .venv.

VENV := .venv
BIN := $(VENV)/bin
# The first interpreter that really runs and is new enough for the server.
FIND_PYTHON := for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit 0; }; done; \
	echo "void-bridge needs Python 3.11 or later; install it, or call make PYTHON=/path/to/python3.11" >&2; exit 1
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Without a notice about the next version of mkdocs.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.PHONY: setup demo test test-fast check format docs bench torture clean

## make demo: render a test shot, remove its object through a server, and measure the result (installs base and server, no torch)
demo: $(VENV)/base.stamp
	$(BIN)/void-bridge demo --out demo_out

## make test: everything; what needs data that is not there skips, and says so
test: $(VENV)/full.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

## make test-fast: a minute of tests while working: no torch, no integration, nothing slow
test-fast: $(VENV)/full.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" tests/unit tests/hosts tests/golden

## make check: style, docstrings, names, types, import rules, the oldest Python that hosts run, dead links
check: $(VENV)/full.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_docstrings.py
	$(BIN)/python tools/check_names.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --no-tips --eval-annotations --target=3.9- --violations void_bridge host_plugins
	$(MKDOCS) --quiet

format: $(VENV)/full.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## make docs: the pages that are written from the code, then the site, in site/
docs: $(VENV)/full.stamp
	$(BIN)/python -m tools.write_pages
	$(MKDOCS)

## make bench: the numbers of docs/reference/benchmarks.md, as ratios in one run
bench: $(VENV)/full.stamp
	$(BIN)/void-bridge bench --out docs/reference/benchmarks.md

## make torture: kills at random moments, load and fuzzing for half an hour; writes what was counted into the page
torture: $(VENV)/full.stamp
	$(BIN)/python -m tests.torture --seconds 1800 --page docs/reference/reliability.md

## make setup: .venv with everything, torch included
setup: $(VENV)/full.stamp

$(BIN)/python:
	@python=$(or $(PYTHON),$$($(FIND_PYTHON))) && echo "making $(VENV) with $$python" && $$python -m venv $(VENV)

$(VENV)/base.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing void-bridge with its server into $(VENV)"
	$(PIP_INSTALL) --editable '.[server]'
	@touch $@

$(VENV)/full.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing void-bridge with everything its tests need into $(VENV) (about 2 GB)"
	$(PIP_INSTALL) --editable '.[server,void,farm,dev]'
	@touch $@ $(VENV)/base.stamp

clean:
	rm -rf $(VENV) build dist *.egg-info demo_out site
