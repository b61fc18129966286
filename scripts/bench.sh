#!/usr/bin/env bash
# The benchmarks that carry a figure in the README: each is a ratio of two things measured in turn in one run.
set -euo pipefail
cd "$(dirname "$0")/.."

bench() { # bench MODULE PATTERN PACKAGE TIME
  go -C "$1" test -run '^$' -bench "$2" -benchtime "$4" -timeout 20m "./$3"
}

eval "$(scripts/services.sh env)"
echo "# $(date -u +%F), $(nproc) cores, $(go version | cut -d' ' -f3), $SEONCHAK_STORES"
bench pkg 'Claim|Memory' redisstock 3x
bench pkg 'Publish' kafkastream 3s
bench pkg 'Issue$|Direct$' mysqlstore 3s
bench pkg 'Rebuild' fence 1x
bench e2e 'Cost|ModeSQL' . 1x
bin/load compare --paths grant-consumer --floors gin --rounds 7
if SEONCHAK_MYSQL=mysql scripts/services.sh up mysql; then
  eval "$(SEONCHAK_MYSQL=mysql scripts/services.sh env)"
  echo "# $SEONCHAK_STORES"
  bench pkg 'Issue$|Direct$' mysqlstore 3s
fi
