# Sourced by the benchmarks: engine, image, program, doors of their own, medians.
BENCH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$BENCH/../.." || exit 1
. tests/lib/docker.sh
. tests/lib/platform.sh

NODE=bench-$$
IMAGE=platform-tests/app
HOME_DIR=$(mktemp -d /tmp/platform-bench.XXXXXX)

fail() { printf '%s\n' "$*" >&2; exit 1; }

# Benchmarks of one machine add what they have to undo to ON_END.
ON_END=()
end() {
  local code=$? undo
  trap - EXIT
  trap '' INT TERM
  stop_platform
  for undo in "${ON_END[@]+"${ON_END[@]}"}"; do "$undo"; done
  remove_leftovers "$NODE"
  stop_docker_if_ours
  rm -rf "$HOME_DIR"
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM

# bench_platform [FLAG…]: starts one with doors far from the defaults and waits until it is ready.
bench_platform() {
  local port
  port=$(free_port 24000) && API=127.0.0.1:$port
  port=$(free_port $((port + 1))) && DNS=127.0.0.1:$port
  port=$(free_port $((port + 1))) && KV=127.0.0.1:$port
  port=$(free_port $((port + 1))) && EDGE=127.0.0.1:$port
  port=$(free_port $((port + 1))) && ADMIN=127.0.0.1:$port
  start_platform "$HOME_DIR/platform.log" --data "$HOME_DIR/data" --api "$API" --dns "$DNS" --kv "$KV" --edge "$EDGE" --admin "$ADMIN" \
    --node-name "$NODE" --task-ports 25000-25999 --service-ports 26000-26099 --domain marathon.mesos "$@"
}

api() { curl -sS --fail-with-body -m 30 "$@"; }

# median NUMBER…
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }
