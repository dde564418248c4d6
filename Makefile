# Every target makes .venv and installs what it needs; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
UNIT := -m 'not e2e' --ignore tests/e2e --ignore tests/active_directory --ignore tests/crash
CODE := idp_proxy conversion tests certs.example

# A third of the tests' time is waiting, for disks, child processes and clocks.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * (os.cpu_count() or 1) // 2)')

# Tests start hundreds of processes: what they import is compiled once, whatever the shell prefers.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo demo-conversion kills crash test e2e e2e-ad bench bench-login bench-conversion bench-failover bench-roster bench-satosa fuzz lint docs clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(STAMP): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## a login, an outage, a failover and the way back; ONESHOT=1 ends by itself, STANDBY=ldap: a directory stands by
	$(BIN)/python -m tests.support.demo $(if $(ONESHOT),--oneshot) $(if $(STANDBY),--standby $(STANDBY))

demo-conversion: $(STAMP)  ## an outage of SSO from prepare to report, with everybody back at the end
	$(BIN)/python -m tests.support.conversion_demo

# By one process: of several workers that begin at once, each would compile every test for itself.
$(COMPILED): $(STAMP)
	@$(BIN)/pytest --collect-only -q $(UNIT) >/dev/null 2>&1 || true
	@touch $@

test: $(COMPILED)  ## unit, conformance, attack and flow tests, with the coverage that saml/ and decision/ owe
	@$(BIN)/python certs.example/make_keys.py >/dev/null
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --cov --cov-report= $(UNIT) $(ARGS)
	$(BIN)/coverage report --fail-under=100

e2e: $(STAMP)  ## real SimpleSAMLphp, mod_auth_mellon, Shibboleth, Chromium, PostgreSQL, slapd (installs them, as root)
	bash tests/e2e/install.sh
	$(BIN)/pytest -m e2e tests/e2e tests/conformance $(ARGS)

e2e-ad: $(STAMP)  ## a directory standby against Samba's Active Directory (installs it, as root)
	bash tests/e2e/install.sh samba samba-ad-dc samba-ad-provision winbind iproute2
	sh tests/active_directory/run.sh $(BIN)/python $(ARGS)

bench: $(STAMP)  ## every bar of the design, one after the other: bench-login, bench-conversion, bench-failover
	$(if $(ARGS),$(error ARGS is for one of them: make bench-login ARGS=$(ARGS)))
	$(MAKE) --keep-going --no-print-directory -j1 bench-login bench-conversion bench-failover

bench-login: $(STAMP)  ## whole logins through a running proxy, and its memory; writes build/bench.json
	$(BIN)/python -m tests.bench.login_bench $(ARGS)

bench-conversion: $(STAMP)  ## a campaign against a bare loop of httpx, and its memory; writes build/bench-conversion.json
	$(BIN)/python -m tests.bench.conversion_bench $(ARGS)

bench-failover: $(STAMP)  ## the active is killed, by both profiles: seconds to the switch and to a login by the standby
	$(BIN)/python -m tests.bench.failover_bench $(ARGS)

bench-roster: $(STAMP)  ## a million people: their import, beside logins, and how long one is looked up
	$(BIN)/python -m tests.bench.roster_bench $(ARGS)

SATOSA := build/satosa
$(SATOSA)/.installed: tests/bench/satosa.txt
	@command -v xmlsec1 >/dev/null || { echo "SATOSA needs xmlsec1: apt-get install xmlsec1"; exit 2; }
	$(PYTHON) -m venv $(SATOSA)
	$(SATOSA)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench-satosa: $(STAMP) $(SATOSA)/.installed  ## the proxy beside SATOSA in one run, by ratios; writes build/bench-satosa.json (needs xmlsec1)
	$(BIN)/python -m tests.bench.satosa_bench --gunicorn $(SATOSA)/bin/gunicorn $(ARGS)

fuzz: $(STAMP)  ## 60 s of mutated input for each parser; FUZZ_SECONDS=n for another time
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) $(BIN)/pytest -n auto tests/fuzz $(ARGS)

kills: $(STAMP)  ## the conversion killed with SIGKILL at each named point and run again
	$(BIN)/pytest -n $(WORKERS) --dist worksteal tests/crash $(ARGS)

crash: $(STAMP)  ## the conversion killed at 200 random moments and run again; COUNT=n for more or fewer
	$(BIN)/python -m tests.crash --count $(or $(COUNT),200) $(ARGS)

lint: $(STAMP)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: $(STAMP)  ## write the pages that are printed from the code, and check every link
	$(BIN)/python -m tests.support.docs

clean:  ## remove the virtual environment and what the targets wrote
	rm -rf $(VENV) build .coverage .hypothesis .mypy_cache .ruff_cache
