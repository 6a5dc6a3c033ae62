.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
TOOLS := .tools
UV := $(TOOLS)/uv/bin/uv
DEPLOY_TOOLS := $(TOOLS)/deploy
BUF := $(TOOLS)/buf/node_modules/.bin/buf
UV_VERSION := 0.13.8
BUF_VERSION := 1.75.0
SYSTEM_PACKAGES := postgresql redis-server protobuf-compiler-grpc-java-plugin
PYTHON ?= python3
SDK_JS := tests/sdk/js
STUBS := clients/python/llmrouter/v1 clients/go/llmrouter/v1 clients/typescript/src/gen clients/java/src/main/java/dev/llmrouter/v1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help install system-deps demo run test lint types gen check-gen sdk-test clients-test clients-publish-dry-run jaeger jaeger-test monitoring-test bench eval-routing escalations chaos roll soak soak-short chaos-state fuzz lock buf clean replicas deploy-check deploy-tools

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-24s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## Make .venv with the command llmrouter, from the lock file

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llmrouter needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(TOOLS)/uv
	$(TOOLS)/uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/.installed: requirements.lock pyproject.toml clients/python/pyproject.toml | $(UV)
	test -d .venv || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps -e clients/python -e .
	@touch $@

system-deps: ## Install the PostgreSQL and Redis that tests start, and Java's stub generator, from Debian's packages
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $(SYSTEM_PACKAGES) 2>/dev/null \
	  | awk '$$1 == "installed" {print $$2}' | grep -vxFf - <(printf '%s\n' $(SYSTEM_PACKAGES))); \
	test -z "$$missing" || { as=$$(test "$$(id -u)" = 0 || echo sudo); $$as apt-get update -qq \
	  && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }

lock: | $(UV) ## Resolve the dependencies anew into requirements.lock
	$(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --group dev --group sdk --all-extras --generate-hashes \
	  --no-emit-package llmrouter-client --no-header --no-annotate -o requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --group fuzz --generate-hashes \
	  --no-header --no-annotate -o requirements-fuzz.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --group deploy --generate-hashes \
	  --no-header --no-annotate -o deploy/tools/requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --group image --generate-hashes \
	  --no-header --no-annotate -o deploy/container/build.lock
	$(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras --generate-hashes \
	  --constraints requirements.lock --no-emit-package llmrouter-client --no-header --no-annotate \
	  -o deploy/container/requirements.lock

demo: install ## Route varied prompts through the service and a simulated provider
	@$(BIN)/llmrouter demo

run: install ## Serve with the provider keys in the environment, or CONFIG=file.yaml
	@$(BIN)/llmrouter serve $(if $(CONFIG),--config $(CONFIG))

test: install ## Run all tests, but those of deploy-check
	$(BIN)/pytest -n 2 --ignore=tests/deploy

lint: install ## Check style, import contracts and the protobuf API
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory buf

types: install ## Check types
	$(BIN)/mypy

$(BUF):
	npm install --silent --no-fund --no-audit --prefix $(TOOLS)/buf @bufbuild/buf@$(BUF_VERSION)

buf: ## Lint the protobuf API and compare it with the last release
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(BUF) \
	  && cd protos && ../$(BUF) lint && ../$(BUF) format --diff --exit-code \
	  && ../$(BUF) breaking --against baseline.binpb && echo "buf: lint, format and breaking pass"; \
	elif [ -n "$$CI" ]; then echo "buf needs npm (Node.js), which is missing here"; exit 1; \
	else echo "skipped: buf needs npm (Node.js)"; fi

gen: install ## Generate the stubs of all clients from protos/ (or LANGUAGES="python go typescript java")
	clients/generate.sh $(LANGUAGES)

.PHONY: docs
docs: install ## Generate the pages that come from code: configuration, its schema, errors, migrating
	$(BIN)/python -m router_service.config.reference > docs/configuration.md
	$(BIN)/llmrouter schema > docs/router.schema.json
	$(BIN)/python -m router_service.cli.error_reference > docs/errors.md
	$(BIN)/python -m router_service.lab.litellm.reference > docs/migrating-from-litellm.md

check-gen: gen ## Fail if the committed stubs are stale
	@git diff --exit-code --stat -- $(STUBS) && test -z "$$(git status --porcelain -- $(STUBS))" \
	  || { echo "The generated stubs differ from the committed ones: run 'make gen' and commit the result"; exit 1; }

clients-test: install ## Run the golden calls through the clients of all languages (or LANGUAGES="python go")
	$(BIN)/python -m tests.conformance.run $(LANGUAGES)

clients-publish-dry-run: install ## Build and check what would be published of each client, publish nothing
	clients/publish-dry-run.sh $(LANGUAGES)

jaeger: ## Run a Jaeger v2 that takes the router's traces: in a container, or built from its Go module (or JAEGER=program)
	@JAEGER="$(JAEGER)" deploy/jaeger/jaeger.sh run

jaeger-test: install ## Call a router from Go and read the traces back from a real Jaeger (builds it once, minutes)
	@if command -v go >/dev/null; then jaeger=$$(JAEGER="$(JAEGER)" deploy/jaeger/jaeger.sh build) \
	  && (cd tests/jaeger/caller && go build -o ../../../$(TOOLS)/jaeger/caller .) \
	  && JAEGER="$$jaeger" CALLER="$$PWD/$(TOOLS)/jaeger/caller" $(BIN)/pytest -n 0 tests/jaeger; \
	elif [ -n "$$CI" ]; then echo "jaeger-test needs Go, which is missing here"; exit 1; \
	else echo "skipped: jaeger-test needs Go"; fi

# Debian's package is unpacked, not installed: it would start a service.
$(TOOLS)/prometheus/promtool:
	@mkdir -p $(@D) && cd $(@D) && as=$$(test "$$(id -u)" = 0 || echo sudo) \
	  && { apt-get download -q prometheus 2>/dev/null || { $$as apt-get update -qq && apt-get download -q prometheus; }; } \
	  && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/prometheus ./usr/bin/promtool \
	  && rm prometheus_*.deb && touch promtool

monitoring-test: install ## Check alerts and dashboard in a real Prometheus that scrapes a router (or PROMETHEUS=folder of its programs)
	@if [ -z "$(PROMETHEUS)" ] && ! command -v promtool >/dev/null && command -v apt-get >/dev/null; then \
	  $(MAKE) --no-print-directory $(TOOLS)/prometheus/promtool && folder=$(TOOLS)/prometheus; \
	else folder="$(or $(PROMETHEUS),$$(dirname "$$(command -v promtool)"))"; fi; \
	if [ -x "$$folder/promtool" ]; then PROMETHEUS="$$(realpath "$$folder")" $(BIN)/pytest -n 0 tests/monitoring; \
	elif [ -n "$$CI" ]; then echo "monitoring-test needs prometheus and promtool, which are missing here"; exit 1; \
	else echo "skipped: monitoring-test needs prometheus and promtool (or PROMETHEUS=folder)"; fi

bench: install ## Measure CPU per call beside a bare grpc.aio echo (about a minute)
	$(BIN)/python -m benchmarks.bench

sdk-test: install ## Run OpenAI's Python and JavaScript SDKs against a live router
	@echo "Python SDK $$($(BIN)/python -c 'import openai; print(openai.__version__)'):"
	@$(BIN)/pytest -n 0 -o addopts="--strict-markers" tests/sdk
	@if command -v npm >/dev/null; then cd $(SDK_JS) && npm ci --silent --no-fund --no-audit \
	  && echo "JavaScript SDK $$(node -p 'require("./node_modules/openai/package.json").version'):" \
	  && node --test --test-reporter=spec; \
	elif [ -n "$$CI" ]; then echo "OpenAI's JavaScript SDK needs npm (Node.js), which is missing here"; exit 1; \
	else echo "skipped: OpenAI's JavaScript SDK needs npm (Node.js)"; fi

eval-routing: install ## Measure classifiers, gates and thresholds on public results (minutes; DATA=folder, or FILE=own.jsonl [WEAK=model STRONG=model]; JSON=file)
	$(BIN)/python -m benchmarks.routing $(if $(FILE),--data "$(FILE)" $(if $(WEAK),--weak "$(WEAK)") $(if $(STRONG),--strong "$(STRONG)"),$(DATA)) $(if $(JSON),--json "$(JSON)")

roll: install ## Restart replicas by SIGTERM and kill -9 under load (about eight minutes; RESTARTS=n)
	$(BIN)/python -m benchmarks.roll $(if $(RESTARTS),--restarts $(RESTARTS))

escalations: install ## Run tables 7 and 4 over the simulated provider and print who answered what (CALLS=n)
	$(BIN)/python -m benchmarks.escalations --calls $(or $(CALLS),400)

chaos: install ## Run the chaos matrix: every fault, phase and attempt (about a minute; ROUNDS=n)
	$(BIN)/python -m benchmarks.chaos --rounds $(or $(ROUNDS),1)

soak: install ## Cancel storm, mixed load, idle streams, amplification (about 15 minutes; CANCELS=n SOAK_SECONDS=n STREAMS=n)
	$(BIN)/python -m benchmarks.soak $(if $(CANCELS),--cancels $(CANCELS)) $(if $(SOAK_SECONDS),--seconds $(SOAK_SECONDS)) \
	  $(if $(STREAMS),--streams $(STREAMS))

soak-short: install ## The same in a minute and a half, for trying
	$(BIN)/python -m benchmarks.soak --short

chaos-state: install ## Kill replicas, Redis and PostgreSQL under load; money must add up (about 15 minutes; ONLY=budget)
	$(BIN)/python -m benchmarks.state $(if $(ONLY),--only $(ONLY))

replicas: install ## Three replicas, Redis and PostgreSQL: kill one and roll all, twice, under load (a minute or two; KILLS=n, three a round)
	$(BIN)/python -m benchmarks.state --only replicas --kills $(or $(KILLS),6)

deploy-check: install ## Render, lint and check what is in deploy/ with helm, kubernetes-validate, hadolint and compose-go
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory deploy-tools && $(BIN)/pytest -q -n 2 --dist loadfile tests/deploy; \
	elif [ -n "$$CI" ]; then echo "deploy-check needs Go, which is missing here"; exit 1; \
	else echo "skipped: deploy-check needs Go, to build helm and compose-go"; fi

deploy-tools: $(DEPLOY_TOOLS)/.installed

$(DEPLOY_TOOLS)/.installed: deploy/tools/go.mod deploy/tools/go.sum deploy/tools/requirements.lock | $(UV)
	cd deploy/tools && CGO_ENABLED=0 go build -ldflags '-s -w' -o $(CURDIR)/$(DEPLOY_TOOLS)/ tool
	mv $(DEPLOY_TOOLS)/cmd $(DEPLOY_TOOLS)/compose-spec
	$(UV) venv --quiet --clear --python $(PYTHON) $(DEPLOY_TOOLS)/venv
	$(UV) pip install --quiet --python $(DEPLOY_TOOLS)/venv --require-hashes -r deploy/tools/requirements.lock
	ln -sf venv/bin/hadolint venv/bin/kubernetes-validate $(DEPLOY_TOOLS)/
	@touch $@

fuzz: install ## Fuzz the reading of streams with atheris (a minute; FUZZ_SECONDS=n)
	$(UV) pip install --quiet --python .venv --require-hashes -r requirements-fuzz.lock
	$(BIN)/python tests/fuzz/fuzz_streams.py -max_total_time=$(or $(FUZZ_SECONDS),60)

clean: ## Remove what make installed
	rm -rf .venv $(TOOLS) .fuzz
