# Works in a fresh clone with make and Python 3.11 or later; everything else is fetched into .venv.
#
#   make run     start the chat demo on http://127.0.0.1:8000
#   make test    run the tests that every change needs: about 4 minutes on two cores
#   make help    the rest

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
# For make test-versions: some of the installed versions, or "newest".
VERSIONS ?=
# Passed to pytest: make test ARGS="tests/unit -k room"
ARGS ?=

PIP := $(PY) -m pip install --quiet --disable-pip-version-check

# The inputs of an installation, besides Python files, which an editable installation uses in place.
PACKAGED := pyproject.toml hatch_build.py src/odac/_speedups.c

# Each stamp file marks an installed set of packages, so that a second run installs nothing.
$(VENV)/.created:
	@python=$$(scripts/find_python) && echo "Creating $(VENV) with $$python" && "$$python" -m venv $(VENV) && touch $@

$(VENV)/.run: $(VENV)/.created $(PACKAGED)
	@echo "Installing Odac into $(VENV)"
	@$(PIP) --editable . && touch $@

$(VENV)/.test: $(VENV)/.created $(PACKAGED)
	@echo "Installing Odac and what its tests use into $(VENV)"
	@$(PIP) --editable '.[all,test]' && touch $@ $(VENV)/.run

$(VENV)/.check: $(VENV)/.test
	@echo "Installing the linters and type checkers into $(VENV)"
	@$(PIP) --editable '.[all,test,check]' && touch $@

# Signs the demo's sessions; kept, so that a restart does not sign everybody out.
$(VENV)/.secret: $(VENV)/.created
	@umask 077 && $(PY) -c 'import secrets; print(secrets.token_urlsafe(32))' > $@

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(VENV)/.run $(VENV)/.secret ## start the chat demo (HOST=… PORT=… WORKERS=…)
	@export ODAC_SECRET="$${ODAC_SECRET:-$$(cat $(VENV)/.secret)}" CHAT_URL=http://$(HOST):$(PORT); \
	if [ $(WORKERS) -gt 1 ]; then \
		$(PY) -c 'import zmq' 2>/dev/null || $(PIP) --editable '.[local]'; \
		export CHAT_DEMO="$${CHAT_DEMO:-1}"; \
	fi; \
	exec $(VENV)/bin/odac run examples.chat.app:app --host $(HOST) --port $(PORT) --workers $(WORKERS)

# pip's and npm's packages at the same time. If npm fails here, scripts/test tries again, and fails if npm does.
FETCH = $(MAKE) --silent --jobs=2 $(VENV)/.test
.PHONY: client-packages all-packages
client-packages:
	@scripts/test --packages client || true
all-packages:
	@scripts/test --packages || true

.PHONY: test test-all
test: ## run the tests that every change needs, or with ARGS="…" pytest with these arguments
	@$(FETCH) $(if $(ARGS),,client-packages)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/test $(ARGS)
test-all: ## run every test that this machine can, and say what was left out
	@$(FETCH) all-packages
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/test --all

.PHONY: test-versions
test-versions: ## run them with every other Python from 3.11 on that is installed (VERSIONS="3.12 3.13", ARGS="tests/unit", …)
	@VENV="$(CURDIR)/$(VENV)" VERSIONS="$(VERSIONS)" scripts/test_versions $(ARGS)

.PHONY: lint ruff formatted
lint: ruff formatted ## ruff: mistakes, and formatting
ruff: $(VENV)/.check
	$(VENV)/bin/ruff check .
formatted: $(VENV)/.check
	$(VENV)/bin/ruff format --check .

.PHONY: format
format: $(VENV)/.check ## let ruff fix and format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

.PHONY: types mypy pyright
types: mypy pyright ## mypy --strict, and pyright
mypy: $(VENV)/.check
	$(VENV)/bin/mypy
pyright: $(VENV)/.check
	$(VENV)/bin/pyright --pythonpath $(PY)

.PHONY: imports
imports: $(VENV)/.test ## imports between the packages run one way
	$(PY) -m pytest -q tests/unit/test_imports.py

.PHONY: check
check: lint types imports ## everything that is not a test of behaviour

$(VENV)/.docs: $(VENV)/.test
	@echo "Installing what builds the documentation into $(VENV)"
	@$(PIP) --editable '.[all,docs]' && touch $@

# All of the above at once, and what the fuzzer and foreign suites take: CI installs nothing while its tests run.
$(VENV)/.everything: $(VENV)/.created $(PACKAGED)
	@echo "Installing Odac, and what its tests and checks use, into $(VENV)"
	@$(PIP) --editable '.[all,test,check,docs]' atheris httpx2 && touch $(VENV)/.run $(VENV)/.test && touch $(VENV)/.check $(VENV)/.docs $@

.PHONY: docs
docs: $(VENV)/.docs ## the documentation as a site, into build/docs; a warning is an error
	$(PY) -m sphinx --quiet --fail-on-warning --keep-going -b html docs build/docs

.PHONY: pictures
pictures: $(VENV)/.test ## the drawings of the documentation, into docs/pictures
	$(PY) -m scripts.pictures

.PHONY: animation
animation: $(VENV)/.test ## the README's animation: the chat in Chromium, and its server killed (needs Chromium)
	$(PY) -m scripts.pictures.animation

.PHONY: build
build: $(VENV)/.check ## wheel and sdist, into dist/
	$(PY) -m build --outdir dist .

.PHONY: client
client: ## build the browser client into src/odac/static (needs Node 20)
	@command -v npm >/dev/null || { echo "The browser client is built with Node 20 and npm: https://nodejs.org"; exit 1; }
	cd client && npm install --no-audit --no-fund --no-package-lock --loglevel=error && npm run build

.PHONY: conformance
conformance: $(VENV)/.test ## RFC 6455 and 7692 by the Autobahn suite (ARGS="--short", …)
	$(PY) -m tests.conformance.run_autobahn $(ARGS)

.PHONY: presence-faults
presence-faults: $(VENV)/.test ## the people in a room after each fault, over every broker and with the real times (11 minutes)
	ODAC_TEST_REAL_TIMES=1 $(PY) -m pytest -q tests/integration/brokers/test_presence_faults.py $(ARGS)

.PHONY: history-faults
history-faults: $(VENV)/.test ## the promises about rooms with history, over every broker and for longer (20 minutes)
	ODAC_LONG=1 $(PY) -m pytest -q tests/integration/brokers/test_history_faults.py tests/integration/brokers/test_history_breaks.py $(ARGS)

.PHONY: supervisor
supervisor: $(VENV)/.test ## the processes of odac run, over every broker and in a terminal (5 minutes)
	ODAC_LONG=1 $(PY) -m pytest -q tests/integration/test_supervisor.py $(ARGS)

.PHONY: history-mutants
history-mutants: $(VENV)/.test ## break each rule of rooms with history, and check that a test fails (5 minutes)
	$(PY) -m tests.integration.brokers.mutants

.PHONY: calls-faults
calls-faults: $(VENV)/.test ## a million calls with retry while connections are cut and processes killed: none executed twice (15 minutes; half an hour on a busy machine)
	ODAC_TEST_CALLS=1000000 $(PY) -m pytest -q -s tests/integration/test_calls_faults.py -k and-killed $(ARGS)
	ODAC_TEST_CALLS=100000 $(PY) -m pytest -q -s tests/integration/test_calls_faults.py -k "not and-killed" $(ARGS)
	ODAC_TEST_BROWSER_CALLS=20000 $(PY) -m pytest -q -s tests/browser/test_calls_faults.py $(ARGS)

.PHONY: foreign
foreign: $(VENV)/.test ## uvicorn's, Starlette's and FastAPI's own tests, with Odac's classes in place of uvicorn's (ARGS="uvicorn", …)
	@$(PY) -c 'import httpx2' 2>/dev/null || $(PIP) httpx2
	$(PY) scripts/foreign_suites.py $(ARGS)

.PHONY: fuzz
fuzz: $(VENV)/.test ## look for inputs that break the parsers (ARGS="parser --seconds 600")
	@$(PY) -c 'import atheris' 2>/dev/null || $(PIP) atheris
	$(PY) -m tests.fuzz.run $(ARGS)

.PHONY: sanitize
sanitize: $(VENV)/.test ## the compiled code under AddressSanitizer and UBSan (needs gcc)
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/sanitize $(ARGS)

.PHONY: bench
bench: $(VENV)/.test ## measure beside other servers (ARGS="--loads echo,fan --servers odac", …)
	$(PY) -m benchmarks $(ARGS)

.PHONY: micro
micro: $(VENV)/.test ## time the steps of a message and of the hub, without a network (ARGS="-k room", …)
	$(PY) -m pytest -q benchmarks/micro --benchmark-only $(ARGS)

.PHONY: clean
clean: ## remove what the targets above made
	rm -rf $(VENV) dist build client/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
