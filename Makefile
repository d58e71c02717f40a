# One command per wish; each is a short script in scripts/. `make` alone prints this table.

DESTDIR ?=
PREFIX ?= /usr
IMG ?=
CLEAN ?=
export DESTDIR PREFIX IMG

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check setup generate bench install uninstall deploy deploy-openshift undeploy install-crds uninstall-crds run-on-kind clean

help: ## this table
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## sets everything up, then shows the main job on real traffic (root)
	@scripts/need-root "make demo"
	@scripts/setup
	@scripts/demo

test: ## sets everything up, then checks and runs all tests (root)
	@scripts/test

test-fast: ## unit and contract tests, under a minute (no root once set up)
	@scripts/test-fast

check: setup ## lint, format, types, layers, generated files
	@scripts/check

setup: ## packages, .venv, BPF objects, mounts; leaves .venv/bin/skep (root the first time)
	@scripts/setup

generate: setup ## src/skep/pb from proto/
	@scripts/generate

bench: ## the ratios of docs/benchmarks.md, as JSON (root)
	@scripts/need-root "make bench"
	@scripts/setup
	@scripts/bench

install: ## into DESTDIR= PREFIX=/usr: program, units, completions, man pages
	@scripts/install

uninstall: ## removes what `make install` put there, and nothing else
	@scripts/uninstall

deploy: ## into the cluster of kubectl: IMG=registry.example/skep:1.0 MONITORING=yes
	@scripts/deploy

deploy-openshift: ## the same with what OpenShift asks for (SCC, monitoring)
	@OPENSHIFT=yes scripts/deploy

undeploy: ## out of that cluster, applications and nodes' files too: CLEAN="--forget-node NODE"
	@scripts/undeploy $(CLEAN)

install-crds: ## only the kinds into that cluster
	@scripts/install-crds

uninstall-crds: ## the kinds out of it, if no application is left
	@scripts/uninstall-crds

run-on-kind: ## a kind cluster with an image of this checkout (needs kind, docker or podman)
	@scripts/run-on-kind

clean: ## removes everything that was built here, .venv included
	@rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
	@find bpf examples -name '*.bpf.o' -delete
