# gpuq: everything that is done with this repository. Nothing is installed by hand: `setup` makes the virtual environment.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
#: The folders of tests/ in the order in which `make test` runs them.
STAGES ?= unit integration faults cluster docs
#: Tests mostly wait: two at a time take half as long, even on two cores. Threads of PyTorch would only fight for those.
WORKERS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadgroup
#: Further options for `make up`, `make demo`, `make test-fast` and `make mutants`.
ARGS ?=
#: The rooms that `make mutants` runs; none named: all of them.
ROOM ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-fast test-cluster e2e lint fmt typecheck docs lock bench bench-trainer mutants images test-images clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment (again only when pyproject.toml or constraints.txt has changed)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "gpuq needs Python 3.11 or newer as $(PYTHON); name another one: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing gpuq and what it needs into $(VENV) (PyTorch is large: a few minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## Train Proto-GCN through the queue on this machine, show it to its end, stop everything
	@$(BIN)/gpuq up --demo --data-dir build/demo $(ARGS)

up: setup ## Run the whole system on this machine until Ctrl-C
	@$(BIN)/gpuq up $(ARGS)

test: setup ## Run all tests, stage by stage, and say what each stage took
	@mkdir -p build/test; rm -f build/test/*.log; begun=$$SECONDS; failed=; summary=; \
	case " $(STAGES) " in *" cluster "*) $(BIN)/python -m devtools.cluster.build --notice;; esac; \
	for stage in $(STAGES); do \
	  if [ $$stage = cluster ]; then \
	    echo "== programs of the cluster stage"; started=$$SECONDS; \
	    $(BIN)/python -m devtools.cluster.build || true; \
	    summary+="programs of the cluster stage $$((SECONDS - started)) s"$$'\n'; \
	  fi; \
	  started=$$SECONDS; echo "== $$stage"; \
	  $(PYTEST) --durations=5 tests/$$stage 2>&1 | tee "build/test/$${stage//\//-}.log" && ended= || ended=" FAILED"; \
	  failed+="$$ended"; summary+="stage $$stage $$((SECONDS - started)) s$$ended"$$'\n'; \
	done; \
	printf '\n%s' "$$summary"; echo "all stages $$((SECONDS - begun)) s"; \
	tail -qn 1 build/test/*.log | awk '{ for (i = 2; i <= NF; i++) { \
	  if ($$i ~ /^passed/) passed += $$(i - 1); if ($$i ~ /^(failed|errors?)/) failed += $$(i - 1) } } \
	  END { printf "%d passed, %d failed\n", passed, failed }'; \
	test -z "$$failed"

test-fast: setup ## Run the unit tests, without the trainer's: about a minute
	@$(PYTEST) tests/unit --ignore tests/unit/proto_gcn $(ARGS)

test-cluster: setup ## Run the tests on a real API server alone (the first time its programs are built: minutes)
	@$(MAKE) test STAGES=cluster

e2e: setup ## Run the life-cycle tests on the cluster that KUBECONFIG names, with its Argo Workflows
	@test -n "$${KUBECONFIG:-}" || { echo "Name the cluster: make e2e KUBECONFIG=~/.kube/config" >&2; exit 1; }
	@GPUQ_E2E=1 KUBECONFIG="$$KUBECONFIG" $(BIN)/pytest -q --durations=5 -m e2e tests/cluster/test_life.py $(ARGS)

lint: setup typecheck ## Check style, types and language
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m devtools.plain_english

fmt: setup ## Format the code, and fix what can be fixed automatically
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: setup ## Check the types alone
	@$(BIN)/mypy

docs: setup ## Make the documents that are made from the code: docs/cli.md, docs/settings.md
	@$(BIN)/python -m devtools.docs.generate

.PHONY: picture
picture: setup ## Draw docs/queue.svg, the picture in the README, from a real queue (needs a C compiler)
	@$(BIN)/python -m devtools.docs.picture

lock: setup ## Settle on the newest versions of everything: constraints.txt, and the images' hashed requirements
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade --quiet \
	  --no-emit-index-url --no-annotate --no-header --output-file constraints.txt
	@PATH="$(BIN):$$PATH" $(BIN)/python docker/lock.py

bench: setup ## Measure; results in benchmarks/results.json
	@$(BIN)/python -m benchmarks

bench-trainer: setup ## Measure the training step against the reference; results in benchmarks/trainer/results.json
	@$(BIN)/python -m benchmarks.trainer

mutants: setup ## Change the pure code in small ways and check that its unit tests notice (one room: ROOM=scheduler/decide)
	@$(BIN)/python -m devtools.mutants $(ROOM) $(ARGS)

images: ## Build the four images with docker, podman or buildah (docker/README.md says what may be set)
	@docker/build.sh

test-images: setup ## Build the images on a base made of Debian's packages, and start each (root; gets buildah where missing)
	@tests/images/get_tools.sh
	@$(BIN)/pytest -q --durations=5 tests/images $(ARGS)

clean: ## Remove what was built and the caches; the virtual environment stays
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +
