# Needs Go 1.26 and bash; `make test` installs what else it needs on Debian.
SHELL := /bin/bash
GO ?= go
CACHE := $(or $(TOLLSTREAM_CACHE),$(CURDIR)/.cache)
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(CACHE)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
FUZZTIME ?= 10s
SCHEDULES ?= 100000
ARGS ?= --demo

export TOLLSTREAM_CACHE := $(CACHE)
.DEFAULT_GOAL := help
.PHONY: help run test unit lint simulate bench chaos fuzz need-go

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: need-go ## build tollstream and run it with embedded stores and the demo, data in ./data
	$(GO) build -o bin/tollstream ./cmd/tollstream
	bin/tollstream run $(ARGS)

# One set of servers per call: it neither meets nor stops those that somebody
# started by hand, and it is stopped whatever happens.
with-servers = set -e; deploy/servers/servers install; \
	export TOLLSTREAM_SERVERS=make-$$$$; \
	trap 'deploy/servers/servers stop' EXIT; trap 'exit 130' INT TERM; \
	deploy/servers/servers start >/dev/null; \
	. "$(CACHE)/servers/$$TOLLSTREAM_SERVERS/env"; \
	export CI=true;

test: need-go ## install and start real servers, run all tests on them, stop them
	@export TOLLSTREAM_SERVERS_FSYNC=off; $(with-servers) $(GO) test -p 2 -timeout 20m ./...

unit: need-go ## the tests that need no server, quickly
	@unset CI $${!TOLLSTREAM_TEST_@}; $(GO) test -short -timeout 5m ./...

lint: need-go $(GOLANGCI) ## go vet and golangci-lint
	$(GO) vet ./...
	$(GOLANGCI) run --allow-parallel-runners --timeout 15m ./...

$(GOLANGCI):
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

simulate: need-go ## the rater under SCHEDULES (100000) seeded schedules, and every fault; write bench/results
	@$(GO) test ./rater -run 'TestSimulationReport$$' -count=1 -timeout 0 -v -schedules $(SCHEDULES) -report "$(CURDIR)/bench/results"

bench: need-go ## measure on real servers, write bench/results; BENCH="-help" lists what can be set
	@$(with-servers) $(GO) run -pgo=cmd/tollstream/default.pgo ./bench $(BENCH)

chaos: need-go ## disturb an installation on real servers for 200 rounds, write bench/results; CHAOS="-help" lists what can be set
	@deploy/servers/servers install
	@$(GO) run ./bench/chaos $(CHAOS)

fuzz: need-go ## every fuzz target, FUZZTIME (10s) each
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "$$(dirname "$$file") $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
		done; \
	done

need-go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 is needed: https://go.dev/dl" >&2; exit 1; }
