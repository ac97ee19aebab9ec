#!/usr/bin/env bash
# All tests: unit, functional (real containers), simulation, the quickstart; then that nothing is left on the machine.
#   tests/run.sh                     everything; the last line is 'N passed, N failed'
#   tests/run.sh unit simulation     only these parts (unit, functional, simulation, quickstart)
#   FILTER=… tests/run.sh functional only the tests that match (dotnet test --filter)
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
. tests/lib/docker.sh
. tests/lib/platform.sh
. tests/lib/consul.sh
. tests/lib/netns.sh

PARTS=("$@")
[ ${#PARTS[@]} -gt 0 ] || PARTS=(unit functional simulation quickstart)
PASSED=0 FAILED=0 SKIPPED=0
RESULTS=$(mktemp -d /tmp/platform-tests.XXXXXX)

wants() { local part; for part in "${PARTS[@]}"; do [ "$part" = "$1" ] && return 0; done; return 1; }
for part in "${PARTS[@]}"; do
  case $part in unit|functional|simulation|quickstart) ;; *) echo "usage: tests/run.sh [unit] [functional] [simulation] [quickstart]" >&2; exit 64 ;; esac
done

end() {
  local code=$?
  trap - EXIT
  stop_docker_if_ours
  rm -rf "$RESULTS"
  exit "$code"
}
trap end EXIT
trap 'exit 130' INT TERM

title() { printf '\n== %s\n' "$*"; }
stop_here() { printf '%s\n' "$*" >&2; printf '%s passed, %s failed\n' "$PASSED" "$((FAILED + 1))"; exit 1; }

needs_docker() { wants functional || wants quickstart; }

prepare() {
  title "Preparing"
  if wants unit; then ensure_packages bind9=named || stop_here "The unit tests compare our DNS with BIND's."; fi
  if needs_docker; then
    ensure_packages bind9-host=host curl=curl jq=jq dnsutils=dig iproute2=ss util-linux=nsenter procps=ps wrk=wrk nghttp2-client=h2load openssl=openssl \
      nodejs=node npm=npm busybox-static=busybox haproxy=haproxy dnsmasq-base=dnsmasq postgresql=/usr/bin/pg_lsclusters patroni=/usr/bin/patroni \
      python3-marathon=/usr/lib/python3/dist-packages/marathon/client.py \
      python3-consul=/usr/lib/python3/dist-packages/consul/__init__.py || stop_here "The tests need these commands."
    ensure_docker || stop_here "The tests need a Docker engine."
    make_demo_image && build_demo_image platform-tests/app || stop_here "The test images could not be made."
    ensure_consul >/dev/null && ensure_prometheus >/dev/null && ensure_consul_npm >/dev/null || stop_here "The tests compare with a real Consul."
  fi
  if ! dotnet build Platform.sln -c Release --nologo -v quiet >"$RESULTS/build.log" 2>&1; then
    grep -E 'error|warning' "$RESULTS/build.log" | sort -u | head -n 40 >&2
    stop_here "The build failed."
  fi
  build_platform || stop_here "The program could not be built."
  echo "built"
}

attribute() { sed -n "s/.*<Counters [^>]*\b$1=\"\([0-9]*\)\".*/\1/p" "$2" | head -n 1; }

# run_dotnet PROJECT: failures are printed by the test runner itself, with their messages; the counts are read from its result file.
run_dotnet() {
  local name=$1 trx=$RESULTS/$1.trx filter=()
  [ -z "${FILTER-}" ] || filter=(--filter "$FILTER")
  title "$name"
  dotnet test "tests/$name" -c Release --no-build --nologo "${filter[@]}" --blame-hang-timeout 10m --blame-hang-dump-type none \
    --results-directory "$RESULTS" --logger "trx;LogFileName=$name.trx" --logger "console;verbosity=minimal"
  local code=$? total executed passed
  total=$(attribute total "$trx" 2>/dev/null) executed=$(attribute executed "$trx" 2>/dev/null) passed=$(attribute passed "$trx" 2>/dev/null)
  if [ -z "$total" ]; then
    [ "$code" -eq 0 ] || { echo "$name gave no result file; its run ended with exit code $code." >&2; FAILED=$((FAILED + 1)); }
    return
  fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + executed - passed)) SKIPPED=$((SKIPPED + total - executed))
  # A host that died half-way may have written only good results.
  if [ "$code" -ne 0 ] && [ "$executed" -eq "$passed" ]; then
    echo "$name: no test failed, but its run ended with exit code $code." >&2
    FAILED=$((FAILED + 1))
  fi
}

run_simulation() {
  local out=$RESULTS/simulation.log counts code
  title "Platform.Simulation"
  dotnet run --project tests/Platform.Simulation -c Release --no-build 2>&1 | tee "$out"
  code=${PIPESTATUS[0]}
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$out" | tail -n 1)
  if [ -z "$counts" ]; then
    echo "The simulator ended with exit code $code and without its counts." >&2
    FAILED=$((FAILED + 1))
    return
  fi
  PASSED=$((PASSED + $(echo "$counts" | awk '{ print $1 }'))) FAILED=$((FAILED + $(echo "$counts" | awk '{ print $3 }')))
}

# check NAME COMMAND…: one test; its output is shown when it fails.
check() {
  local name=$1 log=$RESULTS/check.log
  shift
  if "$@" >"$log" 2>&1; then
    echo "  passed  $name"
    PASSED=$((PASSED + 1))
  else
    echo "  failed  $name (exit code $?):"
    sed 's/^/    /' "$log"
    FAILED=$((FAILED + 1))
  fi
}

# Containers and networks of the tests' and the quickstart's node names; other people's platforms are none of our business.
left_behind() {
  docker ps -a --filter label=platform.cluster --format 'container {{.Names}} {{.Label "platform.node"}}' | awk '$3 ~ /^(ft|quickstart)-[0-9]/'
  docker network ls --filter label=platform.cluster --format 'network {{.Name}} {{.Label "platform.node"}}' | awk '$3 ~ /^(ft|quickstart)-[0-9]/'
  machines_left pft
}

nothing_is_left_behind() {
  local left
  left=$(left_behind)
  [ -z "$left" ] || { printf 'left on the machine:\n%s\n' "$left"; return 1; }
}

prepare
[ -d tests/Platform.Tests ] && wants unit && run_dotnet Platform.Tests
wants simulation && run_simulation
wants functional && run_dotnet Platform.Functional.Tests
if wants quickstart; then
  title "Examples"
  check "the talk's bodies are byte for byte the talk's" sh -c 'cd examples/talk && sha256sum --quiet -c SHA256SUMS'
  check "examples/quickstart.sh --exit" examples/quickstart.sh --exit
fi
if needs_docker; then
  title "The machine afterwards"
  check "nothing is left behind" nothing_is_left_behind
fi

echo
printf '%s passed, %s failed' "$PASSED" "$FAILED"
[ "$SKIPPED" -eq 0 ] || printf ', %s skipped' "$SKIPPED"
printf '\n'
[ "$FAILED" -eq 0 ]
