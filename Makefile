# Tidemark. `make help` explains every target.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build check test bench promql promql-cluster fuzz fuzz-promql deps format clean

NODE ?= node
BIN := node_modules/.bin
ARGS ?=
NPM_QUIET := --no-fund --no-audit --loglevel=error
TOOLS := node_modules/.installed-tools
SOURCES := $(shell find libs services -name '*.ts' -not -path '*/assembly/*' 2>/dev/null)
KERNELS := $(shell find libs/kernel/assembly -name '*.ts' 2>/dev/null)

help: ## Explain every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

run: build ## Start everything in one process: make run ARGS="--http-listen 0.0.0.0:8428"
	@bin/tidemark all $(ARGS)

build: dist/.built ## Install the npm packages, compile kernels and services into dist/

check: $(TOOLS) build ## Types, lint, house rules and unit tests
	@$(BIN)/tsc --noEmit -p tsconfig.test.json
	@$(BIN)/biome check --error-on-warnings .
	@$(BIN)/vitest run test/tidy.test.ts test/unit test/contract

test: deps $(TOOLS) build ## Everything: check, PromQL scripts, crash and end-to-end tests with real peers
	@$(BIN)/tsc --noEmit -p tsconfig.test.json
	@$(BIN)/biome check --error-on-warnings .
	@$(NODE) test/run.mjs

promql: $(TOOLS) build ## PromQL test scripts, passed / total per file; PROMQL_SCRIPTS=DIR runs another directory
	@$(NODE) test/promql/main.mjs

promql-cluster: $(TOOLS) build ## All PromQL test scripts on three storage processes, loaded by remote write
	@$(BIN)/vitest run test/promql/cluster.test.ts

bench: deps $(TOOLS) build ## Ratios against VictoriaMetrics and Prometheus in one run, then a bench for each hot file
	@$(NODE) test/bench/main.mjs $(ARGS)

fuzz: $(TOOLS) build ## Fuzz kernels, parsers and the WAL without end: FUZZ_SEED=… FUZZ_RUNS=…
	@FUZZ_RUNS=$${FUZZ_RUNS:-10000000} $(BIN)/vitest run --testTimeout=0 fuzz canary

fuzz-promql: $(TOOLS) build ## Ask a real Prometheus the same random queries without end: PROM_BIN=… FUZZ_SEED=… FUZZ_RUNS=…
	@$(NODE) test/promql/fuzz.mjs

format: $(TOOLS) ## Format all sources
	@$(BIN)/biome check --write .

clean: ## Remove what was built
	@rm -rf dist .test-results.json

# Running needs the compilers, but neither linter nor test tools.
node_modules/.installed: package.json package-lock.json
	@if [ ! $(TOOLS) -nt package-lock.json ]; then \
	  echo "installing npm packages"; npm ci --omit=dev $(NPM_QUIET); fi
	@touch $@

$(TOOLS): package.json package-lock.json
	@echo "installing npm packages and test tools"
	@npm ci $(NPM_QUIET)
	@touch node_modules/.installed $@

dist/.built: node_modules/.installed tsconfig.json libs/kernel/build.mjs $(SOURCES) $(KERNELS)
	@echo "building"
	@$(NODE) libs/kernel/build.mjs
	@$(BIN)/tsc -p tsconfig.json
	@touch $@

# Real peers for the end-to-end tests; installed where there is apt and a root user, skipped by name elsewhere.
deps:
	@missing=""; for p in prometheus victoria-metrics prometheus-node-exporter; do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
