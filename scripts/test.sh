#!/usr/bin/env bash
# All tests of all modules with the race detector, on real stores; the database tests on MariaDB and on MySQL.
set -euo pipefail
cd "$(dirname "$0")/.."

# The database server that the whole suite runs on, and the one that the database tests are repeated on.
first=${SEONCHAK_MYSQL:-mariadb}
second=mysql
[[ $first == mysql ]] && second=mariadb

modules() { go list -m -f '{{.Dir}}'; }

on() { # on SERVER COMMAND...: runs a command with the addresses of the stores, SERVER being the database
  local server=$1
  shift
  SEONCHAK_MYSQL=$server scripts/services.sh up
  (
    eval "$(SEONCHAK_MYSQL=$server scripts/services.sh env)"
    "$@"
  )
}

stores_with() { (eval "$(SEONCHAK_MYSQL=$1 scripts/services.sh env)" && echo "$SEONCHAK_STORES"); }

# k6 takes minutes to build, and only the last module needs it.
k6_in_time() {
  nice -n 19 make -s k6 &
  k6=$!
}

all_modules() {
  local m k6
  k6_in_time
  for m in $(modules | grep -v '/e2e$') "$PWD/e2e"; do
    [[ $m != */e2e ]] || wait "$k6"
    # -count=1: Go's test cache does not see the programs that a test builds, nor files outside the module.
    go -C "$m" test -race -count=1 -timeout 15m ./...
  done
}

# What counts states, schedules, operations and allocations is run without the race detector: it costs ten times as many, and
# makes pools forget.
evidence() {
  go -C pkg test -count=1 -timeout 10m ./fence/model
  go -C pkg test -count=1 -timeout 10m -run Conformance -v ./redisstock | grep -v '^=== '
  go -C api-server test -count=1 -v -run Allocates ./internal/apply ./internal/httpapi | grep -v '^=== '
  go -C api-server test -count=1 -timeout 10m -v -run 'TestSimulation|TestACrowd' ./internal/simulation | grep -v '^=== '
}

database_tests() {
  go -C pkg test -count=1 ./mysqlstore/
  go -C batch test -count=1 ./...
  go -C tools test -count=1 ./lab/trial
}

on "$first" all_modules
on "$first" evidence
# Without a second server a laptop still tests; CI, where every store must be real, does not get by without it.
if SEONCHAK_MYSQL=$second scripts/services.sh up mysql && [[ $(stores_with "$second") == *"$second "* ]]; then
  on "$second" database_tests
elif [[ ${SEONCHAK_REQUIRE_REAL:-} == 1 ]]; then
  echo "the database tests did not run on $second" >&2
  exit 1
else
  echo "the database tests were not repeated on $second: it could not be had" >&2
fi
