# Sourced, or run as a command with the function's name. Real clients of the Marathon contract, fetched once and kept in a directory of the tests:
#   ensure_prometheus           prints the path of Debian's prometheus, unpacked and not installed: its package would start a server
#   ensure_event_bus_client     prints the directory of npm's marathon-event-bus-client, to be given as NODE_PATH
# Non-zero after one sentence on stderr.

EVENT_BUS_CLIENT=marathon-event-bus-client@0.1.7

_clients_cache() {
  local place
  for place in "${PLATFORM_TEST_CACHE-}" /var/cache/platform-tests "/tmp/platform-tests-cache.$(id -u)"; do
    [ -n "$place" ] || continue
    mkdir -p "$place" 2>/dev/null && [ -w "$place" ] && { echo "$place"; return 0; }
  done
  echo "No directory to keep the clients in." >&2
  return 1
}

# kept NAME FETCH: NAME in the cache, made by FETCH DIR in a directory that becomes NAME only when it is whole.
_kept() (
  cache=$(_clients_cache) || exit 1
  exec 9>"$cache/$1.lock"
  flock 9
  if ! [ -d "$cache/$1" ]; then
    dir=$(mktemp -d "$cache/$1.XXXXXX") || exit 1
    if ! "$2" "$dir" >"$dir.log" 2>&1; then
      tail -n 12 "$dir.log" >&2
      rm -rf "$dir" "$dir.log"
      echo "$1 could not be fetched; the end of the log is above." >&2
      exit 1
    fi
    rm -f "$dir.log"
    mv "$dir" "$cache/$1"
  fi
  echo "$cache/$1"
)

_fetch_prometheus() {
  apt-get update -q && cd "$1" && apt-get -q -o APT::Sandbox::User=root download prometheus && dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb && ./usr/bin/prometheus --version
}

_fetch_event_bus_client() {
  npm install --prefix "$1" --no-audit --no-fund --ignore-scripts "$EVENT_BUS_CLIENT"
}

ensure_prometheus() { local dir; dir=$(_kept prometheus _fetch_prometheus) && echo "$dir/usr/bin/prometheus"; }

ensure_event_bus_client() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || { echo "node and npm are missing." >&2; return 1; }
  local dir
  dir=$(_kept marathon-event-bus-client _fetch_event_bus_client) && echo "$dir/node_modules"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || "$1"
