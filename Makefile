SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

MODULES := $(patsubst $(CURDIR)/%,%,$(shell go list -m -f '{{.Dir}}'))
PROGRAMS := api-server consumer batch
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X github.com/seonchak/seonchak/pkg/service.version=$(VERSION)
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := bin/tools/golangci-lint-$(GOLANGCI_LINT_VERSION)
K6_VERSION := v1.8.1
K6 := bin/tools/k6-$(K6_VERSION)

# with_stores runs a command with the addresses of the stores in its environment.
with_stores = eval "$$(scripts/services.sh env)";

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: build services ## watch 50,000 applies become exactly 1,000 coupons, on this machine
	@$(with_stores) bin/demo --bin bin

.PHONY: test
test: build ## everything CI runs except lint: stores, then all tests with -race
	@scripts/test.sh

.PHONY: test-unit
test-unit: ## the tests that need the Go toolchain only
	@for m in $(MODULES); do env -u REDIS_URL -u KAFKA_BROKERS -u MYSQL_DSN -u SEONCHAK_REQUIRE_REAL go -C $$m test ./...; done

.PHONY: bench
bench: build services ## the benchmarks: ratios of two things measured in one run
	@scripts/bench.sh

.PHONY: bench-compare
bench-compare: services ## the Go benchmarks against the previous commit, by turns, compared by benchstat
	@scripts/bench-compare.sh

.PHONY: report
report: build services ## measure every target, in steps that can be interrupted, and write docs/load-report.md
	@scripts/report.sh
	@bin/load report

.PHONY: load
load: build services ## the load tool: 1,000 coupons, 100,000 users in 10 s; more in bin/load --help
	@$(with_stores) bin/load run

# The page of a lab on MySQL is another than that of one on MariaDB.
LAB := lab$(if $(filter mysql,$(SEONCHAK_MYSQL)),-mysql)

.PHONY: lab
lab: build services ## every known way to do it side by side, about 20 minutes; STRATEGY=for-update runs one
	@$(with_stores) bin/lab run --bin bin --results bin/$(LAB)-results --commit $(VERSION) $(if $(STRATEGY),--again $(STRATEGY))
	@$(if $(STRATEGY),,bin/lab report --results bin/$(LAB)-results --page docs/$(LAB).md)

.PHONY: model
model: ## every reachable state of the model of the protocol, in all its configurations
	@SEONCHAK_MODEL=full go -C pkg test -count=1 -v -timeout 30m -run TestNoPromiseBreaks ./fence/model

.PHONY: chaos
chaos: chaos-programs ## the fault suite, short form: at most 10 minutes on 2 cores
	@bin/chaos

.PHONY: chaos-long
chaos-long: chaos-programs ## the fault suite, long form: hours; goes on where it was interrupted
	@tools/chaos/build.sh bin/chaos-programs/clocked clocked
	@bin/chaos --long --rate 500 --ledger bin/chaos-ledger.jsonl

.PHONY: chaos-planted
chaos-planted: ## programs with a bug each: the fault suite must catch every one
	@go build -o bin/chaos ./tools/chaos
	@tools/chaos/build.sh bin/chaos-programs/planted planted
	@bin/chaos planted --programs bin/chaos-programs/planted

.PHONY: chaos-programs
chaos-programs: ## the programs of the fault suite, with crash points, into bin/chaos-programs
	@go build -o bin/chaos ./tools/chaos
	@tools/chaos/build.sh bin/chaos-programs

.PHONY: services
services: ## real Redis, Kafka and MySQL for tests and local runs
	@scripts/services.sh up

.PHONY: services-down
services-down: ## stop the stores that `services` started
	@scripts/services.sh down

.PHONY: build
build: ## the programs, into bin/
	@for p in $(PROGRAMS); do go build -ldflags '$(LDFLAGS)' -o bin/$$p ./$$p; done
	@go build -o bin/demo ./tools/demo
	@go build -o bin/load ./tools/load
	@go build -o bin/lab ./tools/lab

.PHONY: run
run: build services migrate ## api-server and consumer on the local stores, until Ctrl-C
	@$(with_stores) export AUTH_MODE=dev LOG_FORMAT=text HTTP_ADDR=127.0.0.1:8080; trap 'kill 0' EXIT; \
	ADMIN_ADDR=127.0.0.1:8082 bin/consumer & ADMIN_ADDR=127.0.0.1:8081 bin/api-server & wait

.PHONY: migrate
migrate: build services ## the schema and the topics on the local stores
	@$(with_stores) KAFKA_REPLICATION_FACTOR=1 bin/batch migrate

.PHONY: lint
lint: $(GOLANGCI_LINT) ## linters, and each module by itself without the workspace
	@failed=0; for m in $(MODULES); do \
		(cd $$m && $(CURDIR)/$(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || failed=1; \
		GOWORK=off go -C $$m vet ./... || failed=1; \
	done; \
	for f in $$(git ls-files '*.sh' .ci/run); do bash -n $$f || failed=1; done; exit $$failed

$(GOLANGCI_LINT):
	@GOBIN=$(CURDIR)/bin/tools go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	@mv bin/tools/golangci-lint $@

.PHONY: k6
k6: $(K6) ## k6, for scripts/k6, into bin/tools

$(K6):
	@rm -f bin/tools/k6-*
	@GOBIN=$(CURDIR)/bin/tools go install -ldflags '-s -w' go.k6.io/k6@$(K6_VERSION)
	@mv bin/tools/k6 $@

.PHONY: check
check: lint test ## lint and test

.PHONY: tidy
tidy: ## level the versions of all modules
	@go work sync
	@for m in $(MODULES); do GOWORK=off go -C $$m mod tidy; done

.PHONY: up
up: ## the whole system from images, by docker compose
	@docker compose up --build --detach --wait

.PHONY: down
down: ## stop what `up` started; volumes are kept
	@JWT_HMAC_SECRET=$${JWT_HMAC_SECRET:-none-is-needed-to-stop} docker compose down
