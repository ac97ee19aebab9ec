#!/usr/bin/env bash
# Endpoint ready → visible in DNS, KV, the file and the proxy: median and p99 in milliseconds, all on one clock.
#   tests/benchmarks/propagation.sh [CHANGES]      default 100
# A plain process with a health check is taken away and brought back; one program polls the four views as fast as it can and compares the moment it
# first saw the task in each with the timestamp of the event that says it is healthy. Needs no Docker.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ensure_packages iproute2=ss || exit 1
_static_busybox >/dev/null || exit 1
build_platform || exit 1
dotnet build tests/benchmarks/Propagation -c Release --nologo -v quiet >"$HOME_DIR/build.log" 2>&1 || { cat "$HOME_DIR/build.log" >&2; fail "The benchmark could not be built."; }
bench_platform --runtime process --stop-tasks-on-exit || exit 1
dotnet tests/benchmarks/Propagation/bin/Release/net10.0/Propagation.dll "$API" "$DNS" "$KV" "$EDGE" "$HOME_DIR/data/endpoints" "${1:-100}"
