#!/usr/bin/env bash
# What `platform up` costs while nothing happens, and how long it takes from start to ready.
#   tests/benchmarks/idle.sh [SECONDS] [STARTS]      default 30 s of idling, 5 starts on the same data directory
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SECONDS_IDLE=${1:-30}
STARTS=${2:-5}

ensure_packages iproute2=ss || exit 1
ensure_docker && build_platform || exit 1

times=()
for ((i = 0; i < STARTS; i++)); do
  bench_platform --runtime auto || exit 1
  times+=("$PLATFORM_READY_MS")
  [ "$i" -eq $((STARTS - 1)) ] || stop_platform || exit 1
done
echo "start to ready: ${times[*]} ms, median $(median "${times[@]}") ms (aim: 2000)"

ticks() { sed 's/.*) //' "/proc/$PLATFORM_PID/stat" | awk '{ print $12 + $13 }'; }

measure() {
  local ticks_before
  ticks_before=$(ticks)
  sleep "$SECONDS_IDLE"
  awk -v what="$1" -v ticks=$(($(ticks) - ticks_before)) -v hz="$(getconf CLK_TCK)" -v s="$SECONDS_IDLE" \
    'BEGIN { printf "%s: %.2f %% of a core over %d s\n", what, 100 * ticks / hz / s, s }'
}

sleep 5
measure "just started (aim: below 1 %)"
sleep "${SETTLE:-60}"
measure "a minute later"
awk '/^VmRSS|^VmHWM/ { printf "%s %.1f MB\n", ($1 == "VmRSS:" ? "resident now (aim: below 150 MB)" : "resident at most"), $2 / 1024 }' "/proc/$PLATFORM_PID/status"
