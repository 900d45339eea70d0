# Every target is one or two commands; what is longer lives in tools/ and internal/. `make` alone builds.
GO ?= go
BUF = $(GO) tool -modfile=tools/go.mod buf
REPORT = $(GO) run ./internal/testreport $(if $(NO_SKIPS),-no-skips)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The rooms whose goroutines and state everything else relies on; a room that does not exist is left out.
CORE := $(patsubst %,./%/...,$(wildcard retention access store replication timesource))
BASELINE = proto/baseline.binpb

.PHONY: build demo test test-root lint race fuzz mutate bench bench-expiry generate proto-baseline ci clean

build: ## bin/: static and reproducible, one program per folder of cmd/
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
		-ldflags '-s -w -buildid= -X main.version=$(VERSION)' -o bin/ ./cmd/...

demo: build ## the main job end to end, on this machine
	@echo "bound 2m"
	@$(GO) build -o bin/demo ./internal/demo
	@timeout --foreground -s INT -k 20 2m bin/demo -bin bin

test: ## all tests that need no root
	@$(REPORT) -bound 15m -- -timeout 14m -skip '^TestRoot' ./...

test-root: ## the tests that need root: chronyd, loop devices, namespaces
	@$(REPORT) -bound 10m -- -timeout 9m -run '^TestRoot' ./...

race: ## the race detector on the core rooms (needs a C compiler)
	@CGO_ENABLED=1 $(GO) run ./internal/testreport -name race -bound 10m -- -race -short -timeout 9m -skip '^TestRoot' $(CORE)

fuzz: ## every fuzz target for FUZZTIME (20s)
	@tools/fuzz.sh

mutate: ## take each guard of deletion out of the code: a test must fail every time (P18)
	@echo "bound 30m"
	@timeout --foreground -s INT -k 20 30m $(GO) run ./internal/mutate

bench: build ## puts and recorded reads on three nodes, and a restart with COUNT bundles (COUNT=0: none)
	@tools/bench.sh

bench-expiry: ## rates of expiry and erasure with COUNT (2000000) bundles of 512 bytes, and the foreground beside it
	COUNT=$(or $(COUNT),2000000) $(GO) test -count=1 -timeout 6h -v -run '^TestExpiryRates$$' ./replication

lint: ## format, vet, staticcheck, project rules, protos, generated code, go.mod
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (gofmt):"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	$(GO) test -count=1 -timeout 2m ./internal/rules
	$(GO) run ./internal/mutate -list >/dev/null
	$(BUF) lint
	$(BUF) breaking --against $(BASELINE)
	tools/check-generated.sh
	$(GO) mod tidy -diff

generate: ## the Go beside the protos, and the test column of docs/pitfalls.md
	$(BUF) generate
	$(GO) test -count=1 -run '^TestPitfallsTable$$' ./internal/rules -update

proto-baseline: ## promise the protos as they are now: `make lint` holds later changes against this image
	$(BUF) build --exclude-source-info -o $(BASELINE)

ci: ## what .ci/run runs
	@echo "bound 45m (kept by .ci/run)"
	$(MAKE) --no-print-directory lint
	$(MAKE) --no-print-directory test
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory test-root; else echo "test-root: not run, needs root"; fi
	$(MAKE) --no-print-directory race
	$(MAKE) --no-print-directory fuzz FUZZTIME=5s
	$(MAKE) --no-print-directory demo

clean: ## remove what build wrote
	rm -rf bin dist
