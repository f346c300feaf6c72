# Everything a person or CI runs. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
PY := .venv/bin/python
CACHE := $(or $(REPOBRIDGE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/repobridge)
PYTHON ?= python3
# The programs that tests need, of those in tests/clustertools/catalog.py.
CLUSTER_TOOLS := etcd kube-apiserver kubectl kube-controller-manager helm
# Most tests wait for processes: three at once take half the time on two cores.
AT_ONCE ?= -n 3
# In CI, on a machine that others load, up to three tests may pass the second time; the summary
# then names them, and shows how each failed the first time.
AGAIN ?= $(if $(CI),--reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks)

.PHONY: help setup cluster-tools cluster-node images cluster cluster-down demo test test-long lint format bench proto crds manifests docs clean
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: .venv/.synced $(CACHE)/claude-cli/.path ## The environment: uv into .venv, the locked packages, the Claude CLI

.venv/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "RepoBridge needs Python 3.11 or later; name one with: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Setting up .venv (once) …" >&2
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.8

.venv/.synced: .venv/bin/uv pyproject.toml uv.lock
	@echo "Installing the locked packages …" >&2
	@UV_PYTHON_DOWNLOADS=never .venv/bin/uv sync --frozen --quiet --python .venv/bin/python
	@touch $@

$(CACHE)/claude-cli/.path: .venv/.synced session-runner/claude-cli/package.json session-runner/claude-cli/package-lock.json scripts/install-claude
	@mkdir -p $(@D)
	@scripts/install-claude > $@.new && mv $@.new $@

cluster-tools: .venv/.synced ## Build the Kubernetes that tests use (8 minutes on two cores once; then cached)
	@$(PY) -m tests.clustertools $(CLUSTER_TOOLS) >/dev/null

cluster-node: cluster-tools ## Install and build what a real node needs besides, as root (minutes once; then nothing)
	@$(PY) -m tests.cluster parts

images: .venv/.synced ## Build the two images as the cluster tests use them, as root; prints their archives
	@$(PY) -m scripts.images

cluster: setup cluster-node ## A real one-node Kubernetes to play with, as root; it says how
	@$(PY) -m tests.cluster up

cluster-down: .venv/.synced ## Remove it whole
	@$(PY) -m tests.cluster down

demo: setup ## The main job: serve a sample repository and chat with it
	@$(PY) -m scripts.demo

test: setup cluster-node ## Every test, one case of each long sweep
	$(PY) -m pytest -m "not long" $(AT_ONCE) $(AGAIN)

test-long: setup cluster-node ## Every test, the long sweeps whole
	$(PY) -m pytest $(AT_ONCE)

lint: .venv/.synced ## ruff, mypy --strict, import contracts, and that uv.lock is current
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/uv lock --check --offline --quiet

format: .venv/.synced ## Put the code into ruff's format
	$(PY) -m ruff check --fix-only --quiet .
	$(PY) -m ruff format .

proto: .venv/.synced ## Generate the stubs of the .proto files
	scripts/generate-proto

crds: .venv/.synced ## Write the CustomResourceDefinition from the models of the API
	@$(PY) -m scripts.crds

manifests: crds ## Write the chart's copies of what is decided elsewhere, and manifests/ from the chart
	@helm=$$($(PY) -m tests.clustertools helm | cut -f2) && $(PY) -m scripts.charts "$$helm"

docs: .venv/.synced ## Write the generated parts of docs/
	@$(PY) -m scripts.docs

bench: setup cluster-node ## The benchmarks, each as a ratio or difference to a baseline in the same run
	$(PY) -m benchmarks

clean: ## Remove what setup made in the checkout (the cache stays)
	rm -rf .venv
