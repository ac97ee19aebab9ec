#!/usr/bin/env bash
# Blocking queries parked at the KV door, each on a connection of its own, and at a real Consul: memory of the server for each, and how soon a change reaches its client.
#   tests/benchmarks/kv-parked.sh [QUERIES] [CHANGES] [ROUNDS]      default 10000 parked, 200 single changes, 3 rounds
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. tests/lib/consul.sh

QUERIES=${1:-10000}
CHANGES=${2:-200}
ROUNDS=${3:-3}
ulimit -n $((QUERIES * 2 + 4096)) 2>/dev/null || ulimit -n "$(ulimit -Hn)"
[ "$(ulimit -n)" -gt "$((QUERIES + 1000))" ] || fail "Only $(ulimit -n) open files are allowed here; $QUERIES connections need more."
build_platform || exit 1
dotnet build tests/benchmarks/KvParked -c Release --nologo -v quiet || exit 1
CONSUL=$(ensure_consul) || exit 1
CONSUL_PID=
stop_consul() { [ -n "$CONSUL_PID" ] && kill -KILL "$CONSUL_PID" 2>/dev/null && wait "$CONSUL_PID" 2>/dev/null; CONSUL_PID=; }
ON_END+=(stop_consul)

start_consul() {
  local port tries
  port=$(free_port 24200)
  HTTP=$port
  "$CONSUL" agent -dev -log-level err -bind 127.0.0.1 -client 127.0.0.1 -http-port "$port" -server-port "$(free_port $((port + 1)))" -serf-lan-port "$(free_port $((port + 20)))" \
    -dns-port -1 -serf-wan-port -1 -grpc-port -1 -hcl "limits { http_max_conns_per_client = $(($(ulimit -n) - 100)) } disable_update_check = true" >"$HOME_DIR/consul.log" 2>&1 &
  CONSUL_PID=$!
  for ((tries = 0; tries < 300; tries++)); do curl -s "127.0.0.1:$port/v1/status/leader" | grep -q : && return 0; sleep 0.1; done
  return 1
}

# Consul needs several descriptors for each; where few are allowed it is asked for fewer, and the table says so.
OF_CONSUL=$((QUERIES * 6 < $(ulimit -n) ? QUERIES : $(ulimit -n) / 6))

declare -A SEEN
measure() { # NAME ADDRESS PID QUERIES
  local line
  line=$(tests/benchmarks/KvParked/bin/Release/net10.0/KvParked "$2" "$3" "$4" "$CHANGES") || fail "the clients of $1 failed"
  echo "$1: $line"
  SEEN[$1]+="$line"$'\n'
}
for ((round = 0; round < ROUNDS; round++)); do
  rm -rf "$HOME_DIR/data"
  bench_platform --runtime process || exit 1
  measure platform "$KV" "$PLATFORM_PID" "$QUERIES"
  stop_platform
  start_consul || fail "Consul does not lead"
  measure consul "127.0.0.1:$HTTP" "$CONSUL_PID" "$OF_CONSUL"
  stop_consul
done

printf '%-9s %8s %14s %10s %10s %16s %12s %12s %12s\n' server parked 'KiB a query' 'one, ms' 'one, p99' 'after PUT, p99' 'all, first' 'all, median' 'all, last'
for name in platform consul; do
  row=()
  for column in 1 2 3 4 5 6 7; do row+=("$(median $(awk -v c="$column" 'NF { print $c }' <<<"${SEEN[$name]}"))"); done
  printf '%-9s %8s %14s %10s %10s %16s %12s %12s %12s\n' "$name" "$([ $name = platform ] && echo "$QUERIES" || echo "$OF_CONSUL")" "${row[@]}"
done
