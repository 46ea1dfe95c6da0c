# What a person does with a checkout. `make help` lists the targets; each is one line of shell that can be read here.

CARGO ?= cargo
DESTDIR ?= stage
TYPE ?= local
INTERNAL_OPTIONS ?= internal_options.conf
MAXAGENTS ?=
export DESTDIR TYPE INTERNAL_OPTIONS MAXAGENTS

.PHONY: help build check test demo bench stage setmaxagents

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 22

build: ## Compile all programs, optimised, into target/release
	$(CARGO) build --release --locked

check: ## Check format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

test: ## Run all tests (with cargo-nextest if it is installed)
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then echo '$(CARGO) nextest run --workspace --locked'; $(CARGO) nextest run --workspace --locked; \
	else echo '$(CARGO) test --workspace --locked'; $(CARGO) test --workspace --locked; fi

demo: build ## Watch the suite catch attacks: one host, then a manager and two agents; without root rights
	@sh tests/demo.sh

bench: build ## Measure throughput, latency and memory
	@sh bench/run.sh

stage: build ## Lay out an install root in ./stage (or DESTDIR=...), owned by you
	@sh install.sh --stage "$$DESTDIR" --type "$$TYPE" --no-build

setmaxagents: ## Set how many agents a manager accepts (asks, or takes MAXAGENTS=...)
	@sh src/setmaxagents.sh "$$INTERNAL_OPTIONS" "$$MAXAGENTS"
