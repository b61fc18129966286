#!/usr/bin/env bash
# The Go benchmarks of this tree against those of an older commit, by turns on the same stores, compared by benchstat.
# scripts/bench-compare.sh [COMMIT]; BENCH (a pattern), PACKAGES, COUNT (turns) and BENCHTIME say what is measured. UNDER is a
# command to measure under, such as flock FILE.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${1:-}
if [[ -z $base ]]; then # what is not committed yet is compared with the commit, a clean tree with the one before it
  base=HEAD
  git diff --quiet HEAD -- && base=HEAD~1
fi
bench=${BENCH:-.}
# Not pkg/fence and api-server/internal/soldout: each turn of theirs loads millions, for minutes.
packages=${PACKAGES:-api-server/internal/httpapi api-server/internal/apply pkg/event pkg/redisstock pkg/kafkastream pkg/mysqlstore}
count=${COUNT:-6}
benchtime=${BENCHTIME:-0.3s}

work=$(mktemp -d)
trap 'git worktree remove --force "$work/old" 2>/dev/null; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/old" "$base"
[[ -n ${REDIS_URL:-} && -n ${KAFKA_BROKERS:-} && -n ${MYSQL_DSN:-} ]] || eval "$(scripts/services.sh env)"
echo "# this tree against $(git describe --always "$base"), $(nproc) cores, ${SEONCHAK_STORES:-}"

# The programs are built once, so that no turn holds a compiler.
for package in $packages; do
  for tree in old new; do
    root=$PWD
    [[ $tree == old ]] && root=$work/old
    [[ -d $root/$package ]] || continue
    go -C "$root/${package%%/*}" test -c -o "$work/$tree-${package//\//_}" "./${package#*/}"
  done
done
for ((turn = 0; turn < count; turn++)); do
  order="old new"
  ((turn % 2)) && order="new old"
  for package in $packages; do
    for tree in $order; do
      program=$work/$tree-${package//\//_}
      [[ -x $program ]] || continue
      root=$PWD
      [[ $tree == old ]] && root=$work/old
      (cd "$root/$package" && ${UNDER:-} "$program" -test.run '^$' -test.bench "$bench" -test.benchtime "$benchtime" -test.benchmem) >>"$work/$tree.txt"
    done
  done
done
touch "$work/old.txt" "$work/new.txt"
go -C tools tool benchstat "$work/old.txt" "$work/new.txt"
