# Solera: everything a contributor types. `make` alone shows this list.
#
# Needs Go, git and make; the dashboard needs Node 20 and npm. `make check` also
# needs a C compiler (the race detector) and fetches its two linters once;
# `make test-reproducible` uses qemu-aarch64-static when it is installed.

SHELL        := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Linters are pinned tools, not dependencies of the module. The version is part
# of the file name, so a new pin is a new file and no version check is needed.
TOOLS       := .tools
GOFUMPT     := $(TOOLS)/gofumpt-v0.12.0
STATICCHECK := $(TOOLS)/staticcheck-v0.8.2

# The S3 server of test-cluster, and what checks and runs workflows: tools as well.
VERSITYGW   := $(TOOLS)/versitygw-v1.8.0
ACTIONLINT  := $(TOOLS)/actionlint-v1.7.12
ACT         := $(TOOLS)/act-v0.2.89

PROJECT ?= examples/wine

# Everything but the race detector is built without C, with the same flags, so
# that a package is compiled once for building, testing and looking at.
export CGO_ENABLED = 0

GO_BUILD := go build -trimpath -ldflags='-s -w'

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build Solera and run the wine project (PROJECT=examples/iris for another).
	bin/solera -C $(PROJECT) run

# The dashboard needs Node 20 and npm. Where they are missing, or with WEB=no,
# everything else is built without it, and the server says so.
NODE = command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)'

.PHONY: build
build: ## Build bin/solera, one static binary, with the dashboard where Node is installed.
	@if [ "$(WEB)" = no ] || ! { $(NODE); }; then echo "no dashboard in this binary: it needs Node 20 and npm"; \
		else $(MAKE) --no-print-directory web; fi
	$(GO_BUILD) -o bin/solera ./cmd/solera

WEB_SOURCES = $(shell find web/src web/public web/index.html web/package.json web/tsconfig.json web/vite.config.ts -type f ! -name '*.test.*')

.PHONY: web
web: web/dist/index.html.gz ## Build the dashboard alone.

web/dist/index.html.gz: $(WEB_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run --silent build
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci
	@touch $@

.PHONY: web-check
web-check: ## Check the types of the dashboard and run its tests.
	@if ! { $(NODE); }; then echo "the dashboard is not checked: it needs Node 20 and npm"; \
		else $(MAKE) --no-print-directory web/node_modules/.package-lock.json && cd web && npm run --silent check && npm run --silent test; fi

# The browser is Debian's chromium, or what CHROMIUM names.
.PHONY: e2e
e2e: build ## Drive the dashboard with a real browser. Needs Node 20 and Chromium.
	SOLERA=bin/solera node --test --test-reporter=spec e2e/dashboard.test.mjs

.PHONY: bench-web
bench-web: build ## Time the dashboard in a real browser: first paint, a table of 10,000 runs, a chart of 200.
	SOLERA=bin/solera node e2e/speed.mjs

.PHONY: screenshots
screenshots: build ## Take the pictures of the documentation anew: docs/media.
	SOLERA=bin/solera node e2e/screenshots.mjs

.PHONY: test
test: ## Run the tests. Needs nothing but Go.
	go test ./...

.PHONY: check
check: lint web-check fused race ## Format, vet, staticcheck, architecture, dashboard, hidden fused arithmetic, race detector.

.PHONY: lint
lint: $(GOFUMPT) $(STATICCHECK) ## Only the static part of check.
	@files=$$($(GOFUMPT) -l .); if [ -n "$$files" ]; then \
		echo "not formatted (run 'make format'):"; echo "$$files"; exit 1; fi
	go vet ./...
	GOOS=linux GOARCH=arm64 go vet ./tensor/... # all that differs there
	$(STATICCHECK) ./...
	go test ./internal/arch ./pipeline/internal/codedigest

.PHONY: format
format: $(GOFUMPT) ## Format all Go files.
	$(GOFUMPT) -w .

.PHONY: fused
fused: ## Look for multiply-adds that the arm64 compiler would fuse by itself.
	SOLERA_ARCH_FUSED=1 go test -count=1 -run Fused ./internal/arch

.PHONY: race
race: ## Run the tests but the stories under the race detector, the longest ones shortened. Needs a C compiler.
	@# Pure arithmetic, and what internal folders hold, have nothing that runs beside something else.
	CGO_ENABLED=1 go test -race -short -vet=off -skip '^TestScripts$$' -timeout 20m $$(go list ./... | grep -v -e /numeric -e /internal/)

.PHONY: bench
bench: ## Time the engine, beside PyTorch where python3-torch is installed, the store, the server and the dashboard.
	go run ./bench
	go run ./bench -only points
	go run ./bench -only api
	go run ./bench -only load
	@if ! { $(NODE); }; then echo "the dashboard is not timed: it needs Node 20 and npm"; else $(MAKE) --no-print-directory bench-web; fi

.PHONY: generate
generate: ## Write the generated files again: schema, table of keys, API and its types, kernels, code digests.
	UPDATE=1 go test -count=1 -run TestPublishedSchemaIsCurrent ./pipeline
	UPDATE=1 go test -count=1 -run TestDescriptionIsCurrent ./httpd/api
	@if $(NODE); then $(MAKE) --no-print-directory web/node_modules/.package-lock.json && cd web && npm run --silent types; fi
	go generate ./...
	go generate ./pipeline # again: its digests cover what the others wrote

.PHONY: test-reproducible
test-reproducible: ## Train wine on every kernel set and core count; the digests must agree.
	go run ./internal/reproducible $(if $(UPDATE),-update)

# To repeat a failure, give it the SOLERA_CRASH_SEED that it printed.
.PHONY: test-crash
test-crash: export SOLERA_CRASH_ROUNDS ?= 200
test-crash: $(VERSITYGW) ## Kill writers, gc and backups at 200 random moments (SOLERA_CRASH_ROUNDS).
	go test -count=1 -v -timeout 15m -run 'TestKilled|NeverDeletesWhatIsReachable|FullDisk' ./store ./blob ./tracking
	@if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then \
		go run ./internal/cluster -versitygw $(abspath $(VERSITYGW)) go test -count=1 -v -timeout 15m -run TestKilledProcesses ./tracking; \
	else echo "no PostgreSQL here: killed on SQLite only"; fi

.PHONY: test-cluster
test-cluster: $(VERSITYGW) ## Run suites and stories on real PostgreSQL (of the system) and S3.
	go run ./internal/cluster -versitygw $(abspath $(VERSITYGW))

# Go compiles the working tree once more, as a release that jobs install; what it
# is built from comes out of the build cache.
.PHONY: test-workflows
test-workflows: $(ACTIONLINT) $(ACT) ## Check the workflows of the wine example and run them, as GitHub would.
	go mod download
	go run ./internal/workflows -act $(ACT) -actionlint $(ACTIONLINT)

# The clients need Debian's python3-venv, python3-torch and python3-sklearn, and
# the package index once. SCRIPT=runs,sweeps and ONLY=runs.nan run a part.
INTEROP = go run ./internal/interop $(if $(SCRIPT),-script $(SCRIPT)) $(if $(ONLY),-only '$(ONLY)') $(if $(CLIENT),-client $(CLIENT))

.PHONY: interop
interop: build $(VERSITYGW) ## Let the real clients of Weights & Biases log to servers of every kind (UPDATE=1 writes the table).
	@if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then \
		go run ./internal/cluster -versitygw $(abspath $(VERSITYGW)) $(INTEROP) $(if $(UPDATE),-update); \
	else $(INTEROP) $(if $(UPDATE),-update); fi

.PHONY: interop-clients
interop-clients: ## Only install those clients.
	$(INTEROP) -install

.PHONY: interop-record
interop-record: build ## Write anew what those clients and the server say, for the tests of httpd/wandb.
	$(INTEROP) -record

.PHONY: interop-load
interop-load: build ## Let 20 of those clients log at once, and count what arrives.
	$(INTEROP) -load

.PHONY: examples
examples: build ## Run every project in examples/ and check the outcome.
	examples/check

.PHONY: clean
clean: ## Remove what was built and the stores of the examples.
	rm -rf bin dist $(TOOLS) examples/*/.solera
	find web/dist -mindepth 1 ! -name .keep -delete

.PHONY: tools
tools: $(GOFUMPT) $(STATICCHECK) $(VERSITYGW) $(ACTIONLINT) $(ACT) ## Fetch and build the tools that checks use, which they do by themselves.

$(GOFUMPT):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags='-s -w' mvdan.cc/gofumpt@v0.12.0
	@mv $(TOOLS)/gofumpt $@

$(STATICCHECK):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags='-s -w' honnef.co/go/tools/cmd/staticcheck@v0.8.2
	@mv $(TOOLS)/staticcheck $@

$(VERSITYGW):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags='-s -w' github.com/versity/versitygw/cmd/versitygw@v1.8.0
	@mv $(TOOLS)/versitygw $@

$(ACTIONLINT):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags='-s -w' github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
	@mv $(TOOLS)/actionlint $@

$(ACT):
	@mkdir -p $(TOOLS)
	GOBIN=$(CURDIR)/$(TOOLS) go install -ldflags='-s -w' github.com/nektos/act@v0.2.89
	@mv $(TOOLS)/act $@
