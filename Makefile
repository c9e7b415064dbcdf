# `make help` lists what there is to do. Each target sets up what it needs, on a fresh Debian too.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The Python that .venv is made with; empty means the first on the PATH that fits.
PYTHON ?=
# More for pytest, as in `make test PYTEST_ARGS="-k render"`. Tests run one after the other unless
# told otherwise, as in `-n 3`, for which a Docker engine has to be there already:
# integration tests time real servers, which share the machine.
PYTEST_ARGS ?=
# More for bench-real, as in `make bench-real REAL_ARGS="--quick --seconds 30"`.
REAL_ARGS ?=
# More for `uv pip compile`, as in `make lock LOCK_ARGS=--upgrade`.
LOCK_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock

# Debian keeps nginx where only root looks.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PYTHON

##@ Run

.PHONY: demo
demo: $(STAMP) servers monitoring ## show the controller at work on this machine
	@$(BIN)/python -m lab.demo

.PHONY: bench
bench: $(STAMP) ## compare routers on all scenarios, in virtual time
	@$(BIN)/python -m bench.suite

.PHONY: bench-quick
bench-quick: $(STAMP) ## compare them on a few scenarios, within a minute
	@$(BIN)/python -m bench.suite --quick

.PHONY: bench-control
bench-control: $(STAMP) servers ## measure what the control loop costs
	@scripts/system-packages.sh wrk
	@$(BIN)/python -m bench.control

.PHONY: bench-stack
bench-stack: $(STAMP) images ## measure how long docker compose takes to the first learned weights
	@DOCKER_CONFIG=$$(scripts/docker-engine.sh config) $(BIN)/python -m bench.stack

.PHONY: bench-real
bench-real: $(STAMP) servers ## compare routers in front of real vLLM servers, for over two hours
	@$(BIN)/python -m bench.real $(REAL_ARGS)

.PHONY: bench-research
bench-research: $(STAMP) ## try ideas for the policy in virtual time, and write what became of them
	@$(BIN)/python -m bench.research

##@ Test

.PHONY: test
test: $(STAMP) servers monitoring logrotate ## run all tests
	@$(BIN)/pytest $(PYTEST_ARGS)

.PHONY: unit
unit: $(STAMP) ## run the tests that need no server
	@$(BIN)/pytest -m "not integration" $(PYTEST_ARGS)

.PHONY: integration
integration: $(STAMP) servers monitoring logrotate ## run the tests against a real Nginx and Prometheus
	@$(BIN)/pytest -m integration $(PYTEST_ARGS)

.PHONY: stack
stack: $(STAMP) servers monitoring logrotate ## run the tests in containers, and the same scenarios without
	@$(BIN)/pytest tests/stack $(PYTEST_ARGS)

##@ Check

.PHONY: check
check: lint types imports docs ## check all that needs no run of the program

.PHONY: lint
lint: $(STAMP) ## check the Python with ruff, and the syntax of the shell scripts
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@for script in scripts/*.sh deploy/*/*.sh; do sh -n "$$script" || exit 1; done
	@bash -n .ci/run

.PHONY: types
types: $(STAMP) ## check the types with mypy
	@$(BIN)/mypy

.PHONY: imports
imports: $(STAMP) ## check who may import whom
	@$(BIN)/lint-imports

.PHONY: docs
docs: $(STAMP) ## check links, commands and form of the Markdown pages
	@$(BIN)/python -m scripts.check_docs
	@$(BIN)/python -m scripts.configuration --check

.PHONY: rules
rules: $(STAMP) servers monitoring logrotate ## check and test recordings, alerts and their way to people
	@promtool check rules --lint=all --lint-fatal rules/*.yml
	@ls rules/tests/*.yml | xargs -P "$$(nproc)" -n 1 promtool test rules
	@for config in deploy/alertmanager/*.yml; do \
	    [ ! -f "$$config" ] || amtool check-config "$$config" || exit 1; done
	@$(BIN)/pytest $(wildcard tests/unit/rules tests/unit/alertmanager) $(PYTEST_ARGS)

.PHONY: dashboards
dashboards: $(STAMP) servers monitoring logrotate ## write the dashboards anew, and test them on two hours of incidents
	@$(BIN)/python -m grafana.generate
	@$(BIN)/pytest tests/unit/grafana tests/unit/lab/incidents tests/integration/test_dashboards.py \
	    tests/integration/test_incident_alerts.py tests/integration/test_incident_world.py \
	    $(PYTEST_ARGS)

##@ Keep

.PHONY: images
images: ## build the four images; LB_STAND_IN=yes where no registry can be reached
	@scripts/docker-engine.sh
	@if [ "$(LB_STAND_IN)" = yes ]; then scripts/stand-in-images.sh \
	    && scripts/system-packages.sh python && deploy/images/fetch.sh; fi
	@deploy/images/build.sh

.PHONY: format
format: $(STAMP) ## format the Python, and mend what ruff can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: lock
lock: ## write both lock files anew from pyproject.toml
	@scripts/system-packages.sh python
	@scripts/lock.sh $(LOCK_ARGS)

.PHONY: clean
clean: ## remove what the other targets made
	@rm -rf $(VENV) build dist *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' \
	    '/^##@ / { print "\n" substr($$0, 5) } \
	     /^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: servers
servers:
	@scripts/system-packages.sh nginx prometheus

.PHONY: monitoring
monitoring:
	@scripts/system-packages.sh prometheus-alertmanager prometheus-nginx-exporter mtail

.PHONY: logrotate
logrotate:
	@scripts/system-packages.sh logrotate

# Made anew when the lock changes. Packages that left the lock stay until `make clean`.
$(STAMP): requirements-dev.lock pyproject.toml
	@scripts/system-packages.sh python
	@scripts/make-venv.sh $(VENV)
	@touch $@
