# Two commands on a fresh machine: `make demo` and `make test`. Everything goes into .venv and var/.
PYTHON ?= python3
PEOPLE ?= 20000
SEED ?= 1
DAYS ?= 0
DIRT ?= default
KILLS ?= 200
BIN := .venv/bin

.PHONY: help demo up test coverage check soak bench screenshots dev lint format docs lock clean

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/.run ## Set everything up, run the main job on PEOPLE=20000 with SEED=1 and DAYS=0, print what happened
	@$(BIN)/python -m demo --people $(PEOPLE) --seed $(SEED) --days $(DAYS) --dirt $(DIRT)

# Only what was asked for is passed on: else the world that is there goes on as it is.
asked = $(if $(filter command environment,$(firstword $(origin $(1)))),--$(2) $($(1)))

up: .venv/.run ## The same world left running: agencies, Airflow, feeds; Ctrl-C stops all of it, `make up` goes on, FRESH=1 begins anew
	@$(BIN)/python -m demo up $(call asked,PEOPLE,people) $(call asked,SEED,seed) $(call asked,DIRT,dirt) $(if $(FRESH),--fresh)

test: .venv/.dev ## All tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=30

coverage: .venv/.dev ## All tests, and which lines they reach: a quarter slower
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered --cov-fail-under=85

check: .venv/.dev ## The quick loop: lint, types, layers and the tests that take seconds
	@$(MAKE) --no-print-directory lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" -x

soak: .venv/.dev ## Two hundred random kills, PostgreSQL among the killed: KILLS=200, SEED=1; a hundred of the scheduler; restores; 20,000 histories; both engines on 20,000 people
	@MOTLAN_RANDOM=1 MOTLAN_HISTORIES=20000 MOTLAN_KILLS=$(KILLS) MOTLAN_DRILLS=20 MOTLAN_SEED=$(SEED) $(BIN)/python -m pytest tests/soak
	@MOTLAN_SCHEDULER_KILLS=100 MOTLAN_SEED=$(SEED) $(BIN)/python -m pytest -s tests/scheduler/test_kills.py
	@MOTLAN_DAYS_SEEDS=40 $(BIN)/python -m pytest -o timeout=0 tests/days
	@MOTLAN_HISTORIES=20000 MOTLAN_SEED=$(SEED) $(BIN)/python -m pytest -o timeout=0 tests/motlan/linking/test_decisions.py tests/motlan/merge/test_evidence.py tests/motlan/merge/test_fast_paths.py
	@MOTLAN_DEMO_DAYS=3 $(BIN)/python -m pytest -o timeout=0 tests/demo/test_main_job.py
	@MOTLAN_PARITY_PEOPLE=20000 MOTLAN_PARITY_ROWS=5000 $(BIN)/python -m pytest -o timeout=0 tests/spark/test_spark_parity.py tests/expressions/test_parity.py

bench: .venv/.dev ## The benchmarks, on PEOPLE people
	@$(BIN)/motlan bench quality --people $(PEOPLE) --seed $(SEED) --dirt $(DIRT)

screenshots: .venv/.dev ## Pictures of Airflow and of the operator's pages into docs/screenshots/; needs Debian's chromium
	@$(BIN)/python -m demo.screenshots

lint: .venv/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python .ci/licences.py --check && $(BIN)/python .ci/reference.py --check

format: .venv/.dev ## Format and mend what can be mended
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: .venv/.dev ## Make docs/reference/ again from the code
	@$(BIN)/python .ci/reference.py

dev: .venv/.dev ## Everything for work on it in .venv

# uv is quick; pip is the way where an index is set up for pip alone. Both check every hash of the lock.
define install
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing from $(1) into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1) 2>.venv/uv.log \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endef

.venv/.run: requirements.lock requirements-uv.lock pyproject.toml
	$(call install,requirements.lock)
	@touch $@

.venv/.dev: requirements-dev.lock requirements-uv.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch $@ .venv/.run

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock: ## Pin what pyproject.toml names: versions and hashes, no addresses
	@$(COMPILE) pyproject.toml -o requirements.lock
	@$(COMPILE) pyproject.toml --extra celery -c requirements.lock -o requirements-celery.lock
	@$(COMPILE) pyproject.toml --all-extras -c requirements-celery.lock -o requirements-dev.lock
	@echo uv | $(COMPILE) - -o requirements-uv.lock
	@$(BIN)/python .ci/licences.py

clean: ## Remove var/; the installed .venv stays
	rm -rf var
