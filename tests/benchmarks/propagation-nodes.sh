#!/usr/bin/env bash
# Health check passed on a node → visible in DNS, KV, file and proxy on every one of 5 nodes: median and p99 in milliseconds, all on one clock.
#   tests/benchmarks/propagation-nodes.sh [CHANGES] [NODES]      default 200, 5
# A scheduler, and nodes in network namespaces, joined over TLS; a plain process with a health check is taken away and brought back, wherever it is placed.
# One program looks at all views of all nodes every 4 ms. As root; needs no Docker.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. tests/lib/netns.sh

CHANGES=${1:-200} NODES=${2:-5} NET=pfb$(($$ % 100000)) SUBNET=10.223.$(($$ % 250)) STARTED=()

end_nodes() {
  local pid
  for pid in "${STARTED[@]+"${STARTED[@]}"}"; do kill -TERM "$pid" 2>/dev/null; done
  wait 2>/dev/null
  remove_machines "$NET"
}
ON_END+=(end_nodes)

# is_ready LOG PID
is_ready() {
  local tries
  for ((tries = 0; tries < 1500; tries++)); do
    grep -q '^ready' "$1" && return 0
    kill -0 "$2" 2>/dev/null || break
    sleep 0.02
  done
  tail -n 20 "$1" >&2
  fail "It was not ready."
}

ensure_packages iproute2=ss util-linux=nsenter || exit 1
_static_busybox >/dev/null || exit 1
build_platform || exit 1
dotnet build tests/benchmarks/Propagation -c Release --nologo -v quiet >"$HOME_DIR/build.log" 2>&1 || { cat "$HOME_DIR/build.log" >&2; fail "The benchmark could not be built."; }
make_machines "$NET" "$SUBNET" "$NODES" || exit 1
port=$(free_port 24000) && API=127.0.0.1:$port
"$PLATFORM" scheduler --data "$HOME_DIR/s" --api "$API" --link "$SUBNET.254:8090" --service-ports 26000-26099 >"$HOME_DIR/s.log" 2>&1 </dev/null &
STARTED+=($!)
is_ready "$HOME_DIR/s.log" $!

DNS='' KV='' EDGE='' FILES=''
for ((n = 1; n <= NODES; n++)); do
  token=$("$PLATFORM" node token --api "$API" 2>/dev/null) || fail "No token was made."
  address=$SUBNET.$n
  PLATFORM_TOKEN=$token nsenter --net="/run/netns/$NET-$n" "$PLATFORM" node --join "$SUBNET.254:8090" --data "$HOME_DIR/n$n" --node-name "$NODE-n$n" --runtime process \
    --dns "$address:53" --kv "$address:8500" --edge "$address:80" --admin "$address:9090" --insecure >"$HOME_DIR/n$n.log" 2>&1 </dev/null &
  STARTED+=($!)
  is_ready "$HOME_DIR/n$n.log" $!
  DNS+=,$address:53 KV+=,$address:8500 EDGE+=,$address:80 FILES+=,$HOME_DIR/n$n/endpoints
done
dotnet tests/benchmarks/Propagation/bin/Release/net10.0/Propagation.dll "$API" "${DNS:1}" "${KV:1}" "${EDGE:1}" "${FILES:1}" "$CHANGES"
