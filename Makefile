# What there is to do; `make` alone prints it. The two commands of the README,
# demo and test, install what they need on Debian, or say how.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where Go's own installer puts it, for shells that were not told.
export PATH := $(PATH):/usr/local/go/bin
# Where a checkout belongs to someone else git answers nothing, and the go
# command, which asks it, refuses to build.
export GOFLAGS := $(filter-out -buildvcs%,$(GOFLAGS)) -buildvcs=false

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)

GO_BUILD = go build -trimpath -ldflags '-s -w -X github.com/jailrun/jailrun/sandbox.Version=$(VERSION)' -o bin/

# The linker writes through a mapping, page by page, and so lies the program in
# the page cache; as a copy, as an installer makes it, it starts 7 % faster.
RELAY = rm -f bin/*~; for f in bin/*; do cp -p "$$f" "$$f~"; mv "$$f~" "$$f"; done

.PHONY: help
help: ## print this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: build
build: ## every program into bin/, static and without cgo but for jailrun-seccomp
	@scripts/need build
	CGO_ENABLED=0 $(GO_BUILD) ./cmd/...
	@if scripts/need seccomp; then CGO_ENABLED=1 $(GO_BUILD) -tags libseccomp ./cmd/jailrun-seccomp; else \
		echo 'left out: bin/jailrun-seccomp, for jailrun seccomp and --seccomp FILE'; fi
	@$(RELAY)

.PHONY: demo
demo: ## run seven untrusted programs under jailrun and show what became of each
	@scripts/need demo
	@$(MAKE) --no-print-directory build
	@scripts/demo

.PHONY: demo-vm
demo-vm: ## the same in a small machine, where the kernel holds every limit, with both ledgers
	@scripts/need demo
	@$(MAKE) --no-print-directory build
	@scripts/demo-vm

.PHONY: test
test: ## vet, the tests with the race detector, and the same in two small machines (tests/README.md)
	@scripts/need test
	go vet ./...
	scripts/test ./...
	if scripts/need seccomp; then scripts/test -tags libseccomp ./cmd/jailrun-seccomp ./sandbox/seccomp/reference; fi
	go run ./tests/lanes uml systemd

.PHONY: test-all
test-all: test ## also a slow machine, four kernels, whole matrices, 10000 jobs, the corpus 20 times, fuzzing
	go test -count=1 -timeout 30m ./tests/vm -lanes=systemd,qemu
	go run ./tests/lanes -timeout 15m qemu matrix
	go run ./tests/lanes -timeout 15m -pkg tests/attacks uml systemd qemu
	JAILRUN_TEST_ALL=1 JAILRUN_TEST_TIMEOUT=60m scripts/test ./tests ./tests/attacks ./tests/crash ./tests/soak
	go run ./tests/lanes -timeout 15m -pkg '^./tests/soak$$' uml
	JAILRUN_CORPUS_RUNS=20 go run ./tests/lanes -pkg tests/corpus -timeout 90m host uml systemd
	scripts/fuzz 1m

.PHONY: lint
lint: ## golangci-lint, with the import arrows between packages
	@scripts/need lint
	"$$(scripts/tool golangci-lint)" run ./...

.PHONY: fmt
fmt: ## format the Go files
	@scripts/need lint
	"$$(scripts/tool golangci-lint)" fmt ./...

.PHONY: generate
generate: ## compile the system call filters from their profiles, with libseccomp
	@scripts/need generate
	go generate ./...

.PHONY: check-generate
check-generate: ## fail if a checked-in filter is not what the generator makes
	@scripts/need generate
	go run -tags gen ./sandbox/seccomp/gen -check -dir sandbox/seccomp

.PHONY: bench
bench: ## start-up and memory against bubblewrap and a C program; prints the README's table
	@scripts/need bench
	@$(MAKE) --no-print-directory build
	@scripts/bench

.PHONY: clean
clean: ## remove bin/
	rm -rf bin
