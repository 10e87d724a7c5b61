# Everything runs in .venv, with the versions pinned in constraints.txt. `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
READY := $(VENV)/.ready
BENCH := build/bench-venv
WORKERS ?= 2
# In front of what installs system packages; root needs no sudo.
ROOT := $(if $(filter 0,$(shell id -u)),env,sudo)

.DEFAULT_GOAL := help
.PHONY: help demo test test-large test-ui chaos lowest audit check format docs wheel bench bench-short constraints clean

help:  ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(READY)  ## Show it at work: a real Airflow against the simulator (KEEP=1 leaves it running)
	@$(BIN)/python -m demo

test: $(READY)  ## Run all tests, some on real Airflow processes, but those of the next two targets
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not ui and not large"

test-large: $(READY)  ## Run the tests that take long: very many rows, several triggerers and api-servers, the local Airflow itself
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m large

test-ui: $(READY) node_modules/.ready  ## Check the UI's JavaScript, then test the UI in a real browser (PICTURES=1 renews docs/images)
	@command -v chromium >/dev/null || $(ROOT) sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium'
	@fc-list :lang=zh 2>/dev/null | grep -q . || $(ROOT) sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends fontconfig fonts-noto-cjk'
	npm run --silent check
	SEEANY_UI_PICTURES=$(PICTURES) $(BIN)/python -m pytest tests/ui

lowest:  ## Run the fast tests with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable '.[dev]'
	$(LOWEST)/bin/python -m pytest -m "not system and not ui and not large" -n $(WORKERS) --dist loadgroup -p no:cacheprovider -q

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
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

wheel: $(READY)  ## Build the wheel, install it into a clean environment and check that Airflow lists the provider
	$(BIN)/python tests/wheel.py

bench: $(BENCH)/.ready  ## Measure what a wait costs next to other providers, into benchmarks/RESULTS.md; some 40 minutes
	$(BENCH)/bin/python -m benchmarks $(PARTS)

bench-short: $(READY)  ## The same without the others, in a minute; fails on large regressions only
	@home=$$(mktemp -d) && AIRFLOW_HOME=$$home $(BIN)/python -m benchmarks.short; status=$$?; rm -rf $$home; exit $$status

constraints:  ## Resolve the pinned versions anew, the lowest ones too (needs uv)
	uv pip compile pyproject.toml --extra dev --extra docs --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --no-header --upgrade --quiet --output-file constraints.txt
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --resolution lowest-direct \
		--no-emit-index-url --no-annotate --no-header --upgrade --quiet --output-file constraints-lowest.txt

clean:  ## Remove what the commands above made
	rm -rf $(VENV) $(LOWEST) .demo build dist node_modules

node_modules/.ready: package.json
	npm install --silent --no-audit --no-fund
	@touch $@

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3.12 …"; exit 1; }
	@echo "Installing Airflow and the provider into $(VENV), the first time only: some minutes …"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# A provider to compare with that does not install is left out; the results say so. The others run an S3 server.
$(BENCH)/.ready: pyproject.toml benchmarks/constraints.txt benchmarks/peers.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt --editable . 'moto[s3]' flask flask-cors s3fs
	@while read -r peer; do \
		$(BENCH)/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt "$$peer" \
			|| echo "$$peer does not install: it is left out"; \
	done < benchmarks/peers.txt
	@touch $@
