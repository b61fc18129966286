#!/usr/bin/env bash
# The programs the fault suite runs, with crash points that can be armed.
#
#   build.sh <folder>          the programs: SEONCHAK_FAILPOINTS="C3=17" kills one at its 17th pass of C3
#   build.sh <folder> planted  with bugs that can be switched on: SEONCHAK_PLANTED=<bug>
#   build.sh <folder> clocked  with a clock that can be wrong: SEONCHAK_CLOCK=+1h
#
# A clock: Go programs ask the kernel for the time past the C library, so libfaketime does not reach them. The standard
# library's time.Now is overlaid at build time instead; nothing of it is in any other program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=$1 kind=${2:-} tags=failpoints overlay=()
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
[[ $kind != planted ]] || tags=failpoints,planted

if [[ $kind == clocked ]]; then
  source=$(go env GOROOT)/src/time
  made=$(mktemp -d)
  trap 'rm -rf "$made"' EXIT
  sed 's/^\tsec, nsec, mono := runtimeNow()$/&\n\tsec += clockShift/' "$source/time.go" >"$made/time.go"
  grep -q clockShift "$made/time.go" || { echo 'build.sh: time.Now is not what it was: the overlay does not fit' >&2 && exit 1; }
  cp tools/chaos/clock.go.txt "$made/clock.go"
  printf '{"Replace": {"%s": "%s", "%s": "%s"}}\n' \
    "$source/time.go" "$made/time.go" "$source/zclock.go" "$made/clock.go" >"$made/overlay.json"
  overlay=(-overlay "$made/overlay.json")
fi

for program in api-server consumer batch; do
  go build ${overlay[@]+"${overlay[@]}"} -tags "$tags" -o "$folder/$program" "./$program"
done
