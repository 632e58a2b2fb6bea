# Casemate's commands. Each sets up what it needs; a second run finds it there.
PYTHON ?= python3
PORT ?= 3978
CLIENT_PORT ?= 56150
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test fuzz check audit bench lock screenshots clean

run: $(VENV)/runtime client/node_modules bot/kusto/node_modules
	@$(BIN)/python client/start.py --port $(CLIENT_PORT) --bot http://127.0.0.1:$(PORT)/api/messages & \
	exec $(BIN)/python app.py sandbox --port $(PORT)

# Microsoft's local Teams client and its KQL language service: without npm the bot runs without them.
client/node_modules bot/kusto/node_modules: %/node_modules: %/package-lock.json
	@command -v npm >/dev/null || { echo "No npm here: what $* needs of it is left out."; exit 0; }; \
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules

test: $(VENV)/development bot/kusto/node_modules
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=95

# A million examples where `make test` has twenty thousand, and other ones in each run.
fuzz: $(VENV)/development
	FUZZ_TIMES=50 $(BIN)/python -m pytest -n 2 --dist worksteal tests/fuzz

check: $(VENV)/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# Known vulnerabilities of what is pinned; needs pypi.org's and npm's advisories. With --strict, what
# could not be looked up fails as well.
audit: $(VENV)/audit client/node_modules bot/kusto/node_modules
	$(VENV)/pip-audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt -r requirements-dev.txt
	cd bot/kusto && npm audit
	cd client && npm audit

bench: $(VENV)/development bot/kusto/node_modules
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/development
	$(BIN)/python docs/screenshots.py http://127.0.0.1:$(CLIENT_PORT) docs/images --sandbox http://127.0.0.1:$(PORT)

lock: $(VENV)/development
	$(BIN)/pip-compile -q --no-emit-index-url --no-emit-find-links --strip-extras --no-header --no-annotate -o requirements.txt requirements.in
	$(BIN)/pip-compile -q --no-emit-index-url --no-emit-find-links --strip-extras --no-header --no-annotate -o requirements-dev.txt requirements-dev.in

$(VENV)/runtime: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Casemate needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/development: $(VENV)/runtime requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# In a place of its own: what it brings along must not change what is tested.
$(VENV)/audit: $(VENV)/development
	$(PYTHON) -m venv $(VENV)/pip-audit
	$(VENV)/pip-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

clean:
	rm -rf $(VENV) client/node_modules bot/kusto/node_modules .pytest_cache .ruff_cache .coverage
