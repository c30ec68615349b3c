# Everything that a newcomer needs. `make help` explains each target.
# Nothing is written outside this folder: the environment, caches and results all live in it.

PYTHON ?= python3
PROFILE ?= quick
SEED ?= 1
# Test processes side by side. A file stays in one of them; one that dies fails its test, another takes the rest.
# Three for two cores: most wait for processes, brokers and clocks most of the time.
TESTERS ?= 3
RUN ?= results/latest
# Times that the soak goes through the property tests.
ROUNDS ?= 5
ARGS ?=
# Files begin in the order of `testpaths`: those that take long first.
SIDE_BY_SIDE = --numprocesses $(TESTERS) --max-worker-restart 3 --dist loadfile --no-loadscope-reorder --durations 15 --durations-min 5
QUICK := -m 'not slow'
ROOMS := scenarios inprocess celery_impl bench reports

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The accessibility checker that the report's test runs in Chromium.
AXE_VERSION := 4.14.1
AXE := .cache/axe/node_modules/axe-core/axe.min.js

export PIP_CACHE_DIR := $(CURDIR)/.cache/pip
export XDG_CACHE_HOME := $(CURDIR)/.cache
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export TMPDIR := $(CURDIR)/.cache/tmp
export npm_config_cache := $(CURDIR)/.cache/npm
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# In these the tracer swallows the error that Celery raises in another thread, and they wait for ever.
UNTRACED := $(addprefix --deselect tests/inprocess/celery/attach/,test_control.py::test_a_running_task_is_terminated_in_its_thread test_signals.py::test_a_revocation_tells_whether_it_was_terminated_or_has_expired)

# Run the tests with the options, and print for each room the share of its lines and branches that ran.
define covered
@mkdir -p $(TMPDIR)
$(BIN)/coverage erase
$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(UNTRACED) $(1) $(ARGS); ended=$$?; \
$(BIN)/coverage combine --quiet && for room in $(ROOMS); do \
	printf '%-12s %s %%\n' $$room $$($(BIN)/coverage report --include="$$room/*" --format=total --precision=1); \
done; exit $$ended
endef

.DEFAULT_GOAL := help
.PHONY: help install axe bench bench-full resume smoke bench-micro verify-instrument soak soak-properties soak-inprocess soak-journal soak-journal-http soak-sidekiq celery-suite celery-plugins report recompute compare test test-all coverage coverage-all test-pythons test-celeries lint types format clean

help: ## Explain every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  Options: PROFILE=smoke|quick|full  SEED=N  RUN=results/…  A=… B=…  ARGS="--side celery --fault 12"\n'

install: $(STAMP) ## Make the environment in .venv (every other target does it too)

$(STAMP): pyproject.toml constraints.txt
	@mkdir -p $(TMPDIR)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; try make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

axe: $(AXE) ## Fetch axe-core, for the test of the report's accessibility

$(AXE):
	@command -v npm >/dev/null || { echo "make: npm is not on PATH; apt-get install npm" >&2; exit 2; }
	@mkdir -p .cache/axe
	npm install --prefix .cache/axe --no-save --no-audit --no-fund --silent axe-core@$(AXE_VERSION)

bench: $(STAMP) ## Measure and write the report (PROFILE=quick: under 5 minutes)
	@mkdir -p $(TMPDIR)
	$(BIN)/queue-or-task run --profile $(PROFILE) --seed $(SEED) $(ARGS)

bench-full: ## Measure what may be quoted (it says first how long: some 2 h 20 min; `make resume` continues it)
	@$(MAKE) bench PROFILE=full

resume: $(STAMP) ## Continue a run that was interrupted (RUN=results/latest)
	@mkdir -p $(TMPDIR)
	$(BIN)/queue-or-task run --resume $(RUN)

smoke: ## Measure for under a minute: does every stage work?
	@$(MAKE) bench PROFILE=smoke

bench-micro: $(STAMP) ## Time small steps of the runtime, as ratios within one run
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m pytest bench/micro -o addopts= -p no:asyncio --import-mode=importlib --benchmark-only $(ARGS)

verify-instrument: $(STAMP) ## Put known errors through the harness, and see that it reports them (six minutes)
	@mkdir -p $(TMPDIR)
	$(BIN)/queue-or-task verify $(ARGS)

soak: soak-properties soak-inprocess soak-journal soak-journal-http soak-sidekiq ## Run for an hour with crashes: nothing grows, nothing is lost

soak-properties: $(STAMP) ## Every property test with new random examples, ROUNDS times; a failure is kept in .hypothesis
	@mkdir -p $(TMPDIR)
	for round in $$(seq $(ROUNDS)); do \
	  $(BIN)/python -m pytest --numprocesses $(TESTERS) --dist loadfile -m hypothesis --hypothesis-profile random --timeout 1800 $(ARGS) || exit; \
	done

soak-inprocess: $(STAMP) ## Run the in-process runtime with crashes (a quarter of an hour)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.soak.inprocess_soak $(ARGS)

soak-journal: $(STAMP) ## Kill one of two processes that share a journal 200 times, at random and at planted points
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.soak.journal_soak $(ARGS)

soak-journal-http: $(STAMP) ## Kill a FastAPI app on a journal under load fifty times, the server or a worker
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.soak.http_soak $(ARGS)

soak-sidekiq: $(STAMP) ## Kill a child, the worker or the broker 150 times under load
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.soak.sidekiq_soak $(ARGS)

celery-suite: $(STAMP) ## Run Celery's integration suite with Redis and a worker, in-process and on Sidekiq(app) (ARGS="--pool aio"; half an hour)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.celery_suite $(ARGS)

celery-plugins: $(STAMP) ## Run the own suites of six plug-ins of Celery on stock, in-process and Sidekiq(app) (ten minutes)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m bench.celery_suite.plugins $(ARGS)

recompute: $(STAMP) ## Compute the figures of RUN again from its event logs, by other code, and print what differs
	$(BIN)/python -m bench.recompute $(RUN)

report: $(STAMP) ## Render a run's report again, and the list of all runs (RUN=results/latest)
	$(BIN)/queue-or-task report $(RUN)

compare: $(STAMP) ## Put two runs beside each other, as text and as a page (A=results/… B=results/…)
	$(BIN)/queue-or-task compare $(A) $(B)

test: $(STAMP) ## Run all tests but the slow ones (under 8 minutes on two cores); a missing service skips its own
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(QUICK) $(ARGS)

test-all: $(STAMP) ## Run every test, as CI does: the slow ones kill, soak and measure whole runs of the bench
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

coverage: $(STAMP) ## Print the branch coverage of each room by what `make test` runs
	$(call covered,$(QUICK))

coverage-all: $(STAMP) ## Print the branch coverage of each room by what `make test-all` runs
	$(call covered,)

test-pythons: $(STAMP) ## Run the runtime's tests on each other Python from 3.11 on (pyenv's, and on PATH)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m tests.pythons $(ARGS)

test-celeries: $(STAMP) ## Run a short suite and an app of one's own on each Celery, 5.4 to 5.7 (ARGS="5.4 5.7": some)
	@mkdir -p $(TMPDIR)
	$(BIN)/python -m tests.celeries $(ARGS)

lint: $(STAMP) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## Check types, strictly
	$(BIN)/mypy

format: $(STAMP) ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the environment and every cache; results stay
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
