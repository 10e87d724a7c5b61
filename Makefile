# Everything runs in .venv, with the versions pinned in constraints.txt. `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What `make demo` needs, and what everything else needs: both in one environment.
DEMO := $(VENV)/.demo-ready
READY := $(VENV)/.ready
BENCH := build/bench-venv
WORKERS ?= 2
THIS_PYTHON = $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYTHONS ?= 3.11 3.12 3.13
AIRFLOWS ?= 3.1.8 3.2.2 3.3.2
# In front of what installs system packages; root needs no sudo.
ROOT := $(if $(filter 0,$(shell id -u)),env,sudo)

.DEFAULT_GOAL := help
.PHONY: help demo test test-large test-ui chaos lowest matrix minors browser audit check format docs release bench bench-scale bench-short constraints clean

help:  ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(DEMO)  ## Show it at work: a real Airflow against the simulator (KEEP=1 leaves it running)
	@$(BIN)/python -m demo

test: $(READY)  ## Run all tests, some on real Airflow processes, but those of the next two targets
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder -m "not ui and not large"

# The driver for MariaDB is built from its sources, so it is installed only where that can work; else its tests are skipped.
test-large: $(READY)  ## Run the tests that take more: PostgreSQL, MariaDB, very many rows, several processes of a kind, the local Airflow itself
	@! pkg-config --exists libmariadb || .ci/install $(VENV) constraints.txt --editable '.[dev,dev-mariadb]'
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m large

test-ui: $(READY) browser  ## Check the UI's JavaScript, then test the UI in a real browser (PICTURES=1 renews docs/images)
	npm run --silent check
	SEEANY_UI_PICTURES=$(PICTURES) $(BIN)/python -m pytest tests/ui

browser: node_modules/.ready
	@command -v chromium >/dev/null || $(ROOT) sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium'
	@fc-list :lang=zh 2>/dev/null | grep -q . || $(ROOT) sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends fontconfig fonts-noto-cjk'

lowest:  ## Run the fast tests with the lowest versions that pyproject.toml allows
	@WORKERS=$(WORKERS) .ci/matrix $(THIS_PYTHON) 3.1.8

matrix:  ## Run the fast tests with each Python and Airflow, or only PYTHONS="3.12" AIRFLOWS="3.2.2 3.3.2"
	@WORKERS=$(WORKERS) .ci/matrix "$(PYTHONS)" "$(AIRFLOWS)"

minors: browser  ## Run demo, system tests and UI tests with each minor version of Airflow, or only AIRFLOWS="3.2.2"
	@TESTS=whole WORKERS=$(WORKERS) .ci/matrix $(THIS_PYTHON) "$(AIRFLOWS)"

audit: $(READY)  ## Check for withdrawn and vulnerable versions among the dependencies
	$(BIN)/python tests/audit.py

chaos: $(READY)  ## Wait while API, triggerers and scheduler fail, on SQLite and PostgreSQL; some 8 minutes
	@$(BIN)/python -m chaos

check: $(READY)  ## Lint and check types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## Format, and fix what the linter can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs-ready  ## Build the documentation site into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

$(VENV)/.docs-ready: $(READY)
	@.ci/install $(VENV) constraints.txt --editable '.[docs]'
	@touch $@

release: $(READY)  ## Build what a release uploads into dist/, check it and install it into a clean environment; no upload
	$(BIN)/python -m tests.release

bench: $(BENCH)/.ready  ## Measure what a wait costs next to other providers, into benchmarks/RESULTS.md; some 40 minutes
	$(BENCH)/bin/python -m benchmarks $(PARTS)

bench-scale: $(BENCH)/.ready  ## Measure hundreds of waits at once; an hour, or as ARGS="sensor,batch=100,1000x30" says
	$(BENCH)/bin/python -m benchmarks scale -- $(ARGS)

bench-short: $(READY)  ## The same without the others, in a minute; fails on large regressions only
	@home=$$(mktemp -d) && AIRFLOW_HOME=$$home $(BIN)/python -m benchmarks.short; status=$$?; rm -rf $$home; exit $$status

COMPILE := uv pip compile pyproject.toml --extra dev --extra dev-mariadb --extra docs --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header --upgrade --quiet

constraints:  ## Resolve the pinned versions anew, the lowest ones and those of Airflow 3.2, too (needs uv)
	$(COMPILE) --output-file constraints.txt
	$(COMPILE) --resolution lowest-direct --output-file constraints-lowest.txt
	echo 'apache-airflow==3.2.2' | $(COMPILE) --constraint - --output-file constraints-airflow-3.2.txt

clean:  ## Remove what the commands above made
	rm -rf $(VENV) .demo build dist node_modules

node_modules/.ready: package.json
	npm install --silent --no-audit --no-fund
	@touch $@

$(DEMO): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3.12 …"; exit 1; }
	@echo "Installing Airflow and the provider into $(VENV), the first time only: about a minute …"
	@PYTHON=$(PYTHON) .ci/install $(VENV) constraints.txt --editable '.[demo]'
	@touch $@

$(READY): $(DEMO)
	@echo "Installing what the tests need …"
	@.ci/install $(VENV) constraints.txt --editable '.[dev]'
	@touch $@

# A provider to compare with that does not install is left out; the results say so. The rest is for an S3 server and PostgreSQL.
$(BENCH)/.ready: pyproject.toml benchmarks/constraints.txt benchmarks/peers.txt
	@PYTHON=$(PYTHON) .ci/install $(BENCH) benchmarks/constraints.txt --editable . 'moto[s3]' flask flask-cors s3fs \
		asyncpg psycopg2-binary
	@while read -r peer; do \
		.ci/install $(BENCH) benchmarks/constraints.txt "$$peer" \
			|| echo "$$peer does not install: it is left out"; \
	done < benchmarks/peers.txt
	@touch $@
