#!/usr/bin/env bash
# Tries scripts/services.sh in a state folder of its own, with private instances and stand-ins only. Linux.
# Under a minute once the packages and jars are there. Usage: scripts/services_test.sh
set -euo pipefail

SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$(mktemp -d)
FAILED=0 OUTPUT='' CODE=0
unset REDIS_URL KAFKA_BROKERS MYSQL_DSN SEONCHAK_SERVICES SEONCHAK_MYSQL SEONCHAK_REQUIRE_REAL SEONCHAK_STORES
export SEONCHAK_SERVICES_DIR=$WORK/state SEONCHAK_SERVICES_MAX_AGE=10m

# services <argument...>: leaves both streams in OUTPUT and the exit code in CODE.
services() {
  CODE=0
  OUTPUT=$("$SCRIPTS/services.sh" "$@" 2>&1) || CODE=$?
}
ok() { printf 'ok    %s\n' "$1"; }
bad() {
  printf 'FAIL  %s\n%s\n' "$1" "${OUTPUT//$'\n'/$'\n      '}"
  FAILED=1
}
check() { # <what> <command...>
  if "${@:2}"; then ok "$1"; else bad "$1 (exit code $CODE)"; fi
}
worked() { [[ $CODE == 0 ]]; }
says() { [[ $OUTPUT == *"$1"* ]]; }
# refused <text>: failed, and said so in one line with this text.
refused() { [[ $CODE != 0 && $OUTPUT == *"$1"* && $OUTPUT != *$'\n'* ]]; }
pid_of() { cut -d' ' -f1 "$SEONCHAK_SERVICES_DIR/$1/pid"; }
running() { kill -0 "$1" 2>/dev/null && [[ $(cut -d' ' -f3 "/proc/$1/stat") != Z ]]; }
not() { ! "$@"; }

# listen <port>: somebody else takes the port. Sets LISTENER.
listen() {
  redis-server --port "$1" --bind 127.0.0.1 --save '' --dir "$WORK" >/dev/null 2>&1 &
  LISTENER=$!
  until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do sleep 0.05; done
}
# redis <port> <word...>: one command, one line of answer.
redis() {
  local port=$1 word reply
  shift
  exec 3<>"/dev/tcp/127.0.0.1/$port"
  { printf '*%d\r\n' $# && for word in "$@"; do printf '$%d\r\n%s\r\n' ${#word} "$word"; done; } >&3
  read -r -t 3 reply <&3
  [[ $reply != '$'* ]] || read -r -t 3 reply <&3
  exec 3>&-
  printf '%s\n' "${reply%$'\r'}"
}

cleanup() {
  local dir
  kill "${LISTENER:-}" 2>/dev/null || true
  for dir in "$WORK"/*/; do SEONCHAK_SERVICES_DIR=$dir "$SCRIPTS/services.sh" down >/dev/null 2>&1 || true; done
  rm -rf "$WORK"
}
trap cleanup EXIT

test_up_twice() {
  local first
  services env
  check 'env before up: an error' refused 'nothing is up'
  SEONCHAK_SERVICES=native services up
  check 'up, native' worked
  services env
  first=$OUTPUT
  # With the addresses in the environment: they are our own, and no reason to think them given from outside.
  services_with "$first" up
  check 'a second up finds the first' says 'already up'
  check 'and takes nothing for given' not says 'is set, and it answers'
  services env
  check 'env: the same addresses' test "$OUTPUT" == "$first"
  services status
  check 'status: all up' worked
  eval "$first"
  REDIS_PORT=${REDIS_URL##*:} REDIS_PORT=${REDIS_PORT%/*}
  unset REDIS_URL KAFKA_BROKERS MYSQL_DSN
}
services_with() { # <export lines> <argument...>
  CODE=0
  OUTPUT=$(eval "$1" && "$SCRIPTS/services.sh" "${@:2}" 2>&1) || CODE=$?
}

test_given_address() {
  SEONCHAK_SERVICES_DIR=$WORK/given services_with "export REDIS_URL=redis://127.0.0.1:$REDIS_PORT/0" up redis
  check 'a given address is used' says 'REDIS_URL is set, and it answers'
  SEONCHAK_SERVICES_DIR=$WORK/given services kill redis
  check 'and not ours to end' refused 'not ours'
  SEONCHAK_SERVICES_DIR=$WORK/given services down
  check 'down leaves it alone' test "$(redis "$REDIS_PORT" PING)" == +PONG
  SEONCHAK_SERVICES_DIR=$WORK/given SEONCHAK_SERVICES=env services_with 'export KAFKA_BROKERS=127.0.0.1:1' up kafka
  check 'a given address that is silent' says 'KAFKA_BROKERS does not answer'
}

test_outages() {
  local before store
  services env
  before=$OUTPUT
  redis "$REDIS_PORT" SET kept yes >/dev/null
  services stop redis
  services start redis
  check 'redis: stopped, started, data kept' test "$(redis "$REDIS_PORT" GET kept)" == yes
  for store in redis kafka mysql; do services kill "$store"; done
  services status
  check 'status after kill: down' says down
  services up
  check 'up after kill' says 'was down, started again'
  services status
  check 'status: all up again' worked
  services env
  check 'on the old ports' test "$OUTPUT" == "$before"
}

test_port_taken() {
  services stop redis
  listen "$REDIS_PORT"
  services up
  check 'its port taken by another' refused "port $REDIS_PORT is in use"
  services down
  check 'down' worked
  check 'down ends nobody else' running "$LISTENER"
  SEONCHAK_SERVICES=native services up redis
  check 'after a down another port will do' worked
  kill "$LISTENER"
  wait "$LISTENER" 2>/dev/null || true
}

test_down() {
  local pid
  pid=$(pid_of redis/native)
  check 'redis runs' running "$pid"
  services down
  check 'down ended it' not running "$pid"
  services status
  check 'status after down' refused 'nothing is up'
  echo "$$ 1" >"$SEONCHAK_SERVICES_DIR/redis/native/pid"
  services down
  check 'a stale pid file kills nobody' worked # the victim would be this test
}

# without_java: a PATH with everything but a JVM.
without_java() {
  local file
  mkdir -p "$WORK/path"
  for file in /usr/bin/* /usr/local/bin/* /usr/sbin/*; do
    case ${file##*/} in java | mvn | docker) ;; *) ln -sf "$file" "$WORK/path/" ;; esac
  done
  ln -sf "$(command -v go)" "$WORK/path/go"
  echo "$WORK/path"
}

test_error_lines() {
  local path
  path=$(without_java)
  export SEONCHAK_SERVICES_DIR=$WORK/errors
  PATH=$path JAVA_HOME='' SEONCHAK_INSTALL=0 SEONCHAK_SERVICES=native services up kafka
  check 'no JVM' refused 'no JVM 17'
  PATH=$path JAVA_HOME='' SEONCHAK_INSTALL=0 SEONCHAK_REQUIRE_REAL=1 services up kafka
  check 'no JVM, and a stand-in will not do' refused 'a stand-in will not do'
  PATH=$path JAVA_HOME='' SEONCHAK_INSTALL=0 services up kafka
  check 'no JVM: the stand-in, with a warning' says 'WARNING: kafka is a stand-in'
  SEONCHAK_SERVICES_MIN_MB=999999999 SEONCHAK_SERVICES=native services up redis
  check 'a full disk' refused 'the disk is full'
  SEONCHAK_SERVICES=nowhere services up
  check 'a step that does not exist' refused 'SEONCHAK_SERVICES=nowhere'
  services up postgres
  check 'a store that does not exist' refused "unknown store 'postgres'"
  SEONCHAK_SERVICES_DIR=/proc/nowhere services up
  check 'a folder that cannot be written' refused 'cannot write to /proc/nowhere'
}

test_embedded() {
  local pid
  export SEONCHAK_SERVICES_DIR=$WORK/embedded SEONCHAK_SERVICES=embedded
  services up redis kafka
  check 'embedded: up' worked
  check 'embedded: warns' says 'redis is a stand-in'
  pid=$(pid_of redis/embedded)
  services status
  check 'embedded: answers' worked
  services up mysql
  check 'embedded: the database is a real one' says 'native'
  SEONCHAK_SERVICES=env services up mysql
  check 'no database: says what to install' says 'Install mariadb-server'
  SEONCHAK_REQUIRE_REAL=1 services up redis
  check 'embedded: refused where real is required' says 'a stand-in will not do'
  services down
  check 'embedded: down' not running "$pid"
}

test_up_twice
test_given_address
test_outages
test_port_taken
test_down
test_error_lines
test_embedded
((FAILED == 0)) && echo 'all ok' || exit 1
