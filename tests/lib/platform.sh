# Sourced. The one place of the repository's scripts that builds and starts the program:
#   build_platform                         bin/platform is of the sources as they are now
#   start_platform LOG FLAG…               `bin/platform up FLAG…` in a session of its own; waits for its line `ready`; sets PLATFORM_PID
#   stop_platform                          SIGTERM and wait; SIGKILL after 60 s, and then it says so
#   remove_leftovers NODE                  containers and networks that a platform of that node name left behind
#   free_port PORT…                        the first of them on which nobody listens (tcp and udp), looking further up from the last
# Every function returns non-zero after one sentence on stderr; none of them exits.

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PLATFORM=$REPOSITORY/bin/platform
PLATFORM_PID=
PLATFORM_READY_MS=

# No build server stays behind a script that has ended.
export MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0 UseSharedCompilation=false
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

now_ms() { local ns; ns=$(date +%s%N); echo $((ns / 1000000)); }

# What the build depends on, by name, time and size: a removed or an older file counts as a change too.
_sources_fingerprint() {
  (cd "$REPOSITORY" && find scheduler agent discovery proxy Directory.*.props Directory.*.targets global.json BannedSymbols.txt \
    \( -name bin -o -name obj \) -prune -o -type f -printf '%p %T@ %s\n' | LC_ALL=C sort | sha256sum | cut -d' ' -f1)
}

build_platform() {
  local fingerprint log
  command -v dotnet >/dev/null 2>&1 || { echo "The .NET 10 SDK is missing (dotnet)." >&2; return 1; }
  fingerprint=$(_sources_fingerprint)
  [ -x "$PLATFORM" ] && [ "$(cat "$REPOSITORY/bin/.sources" 2>/dev/null)" = "$fingerprint" ] && return 0
  log=$(mktemp)
  if ! (cd "$REPOSITORY" && dotnet publish scheduler/Platform.Cli -c Release -o bin --nologo -v quiet) >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    echo "The build failed; its last lines are above." >&2
    return 1
  fi
  rm -f "$log"
  echo "$fingerprint" > "$REPOSITORY/bin/.sources"
}

start_platform() {
  local log=$1 began tries
  shift
  began=$(now_ms)
  # A session of its own: Ctrl-C reaches the script alone, and the script ends the program in order.
  setsid "$PLATFORM" up "$@" >"$log" 2>&1 </dev/null &
  PLATFORM_PID=$!
  for ((tries = 0; tries < 1500; tries++)); do
    if grep -q '^ready' "$log"; then
      PLATFORM_READY_MS=$(($(now_ms) - began))
      return 0
    fi
    if ! kill -0 "$PLATFORM_PID" 2>/dev/null; then
      local code=0
      wait "$PLATFORM_PID" || code=$?
      tail -n 20 "$log" >&2
      echo "platform up ended with exit code $code before it was ready." >&2
      PLATFORM_PID=
      return 1
    fi
    sleep 0.02
  done
  tail -n 20 "$log" >&2
  echo "platform up was not ready within 30 s." >&2
  stop_platform
  return 1
}

stop_platform() {
  [ -n "$PLATFORM_PID" ] || return 0
  local pid=$PLATFORM_PID tries code=0
  PLATFORM_PID=
  kill -TERM "$pid" 2>/dev/null
  for ((tries = 0; tries < 600; tries++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  if kill -0 "$pid" 2>/dev/null; then
    kill -KILL "$pid"
    echo "platform up did not end within 60 s of SIGTERM and was killed." >&2
  fi
  wait "$pid" 2>/dev/null || code=$?
  [ "$code" -eq 0 ] || echo "platform up ended with exit code $code." >&2
  return "$code"
}

remove_leftovers() {
  local node=$1 ids
  command -v docker >/dev/null 2>&1 || return 0
  ids=$(docker ps -aq --filter "label=platform.node=$node" 2>/dev/null)
  [ -z "$ids" ] || docker rm -f $ids >/dev/null 2>&1
  ids=$(docker network ls -q --filter "label=platform.node=$node" 2>/dev/null)
  [ -z "$ids" ] || docker network rm $ids >/dev/null 2>&1
  return 0
}

_listens() { [ -n "$(ss -Hlntu "sport = :$1" 2>/dev/null)" ]; }

free_port() {
  local port
  for port in "$@"; do
    _listens "$port" || { echo "$port"; return 0; }
  done
  while [ "$port" -lt 32000 ]; do
    port=$((port + 1))
    _listens "$port" || { echo "$port"; return 0; }
  done
  echo "No free port at or above $1." >&2
  return 1
}
