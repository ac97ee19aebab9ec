#!/usr/bin/env bash
# The scheduler at size: 2,000 apps of 5 instances on 20 simulated nodes, in a real log behind the real REST door.
#   tests/benchmarks/at-size.sh [APPS] [INSTANCES] [NODES]      default 2000 5 20
# Median, p99 and longest of each request, memory an instance, and the time from the log to the same state again.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
dotnet build tests/benchmarks/AtSize -c Release --nologo -v quiet >&2 || exit 1
exec dotnet tests/benchmarks/AtSize/bin/Release/net10.0/AtSize.dll "$@"
