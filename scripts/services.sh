#!/usr/bin/env bash
# Redis, Kafka and a MySQL-compatible server for tests and local runs. Loopback only, no passwords.
#
#   services.sh up [store...]            bring the stores up (all three, or those named: redis kafka mysql)
#   services.sh env                      print export lines: eval "$(scripts/services.sh env)"
#   services.sh status                   one line a store; exit 1 if one is down
#   services.sh down [--wipe]            end what `up` started; the data stays unless --wipe
#   services.sh stop|start|kill <store>  an outage: same port, same data afterwards (kill = SIGKILL)
#
# Each store by itself takes the first step that works:
#   env       an address given in REDIS_URL, KAFKA_BROKERS, MYSQL_DSN
#   docker    `docker compose`, if an engine answers
#   native    a private instance on a free port; what is missing is installed (apt-get, Maven, debootstrap)
#   embedded  a stand-in written in Go, for Redis and Kafka only: good for trying things, proves nothing
#
# Settings:
#   SEONCHAK_SERVICES=env|docker|native|embedded  allow only this step (embedded: for Redis and Kafka)
#   SEONCHAK_MYSQL=mysql|mariadb                  which server (default: the one installed, else MariaDB);
#                                                 both may run side by side, `env` prints the one picked
#   SEONCHAK_REQUIRE_REAL=1                       a stand-in, or MariaDB where MySQL was asked for, is an error
#   SEONCHAK_INSTALL=0                            install and download nothing
#   SEONCHAK_SERVICES_DIR                         ports, data and logs (default: .services in the repository)
#   SEONCHAK_CACHE_DIR                            downloads worth keeping (default: ~/.cache/seonchak)
#   SEONCHAK_SERVICES_MAX_AGE=12h                 a forgotten server ends itself after this long
#   SEONCHAK_KAFKA_DOORS="21001:31001 ..."        more listeners of the native broker, for clients behind a proxy: it
#                                                 listens on the first port and sends its clients to the second
#   SEONCHAK_SERVICES_MIN_MB=512                  free disk below which nothing is started
# shellcheck disable=SC2016 # quoted dollars are meant: for an inner bash, or in Redis's protocol
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${SEONCHAK_SERVICES_DIR:-$ROOT/.services}
CACHE=${SEONCHAK_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/seonchak}
MAX_AGE=${SEONCHAK_SERVICES_MAX_AGE:-12h}
MIN_MB=${SEONCHAK_SERVICES_MIN_MB:-512}
FORCED=${SEONCHAK_SERVICES:-}
REAL=${SEONCHAK_REQUIRE_REAL:-0}
PATIENCE=180 # seconds until a store answers: a Kafka broker needs many on a busy machine
WHY='' # why the steps before this one were passed over
umask 077                     # the records may hold a password that came with an address
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # database servers live there, and users' PATHs often lack it

say() { printf '%s\n' "$*" >&2; }
warn() { say "services.sh: WARNING: $*"; }
die() {
  say "services.sh: $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
# pass <reason>: this step cannot serve; the next one is tried. Always false, to end a function with.
pass() {
  WHY="${WHY:+$WHY; }$*"
  return 1
}

# --- Does it answer? Asked in the stores' own protocols, so that no client program is needed. ---

# exchange <host> <port> <request, printf escapes> <bytes to read>
exchange() {
  # bash -c: something `timeout` can end.
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2" && printf "$3" >&3 && head -c "$4" <&3' _ "$@" 2>/dev/null | tr '\0' ' '
}
listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# answer_<store> <host> <port>: true if the store serves there. version_<store>: what it says of itself.
answer_redis() {
  case $(exchange "$1" "$2" '*1\r\n$4\r\nPING\r\n' 7) in +PONG* | -NOAUTH*) ;; *) return 1 ;; esac
}
version_redis() {
  exchange "$1" "$2" '*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n' 80 | sed -n 's/^redis_version:\([0-9.]*\).*/\1/p'
}
answer_kafka() {
  # ApiVersions v0, correlation id 1: the length of the answer, then the 1 again (20: `exchange` turns 0 into a space).
  local reply
  reply=$(exchange "$1" "$2" '\0\0\0\012\0\022\0\0\0\0\0\01\377\377' 8 | od -An -tx1)
  [[ $reply == *"20 20 20 01"* ]]
}
answer_mysql() {
  # The server speaks first: protocol 10, then its version. MariaDB puts 5.5.5- before its own.
  local version
  version=$(exchange "$1" "$2" '' 48 | LC_ALL=C sed -n '2{s/^5\.5\.5-//;s/ .*//;p;}')
  [[ -n $version ]] && printf '%s\n' "$version"
}
version_mysql() { answer_mysql "$@"; }
version_kafka() { :; } # its protocol does not tell

# split_url <store> <url>: sets HOST and PORT (of the first address of a list).
split_url() {
  local address=$2
  if [[ $1 == mysql ]]; then
    address=${address##*@}
    address=${address#*(}
    address=${address%%)*}
  else
    address=${address#*://}
    address=${address##*@}
    address=${address%%[/,?]*}
  fi
  HOST=${address%:*} PORT=${address##*:}
  HOST=${HOST#[} HOST=${HOST%]}
  [[ $address == *:* ]] || case $1 in redis) PORT=6379 ;; kafka) PORT=9092 ;; mysql) PORT=3306 ;; esac
}

# --- What is known of each store: one folder a slot (redis, kafka, mariadb, mysql), in it one folder an
# --- instance (native, embedded) and a record of what `up` chose. ---

# write_record <slot> <step> <instance> <version> <address> <url> <why>
write_record() {
  local slot=$1
  shift
  mkdir -p "$STATE/$slot"
  printf '%s\n' "$@" >"$STATE/$slot/record"
}
# read_record <slot>: false if `up` has not served it.
read_record() {
  [[ -f $STATE/$1/record ]] || return 1
  { read -r STEP && read -r INSTANCE && read -r VERSION && read -r ADDRESS && read -r URL; } <"$STATE/$1/record"
  LABEL=${INSTANCE%%/*} # not always the slot: see try_native
  [[ $LABEL != - ]] || LABEL=$1
}
url_for() { # <store> <port>
  case $1 in
    redis) echo "redis://127.0.0.1:$2/0" ;;
    kafka) echo "127.0.0.1:$2" ;;
    mysql) echo "root@tcp(127.0.0.1:$2)/coupon" ;;
  esac
}
variable_for() {
  case $1 in redis) echo REDIS_URL ;; kafka) echo KAFKA_BROKERS ;; mysql) echo MYSQL_DSN ;; esac
}
known_store() {
  case $1 in redis | kafka | mysql) ;; *) die "unknown store '$1': redis, kafka or mysql" ;; esac
}
# slot_of <store>: what `env` and the outages mean by it.
slot_of() {
  local only=("$STATE"/m*/record)
  if [[ $1 != mysql ]]; then
    echo "$1"
  elif [[ -n ${SEONCHAK_MYSQL:-} ]]; then
    echo "$SEONCHAK_MYSQL"
  elif [[ -f $STATE/database ]]; then
    cat "$STATE/database" # what an `up` that was not told otherwise chose
  elif [[ ${#only[@]} == 1 && -f ${only[0]} ]]; then
    basename "$(dirname "${only[0]}")"
  else
    installed_database
  fi
}
# is_ours <url>: an address out of our own `env` is no address given from outside.
is_ours() {
  local file
  for file in "$STATE"/*/record "$STATE"/*/record.last; do
    [[ -f $file && $(sed -n 1p "$file") != env && $(sed -n 5p "$file") == "$1" ]] && return 0
  done
  return 1
}

# --- Processes ---

# birth <pid>: the start time of a living process. With the pid it names it beyond doubt, after a reboot too.
birth() {
  local stat
  read -r -a stat 2>/dev/null <"/proc/$1/stat" || return 1
  [[ ${stat[2]} != Z ]] && echo "${stat[21]}"
}
alive() { # <dir>
  local pid born
  read -r pid born 2>/dev/null <"$1/pid" || return 1
  [[ $(birth "$pid") == "$born" ]]
}
# launch <dir> <command...>: in a session of its own, so that it outlives this shell and can be killed as a group.
launch() {
  local dir=$1 pid
  shift
  # 9 is the lock: a server that inherited it would hold it for ever.
  setsid timeout --foreground --kill-after=60s "$MAX_AGE" "$@" </dev/null >>"$dir/log" 2>&1 9>&- &
  pid=$!
  echo "$pid $(birth "$pid")" >"$dir/pid"
}
# group_lives <leader>: a killed database takes a while to give up its port and its file locks, and it still
# holds them as a zombie as long as it has threads. A zombie without is nothing but a line nobody has read.
group_lives() {
  local file stat
  for file in /proc/[0-9]*/stat; do
    read -r stat 2>/dev/null <"$file" || continue
    read -r -a stat <<<"${stat##*) }" # what follows the name: state, parent, group
    [[ ${stat[2]} == "$1" ]] || continue
    [[ ${stat[0]} != Z || $(compgen -G "${file%/stat}/task/*" | wc -l) -gt 1 ]] && return 0
  done
  return 1
}
end() { # <dir> <signal>
  local dir=$1 pid i
  alive "$dir" || return 0
  read -r pid _ <"$dir/pid"
  if [[ $2 == TERM ]]; then
    kill -TERM "$pid" 2>/dev/null || true # `timeout` hands it on
    for ((i = 0; i < 400; i++)); do
      alive "$dir" || break
      sleep 0.1
    done
    alive "$dir" && warn "$dir did not stop within 40 s: killed"
  fi
  kill -KILL -- "-$pid" 2>/dev/null || true
  while group_lives "$pid"; do sleep 0.02; done
  rm -f "$dir/pid"
}
# choose_port <dir> <file> [taken]: sets PORT. A port once given out is kept as long as the instance is up or
# in an outage; after a `down` it is only preferred. Below 32768, where no outgoing connection can take it.
choose_port() {
  local file=$1/$2
  if [[ -s $file ]]; then
    PORT=$(<"$file")
    ! listening 127.0.0.1 "$PORT" || die "$1: its port $PORT is in use by another program; end that, or let \`services.sh down\` give the port up"
    return
  fi
  PORT=$(cat "$file.last" 2>/dev/null || true)
  while [[ -z $PORT || $PORT == "${3:-}" ]] || listening 127.0.0.1 "$PORT"; do
    PORT=$((20000 + RANDOM % 10000))
  done
  echo "$PORT" >"$file"
}
# ensure <store> <instance>: it runs and answers, or the script ends. Sets PORT.
ensure() {
  local store=$1 instance=$2 dir=$STATE/$2 deadline=$((SECONDS + PATIENCE))
  FOUND='already up'
  if alive "$dir"; then
    PORT=$(<"$dir/port")
  else
    FOUND='started'
    [[ -s $dir/port ]] && FOUND='was down, started again'
    enough_room
    mkdir -p "$dir"
    choose_port "$dir" port
    [[ ! -f $dir/log ]] || mv "$dir/log" "$dir/log.last" # why it died may be in there
    : >"$dir/log"
    "start_${instance/\//_}" "$dir" "$PORT"
  fi
  while ((SECONDS < deadline)); do
    "answer_$store" 127.0.0.1 "$PORT" >/dev/null && return
    alive "$dir" || die "$instance did not start: $(last_words "$dir")"
    sleep 0.1
  done
  die "$instance runs but has not answered on port $PORT for $PATIENCE s; see $dir/log"
}
last_words() { # <dir>
  if grep -qiE 'no space left|error:? 28\b|errno:? 28\b' "$1/log"; then
    echo "the disk is full ($1)"
  elif grep -qiE 'address already in use|bind on tcp/ip port' "$1/log"; then
    echo "port $PORT is in use"
  else
    echo "$(grep -iE 'error|exception|fatal|cannot' "$1/log" | grep -vi aborting | tail -n 1 | cut -c1-200) (see $1/log)"
  fi
}
enough_room() {
  local free
  free=$(df -Pk "$STATE" | awk 'NR == 2 { print int($4 / 1024) }')
  ((free >= MIN_MB)) || die "the disk is full: $free MB free in $STATE, $MIN_MB MB wanted"
}

# --- Software ---

# install_packages <package...>
install_packages() {
  local as=()
  [[ ${SEONCHAK_INSTALL:-1} != 0 ]] || pass "$* not installed, and SEONCHAK_INSTALL=0" || return
  have apt-get || pass "$* not installed, and no apt-get here" || return
  if [[ $(id -u) != 0 ]]; then
    sudo -n true 2>/dev/null || pass "$* not installed, and neither root nor sudo" || return
    as=(sudo -n)
  fi
  as+=(env DEBIAN_FRONTEND=noninteractive)
  say "services.sh: installing with apt-get: $*"
  apt_install "${as[@]}" -- "$@" && return
  say "services.sh: apt-get update, then once more"
  "${as[@]}" apt-get update -qq >&2 || say 'services.sh: apt-get update failed'
  apt_install "${as[@]}" -- "$@" || pass "apt-get could not install $*"
}
# Debian starts a server when it is installed. We want the programs only, so a policy forbids it meanwhile.
apt_install() { # <prefix...> -- <package...>
  local as=() policy=/usr/sbin/policy-rc.d ours='' code=0
  while [[ $1 != -- ]]; do as+=("$1") && shift; done
  shift
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${as[@]}" tee "$policy" >/dev/null && "${as[@]}" chmod +x "$policy" && ours=1
  fi
  "${as[@]}" apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends "$@" >/dev/null 9>&- || code=$?
  [[ -z $ours ]] || "${as[@]}" rm -f "$policy"
  return "$code"
}
need() { # <program> <package>
  have "$1" || install_packages "$2" && have "$1"
}
java_works() { # 17 or newer
  local major
  major=$("$(java_bin)" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
  [[ -n $major ]] && ((major >= 17))
}
java_bin() { echo "${JAVA_HOME:+$JAVA_HOME/bin/}java"; }
kafka_version() { sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$ROOT/tools/kafka/pom.xml"; }
module_version() { awk -v module="$1" '$1 == module { print $2 }' "$ROOT/tools/go.mod"; }
real_mysqld() { have mysqld && [[ $(mysqld --no-defaults --version 2>/dev/null) != *MariaDB* ]]; }
installed_database() {
  if ! have mariadbd && { real_mysqld || [[ -d $CACHE/mysql-sid ]]; }; then echo mysql; else echo mariadb; fi
}

# prepare_<slot>: the software of the native step is there; false, with the reason noted, if it cannot be had.
prepare_redis() { need redis-server redis-server; }
prepare_mariadb() { need mariadbd mariadb-server; }
prepare_kafka() {
  JARS=$CACHE/kafka-$(kafka_version)
  java_works || { install_packages default-jre-headless && java_works; } || pass 'no JVM 17 or newer (Debian: default-jre-headless)' || return
  [[ -d $JARS ]] && return
  need mvn maven || pass 'no Maven to fetch the Kafka jars with' || return
  fetch_jars || pass 'Maven could not fetch the Kafka jars'
}
fetch_jars() {
  local part=$JARS.part.$$
  [[ ${SEONCHAK_INSTALL:-1} != 0 ]] || return
  say "services.sh: fetching the Kafka jars with Maven (once; 54 MB)"
  mvn -q -B -Dstyle.color=never -f "$ROOT/tools/kafka/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$part" -DincludeScope=runtime >&2 9>&- && mv -T "$part" "$JARS" && return
  rm -rf "$part"
  [[ -d $JARS ]] # another run may have been faster
}
# Debian has MySQL in its newest suite only. A folder of that suite is kept in the cache, and its mysqld runs
# with the folder's own loader and libraries: no chroot, no root, and the data stays with the other stores'.
prepare_mysql() {
  local root=$CACHE/mysql-sid loader
  if real_mysqld; then
    MYSQLD=("$(unconfined_mysqld)")
    return
  fi
  [[ -d $root ]] || bootstrap_mysql "$root" || return
  loader=$(compgen -G "$root/lib*/ld-linux-*.so.*" | head -n 1)
  MYSQLD=("$loader" --library-path "$(echo "$root"/usr/lib/*-linux-gnu*)" "$root/usr/sbin/mysqld")
  MYSQLD_HOME=("--basedir=$root/usr" "--plugin-dir=$root/usr/lib/mysql/plugin")
}
bootstrap_mysql() {
  local part=$1.part.$$
  [[ $(id -u) == 0 ]] || pass 'no MySQL server installed, and debootstrap needs root' || return
  need debootstrap debootstrap || pass 'no MySQL server installed' || return
  [[ ${SEONCHAK_INSTALL:-1} != 0 ]] || pass 'no MySQL server installed, and SEONCHAK_INSTALL=0' || return
  say "services.sh: fetching MySQL from Debian sid into $1 (once; 560 MB, half a minute)"
  mkdir -p "$CACHE"
  (umask 022 && debootstrap --variant=minbase --include=mysql-server-core sid "$part" >"$STATE/debootstrap.log" 2>&1 9>&-) &&
    [[ -x $part/usr/sbin/mysqld ]] && mv -T "$part" "$1" && return
  umount "$part/proc" "$part/sys" 2>/dev/null || true
  rm -rf --one-file-system "$part"
  [[ -d $1 ]] || pass "debootstrap could not fetch MySQL (see $STATE/debootstrap.log)"
}
# Ubuntu's AppArmor profile ties the path /usr/sbin/mysqld to /var/lib/mysql; a copy is free of it.
unconfined_mysqld() {
  local copy=$CACHE/mysqld
  if [[ ! -e /etc/apparmor.d/usr.sbin.mysqld ]]; then
    command -v mysqld
    return
  fi
  mkdir -p "$CACHE" && cp -u "$(command -v mysqld)" "$copy" && echo "$copy"
}

# --- start_<slot>_<step> <dir> <port> ---

start_redis_native() {
  mkdir -p "$1/data"
  # No backlog to keep for replicas there are none of; keys are freed in the background, as in production.
  launch "$1" redis-server --bind 127.0.0.1 --port "$2" --dir "$1/data" \
    --save '' --appendonly yes --appendfsync everysec --maxmemory-policy noeviction --repl-backlog-ttl 0 \
    --lazyfree-lazy-user-del yes --lazyfree-lazy-expire yes --lazyfree-lazy-server-del yes --lazyfree-lazy-user-flush yes
}

start_kafka_native() {
  local java
  java=$(java_bin)
  choose_port "$1" controller-port "$2"
  kafka_properties "$1" "$2" "$PORT" >"$1/server.properties"
  PORT=$2
  # The cluster id is 16 bytes in base64; one fixed name does for clusters of one.
  [[ -f $1/data/meta.properties ]] ||
    "$java" -cp "$JARS/*" kafka.tools.StorageTool format -t c2VvbmNoYWsta2Fma2EtMQ -c "$1/server.properties" --standalone >>"$1/log" 2>&1 9>&- ||
    die "kafka: its data folder could not be made: $(last_words "$1")"
  launch "$1" "$java" -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$JARS/*" kafka.Kafka "$1/server.properties"
}
kafka_properties() { # <dir> <port> <controller port>
  local door listeners='' advertised='' protocols=''
  for door in ${SEONCHAK_KAFKA_DOORS:-}; do
    listeners+=",DOOR${door%:*}://127.0.0.1:${door%:*}"
    advertised+=",DOOR${door%:*}://127.0.0.1:${door#*:}"
    protocols+=",DOOR${door%:*}:PLAINTEXT"
  done
  cat <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3$listeners
advertised.listeners=PLAINTEXT://127.0.0.1:$2$advertised
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT$protocols
log.dirs=$1/data
# One node: every internal topic has one replica.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
min.insync.replicas=1
# 50 partitions by default: making them is most of what the first group join waits for.
offsets.topic.num.partitions=8
# After a kill the broker may not come back before its old session has ended: 9 s by default.
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
EOF
}

# What both database servers are told. The socket's name is relative to the data folder, because a socket's
# path may not be longer than 107 characters.
database_options() { # <dir> <port>
  OPTIONS=("--datadir=$1/data" "--tmpdir=$1/tmp" --socket=server.sock "--pid-file=$1/server.pid" "--init-file=$1/init.sql"
    "--port=$2" --bind-address=127.0.0.1 --skip-name-resolve --max-connections=400
    --character-set-server=utf8mb4 --innodb-buffer-pool-size=256M --innodb-flush-log-at-trx-commit=1)
  cat >"$1/init.sql" <<'EOF'
CREATE USER IF NOT EXISTS root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE IF NOT EXISTS coupon CHARACTER SET utf8mb4;
EOF
}
# make_data <dir> <command...>: a first start cut short leaves no half-made data folder behind. Each server has a folder
# for temporary files: one that starts removes those of all that share it.
make_data() {
  local dir=$1
  shift
  mkdir -p "$dir/tmp"
  [[ ! -d $dir/data ]] || return 0
  rm -rf "$dir/data.part"
  TMPDIR=$dir/tmp "$@" "--datadir=$dir/data.part" >>"$dir/log" 2>&1 9>&- || die "${dir#"$STATE"/}: its data folder could not be made: $(last_words "$dir")"
  mv -T "$dir/data.part" "$dir/data"
}
start_mariadb_native() {
  local base=(--no-defaults "--user=$(id -un)" --innodb-log-file-size=64M)
  make_data "$1" mariadb-install-db "${base[@]}" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve
  database_options "$1" "$2"
  launch "$1" mariadbd "${base[@]}" "${OPTIONS[@]}"
}
start_mysql_native() {
  local base=("${MYSQLD[@]}" --no-defaults ${MYSQLD_HOME[@]+"${MYSQLD_HOME[@]}"} "--user=$(id -un)"
    --mysqlx=OFF --secure-file-priv=NULL --innodb-redo-log-capacity=128M)
  make_data "$1" "${base[@]}" --initialize-insecure
  rm -f "$1"/data/server.sock* # a killed server's lock file names a pid, which may be somebody's by now
  database_options "$1" "$2"
  launch "$1" "${base[@]}" "${OPTIONS[@]}"
}

start_redis_embedded() { launch "$1" "$STATE/standin" redis --addr "127.0.0.1:$2"; }
start_kafka_embedded() { launch "$1" "$STATE/standin" kafka --addr "127.0.0.1:$2" --data "$1/data"; }

# --- Steps: try_<step> <store>. True: the store is served and recorded. False: the reason is noted. ---

try_env() {
  local store=$1 variable url version slot
  variable=$(variable_for "$store") url=''
  url=${!variable:-}
  if [[ -z $url ]] || is_ours "$url"; then
    [[ $FORCED != env ]] || pass "$variable is not set to an address from outside"
    return 1
  fi
  split_url "$store" "$url"
  "answer_$store" "$HOST" "$PORT" >/dev/null || given_but_silent "$store" "$url" || return
  version=$("version_$store" "$HOST" "$PORT") || version=''
  slot=$store
  if [[ $store == mysql ]]; then
    case $version in *[Mm]aria*) slot=mariadb ;; esac
    [[ ${SEONCHAK_MYSQL:-$slot} == "$slot" ]] || pass "MYSQL_DSN is a $slot server, SEONCHAK_MYSQL asks for $SEONCHAK_MYSQL" || return
  fi
  chosen "$store" "$slot" env - "${version%%-*}" "$HOST:$PORT" "$url" "$variable is set, and it answers"
}
# TLS and sockets cannot be spoken here: that somebody listens has to do.
given_but_silent() { # <store> <url>
  if [[ $2 == rediss://* || $2 == *unix\(* || ($1 == kafka && -n ${KAFKA_TLS:-}) ]]; then
    [[ -S $HOST ]] || listening "$HOST" "$PORT" && return
  fi
  warn "$(variable_for "$1") is set, but nothing answers at $HOST:$PORT"
  pass "$(variable_for "$1") does not answer"
}

# The file asks for the secret of the api-server, whichever services are meant.
compose() { JWT_HMAC_SECRET=${JWT_HMAC_SECRET:-none-for-the-stores} docker compose -f "$ROOT/docker-compose.yml" "$@" 9>&-; }
try_docker() {
  local store=$1 port running version deadline=$((SECONDS + 90))
  have docker && timeout 5 docker info >/dev/null 2>&1 || pass 'no docker engine answers' || return
  [[ $store != mysql || ${SEONCHAK_MYSQL:-mysql} == mysql ]] || pass 'docker-compose.yml has MySQL, not MariaDB' || return
  running=$(compose ps -q --status running "$store" 2>/dev/null || true)
  compose up -d --wait "$store" >&2 || pass "docker compose could not start $store" || return
  mkdir -p "$STATE/$store/docker"
  [[ -n $running ]] || touch "$STATE/$store/docker/started"
  case $store in redis) port=6379 ;; kafka) port=9092 ;; mysql) port=3306 ;; esac
  until "answer_$store" 127.0.0.1 "$port" >/dev/null; do
    ((SECONDS < deadline)) || pass "$store in docker does not answer" || return
    sleep 0.5
  done
  version=$(compose config --images "$store" 2>/dev/null | sed -n 's/.*:\([0-9][^@]*\).*/\1/p' | head -n 1)
  chosen "$store" "$store" docker "$store/docker" "${version:--}" "127.0.0.1:$port" "$(url_for "$store" "$port")" 'a docker engine answers'
}

try_native() {
  local store=$1 slot
  have setsid && have timeout && [[ -r /proc/self/stat ]] || pass 'private instances need Linux' || return
  slot=$(slot_of "$store")
  if ! alive "$STATE/$slot/native" && ! "prepare_$slot"; then
    [[ $slot == mysql ]] || return 1
    [[ $REAL != 1 || ${SEONCHAK_MYSQL:-} != mysql ]] || die "mysql: $WHY (SEONCHAK_REQUIRE_REAL=1: MariaDB will not do)"
    warn "no MySQL to be had ($WHY): MariaDB instead"
    alive "$STATE/mariadb/native" || prepare_mariadb || return
    own "$store" mysql native mariadb/native
    return
  fi
  own "$store" "$slot" native "$slot/native"
}

try_embedded() {
  local store=$1
  [[ $store != mysql ]] || pass 'there is no stand-in for a database' || return
  [[ $REAL != 1 ]] || die "$store: ${WHY:+$WHY }(SEONCHAK_REQUIRE_REAL=1: a stand-in will not do)"
  have setsid && have timeout && [[ -r /proc/self/stat ]] || pass 'private instances need Linux' || return
  have go || pass 'no Go to build the stand-in with' || return
  alive "$STATE/$store/embedded" || build_standin || pass 'the stand-in does not build' || return
  own "$store" "$store" embedded "$store/embedded"
  warn "$store is a stand-in: good for trying things, it proves nothing about durability or speed"
}
build_standin() { GOWORK=off go -C "$ROOT/tools" build -o "$STATE/standin" ./standin >&2 9>&-; }

# own <store> <slot> <step> <instance>: run an instance of our own and record it.
own() {
  local version
  ensure "$1" "$4"
  case $3/$1 in
    native/kafka) version=$(kafka_version) ;;
    embedded/redis) version="miniredis $(module_version github.com/alicebob/miniredis/v2)" ;;
    embedded/kafka) version="kfake $(module_version github.com/twmb/franz-go/pkg/kfake | cut -d- -f2)" ;;
    *)
      version=$("version_$1" 127.0.0.1 "$PORT") || version=unknown
      version=${version%%-*}
      ;;
  esac
  chosen "$1" "$2" "$3" "$4" "$version" "127.0.0.1:$PORT" "$(url_for "$1" "$PORT")" "$FOUND${WHY:+; $WHY}"
}
chosen() { # <store> <slot> <step> <instance> <version> <address> <url> <why>
  write_record "${@:2}"
  [[ $1 != mysql || -n ${SEONCHAK_MYSQL:-} ]] || echo "$2" >"$STATE/database"
  read_record "$2"
  say "$(printf '%-8s %-18s %-9s %-16s %s' "$LABEL" "$5" "$3" "$6" "($8)")"
}
# try_again <store>: what an earlier `up` chose stays, unless told otherwise.
try_again() {
  local slot
  slot=$(slot_of "$1")
  read_record "$slot" || return
  [[ ${INSTANCE%%/*} == "$slot" ]] || return # MariaDB where MySQL was asked for: ask for MySQL once more
  case $STEP in
    docker) try_docker "$1" ;;
    native) alive "$STATE/$INSTANCE" || "prepare_${INSTANCE%/*}" || return
      own "$1" "$slot" native "$INSTANCE" ;;
    embedded) [[ $REAL != 1 ]] && try_embedded "$1" ;;
    *) return 1 ;;
  esac
}

# --- Commands ---

serve() { # <store>
  local step steps=(env again docker native embedded)
  WHY=''
  # No stand-in speaks for a database: with stand-ins forced, it still comes from where it can.
  [[ -z $FORCED || $FORCED/$1 == embedded/mysql ]] || steps=("$FORCED")
  for step in "${steps[@]}"; do
    "try_$step" "$1" && return
  done
  die "$1: $WHY. $(advice "$1")"
}
advice() {
  case $1 in
    redis) echo 'Install redis-server, start a docker engine, or set REDIS_URL.' ;;
    kafka) echo 'Install a JVM 17 and Maven, start a docker engine, or set KAFKA_BROKERS.' ;;
    mysql) echo 'Install mariadb-server or mysql-server, start a docker engine, or set MYSQL_DSN.' ;;
  esac
}
up() {
  local store stores=("$@")
  ((${#stores[@]})) || stores=(redis kafka mysql)
  for store in "${stores[@]}"; do known_store "$store"; done
  for store in "${stores[@]}"; do serve "$store"; done
}

down() {
  local file dir slot
  for file in "$STATE"/*/*/pid "$STATE"/*/docker/started; do
    [[ -f $file ]] || continue
    dir=$(dirname "$file") slot=$(basename "$(dirname "$dir")")
    if [[ $file == */started ]]; then compose stop "$slot" >&2; else end "$dir" TERM; fi
    rm -f "$file"
    say "$slot: ended"
  done
  # Kept under another name: a shell may still hold these addresses, and the next `up` should know them as ours.
  for file in "$STATE"/*/record "$STATE"/*/*/port "$STATE"/*/*/controller-port; do
    [[ ! -f $file ]] || mv "$file" "$file.last"
  done
  rm -f "$STATE/database"
  case ${1:-} in
    --wipe) rm -rf "$STATE"/{redis,kafka,mariadb,mysql} "$STATE/standin" ;;
    ?*) die "unknown option $1" ;;
  esac
}

env_lines() {
  local store slot all=''
  for store in redis kafka mysql; do
    slot=$(slot_of "$store")
    read_record "$slot" || continue
    printf 'export %s=%s\n' "$(variable_for "$store")" "${URL@Q}"
    all+="${all:+, }$LABEL $VERSION $STEP"
  done
  [[ -n $all ]] || die 'nothing is up: run services.sh up first'
  printf 'export SEONCHAK_STORES=%s\n' "${all@Q}"
}

status() {
  local slot store health any='' all=0
  for slot in redis kafka mariadb mysql; do
    read_record "$slot" || continue
    any=1 health=up store=${slot/mariadb/mysql}
    split_url "$store" "$URL"
    "answer_$store" "$HOST" "$PORT" >/dev/null || given_but_silent "$store" "$URL" 2>/dev/null || { health=down all=1; }
    printf '%-8s %-5s %-18s %-9s %s\n' "$LABEL" "$health" "$VERSION" "$STEP" "$ADDRESS"
  done
  [[ -n $any ]] || die 'nothing is up'
  return "$all"
}

outage() { # stop|start|kill <store>
  local slot
  known_store "${2:-}"
  slot=$(slot_of "$2")
  read_record "$slot" || die "$slot is not up"
  case $STEP/$1 in
    env/*) die "$slot was given by $(variable_for "$2"): it is not ours to $1" ;;
    docker/*) compose "$1" "$2" >&2 ;;
    */stop) end "$STATE/$INSTANCE" TERM ;;
    */kill) end "$STATE/$INSTANCE" KILL ;;
    */start)
      [[ $STEP != native ]] || "prepare_${INSTANCE%/*}" || die "$slot: $WHY"
      ensure "$2" "$INSTANCE"
      ;;
  esac
}

open_state() {
  (mkdir -p "$STATE" && : >"$STATE/lock") 2>/dev/null || die "cannot write to $STATE (SEONCHAK_SERVICES_DIR chooses another folder)"
  STATE=$(cd "$STATE" && pwd)
}
# Two at once would start everything twice. The lock goes with the process, however it ends.
lock() {
  have flock || return 0
  exec 9>"$STATE/lock"
  flock -n 9 || { say 'services.sh: another one is at work, waiting' && flock -w 900 9; } || die "locked by another services.sh ($STATE/lock)"
}

main() {
  local command=${1:-}
  (($#)) && shift
  case ${SEONCHAK_MYSQL:-} in '' | mysql | mariadb) ;; *) die "SEONCHAK_MYSQL=$SEONCHAK_MYSQL: mysql or mariadb" ;; esac
  case $FORCED in '' | env | docker | native | embedded) ;; *) die "SEONCHAK_SERVICES=$FORCED: env, docker, native or embedded" ;; esac
  case $command in
    up) open_state && lock && up "$@" ;;
    down) open_state && lock && down "$@" ;;
    stop | start | kill) open_state && lock && outage "$command" "$@" ;;
    env) env_lines ;;
    status) status ;;
    *)
      sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2
      [[ $command == help || $command == --help ]]
      ;;
  esac
}
main "$@"
