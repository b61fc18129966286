#!/usr/bin/env bash
# What the load report is made of, each measurement a step of at most 3 minutes, but for backlog and claims, of at most 4:
# scripts/report.sh [STEP...]
# A step whose file is there is not measured again, so an interrupted report goes on where it was; rm -r bin/report begins
# anew. On a machine that others use, UNDER is a command that waits for it: UNDER='flock /tmp/lock' scripts/report.sh
set -euo pipefail
cd "$(dirname "$0")/.."

dir=${REPORT_DIR:-bin/report}
rounds=${REPORT_ROUNDS:-5}
more_rounds=${REPORT_ROUNDS:-11} # of what differs most from round to round: a p99, and what waits for several stores
lasts=${REPORT_LASTS:-3s}
short=${REPORT_LASTS:-2s}    # where there are more rounds, or several steps of a kind
shortest=${REPORT_LASTS:-1s} # where a chart has many points
claims=${REPORT_CLAIMS:-10000000}
events=${REPORT_EVENTS:-1000000}
connections=${REPORT_CONNECTIONS:-10000}
million=1000000 # claims, of which the targets speak
wanted=" $* "
failed=

# step NAME SUFFIX COMMAND...: SUFFIX json is written by the command itself, txt is what it prints.
step() {
  local name=$1 file=$dir/$1.$2
  local command=("${@:3}")
  [[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
  [[ -s $file ]] && return 0
  echo "=== $name: ${command[*]}"
  case $2 in
    json) ${UNDER:-} "${command[@]}" --json "$file.part" ;;
    txt) ${UNDER:-} "${command[@]}" | tee "$file.part" ;;
  esac || { failed+=" $name"; return 0; }
  printf '%s\n' "${command[*]}" "commit $(git describe --always --dirty)" >"$dir/$name.command"
  mv "$file.part" "$file"
}

compare() { step "$1" json bin/load compare --rounds "$rounds" --lasts "$lasts" "${@:2}"; }

mkdir -p "$dir"
eval "$(scripts/services.sh env)"
for path in refusal replay drop; do
  compare "$path" --paths "$path"
  compare "$path-jwt" --paths "$path" --auth jwt
done
for path in grant grant-consumer; do
  rounds=$more_rounds lasts=$short compare "$path" --paths "$path"
  rounds=$more_rounds lasts=$short compare "$path-jwt" --paths "$path" --auth jwt
done
compare many-campaigns --paths many-campaigns
for open in 1 10 100 1000; do
  lasts=$short compare "open-$open" --paths many-campaigns --open "$open" --hot 1
done
compare drain --paths drain
rounds=1 compare backlog --paths backlog --events "$events"
compare issue-kafka --paths backlog --events "$((events / 10))"
rounds=$more_rounds lasts=$short compare latency --paths latency --shares 0.5
lasts=$shortest compare curve --paths latency --shares 0.1,0.25,0.5,0.7,0.8,0.9,1
for callers in 1 4 16 64 256 1024; do
  lasts=$shortest compare "callers-$callers" --paths grant --connections "$callers"
done
step memory json bin/load memory --claims "$((claims < million ? claims : million))" --connections "$connections"
step claims json bin/load memory --claims "$claims" --connections 0
step claim txt go -C pkg test -run '^$' -bench 'Claim$' -benchtime 3x -count "$rounds" ./redisstock
step issue txt go -C pkg test -run '^$' -bench 'Issue$/^500$' -benchtime 2s -count "$rounds" ./mysqlstore
[[ -z $failed ]] || { echo "not measured:$failed" >&2; exit 1; }
