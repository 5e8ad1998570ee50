# `make` alone lists what can be made. Tools that are missing are installed by scripts/tools.

CARGO ?= cargo
TOOLS := $(CURDIR)/.baton/tools
CARGO_BIN := $(if $(CARGO_HOME),$(CARGO_HOME),$(HOME)/.cargo)/bin

export PATH := $(PATH):$(CARGO_BIN)
export BATON_ANVIL ?= $(TOOLS)/bin/anvil

.DEFAULT_GOAL := help
.PHONY: help demo fleet test test-vault soak soak-mutants bench lint fmt tools
.PHONY: rust clippy anvil redis nginx deny sdk schemathesis deploy

help: ## List what can be made
	@echo 'Baton relays work to blockchains. Start with `make demo`.'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Pass options with ARGS, as in: make demo ARGS=--keep; make bench ARGS="--preset targets"'

demo: rust anvil ## Send 500 transfers, kill the engine half way, count what was executed
	$(CARGO) run --release --locked -p baton -- demo $(ARGS)

fleet: rust anvil redis nginx ## Run nginx, three instances and Redis, kill one of each under load, count what was executed
	$(CARGO) run --release --locked -p baton -- bench --scenario topology $(ARGS)

test: rust anvil redis sdk schemathesis deploy ## Run every test
	$(CARGO) test --workspace --locked $(ARGS)

test-vault: rust anvil ## Test signers against the HashiCorp Vault that BATON_VAULT, or the PATH, names
	$(CARGO) test --locked -p baton-vault --test real_vault $(ARGS)

soak: rust ## Run seeds of the simulator until stopped; replay one with ARGS="--seed N"
	$(CARGO) run --release --locked -p baton-sim --bin soak -- $(ARGS)

soak-mutants: rust ## Make deliberate mistakes, one by one, and have the simulator find each
	$(CARGO) run --locked -p baton-sim --bin mutants -- $(ARGS)

bench: rust anvil redis nginx ## Measure: store commits, signing, then a relayer under load
	$(CARGO) bench --workspace --locked
	$(CARGO) run --release --locked -p baton -- bench $(ARGS)

lint: rust clippy deny ## Check format, lints, documentation and dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

fmt: rust clippy ## Format the sources
	$(CARGO) fmt --all

tools: rust clippy anvil redis nginx deny sdk schemathesis deploy ## Install what the other targets need, and say what was done

rust clippy anvil redis nginx deny sdk schemathesis deploy:
	@scripts/tools $@
