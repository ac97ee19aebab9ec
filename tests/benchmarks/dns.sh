#!/usr/bin/env bash
# DNS answers a second and CPU a query, of a node's DNS door, BIND and Knot with the same zone, asked by dnsperf one after another in each round.
#   tests/benchmarks/dns.sh [APPS] [ROUNDS] [SECONDS]      default 5000 apps (two instances each, about 50,000 names), 3 rounds of 5 s
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

APPS=${1:-5000}
ROUNDS=${2:-3}
SPAN=${3:-5}
ensure_packages bind9=named knot=knotd dnsperf=dnsperf || exit 1
dotnet build tests/benchmarks/Dns -c Release --nologo -v quiet || exit 1
BENCH_DNS=tests/benchmarks/Dns/bin/Release/net10.0/dns-bench

declare -A PIDS PORTS
stop_servers() { local name; for name in "${!PIDS[@]}"; do kill "${PIDS[$name]}" 2>/dev/null; wait "${PIDS[$name]}" 2>/dev/null; done; }
ON_END+=(stop_servers)

"$BENCH_DNS" zone "$APPS" >"$HOME_DIR/mesos.zone" || exit 1
echo "zone: $(wc -l <"$HOME_DIR/mesos.zone") records"
PORTS[platform]=$(free_port 5400) PORTS[bind]=$(free_port 5500) PORTS[knot]=$(free_port 5600)

cat >"$HOME_DIR/named.conf" <<CONF
options { directory "$HOME_DIR"; listen-on port ${PORTS[bind]} { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; pid-file "$HOME_DIR/named.pid";
  session-keyfile "$HOME_DIR/session.key"; dnssec-validation no; minimal-responses no; };
controls { };
zone "mesos" { type primary; file "$HOME_DIR/mesos.zone"; check-names ignore; };
CONF
cat >"$HOME_DIR/knot.conf" <<CONF
server:
  listen: 127.0.0.1@${PORTS[knot]}
  rundir: $HOME_DIR
  udp-workers: 1
database:
  storage: $HOME_DIR/knot
zone:
  - domain: mesos
    file: $HOME_DIR/mesos.zone
    semantic-checks: off
CONF
mkfifo "$HOME_DIR/in"
"$BENCH_DNS" serve "$APPS" "127.0.0.1:${PORTS[platform]}" <"$HOME_DIR/in" >"$HOME_DIR/platform.log" 2>&1 & PIDS[platform]=$!
exec 9>"$HOME_DIR/in"
named -f -4 -n 1 -c "$HOME_DIR/named.conf" >"$HOME_DIR/bind.log" 2>&1 9>&- & PIDS[bind]=$!
knotd -c "$HOME_DIR/knot.conf" >"$HOME_DIR/knot.log" 2>&1 9>&- & PIDS[knot]=$!
for name in platform bind knot; do
  for ((i = 0; i < 300; i++)); do dig +short +time=1 +tries=1 @127.0.0.1 -p "${PORTS[$name]}" app1.marathon.mesos A 2>/dev/null | grep -q '^10\.' && continue 2; sleep 0.1; done
  cat "$HOME_DIR/$name.log" >&2; fail "$name does not answer"
done

awk -v n="$APPS" 'BEGIN { srand(1); for (i = 0; i < 100000; i++) print "app" int(rand() * n) ".marathon.mesos A" }' >"$HOME_DIR/A"
awk -v n="$APPS" 'BEGIN { srand(2); for (i = 0; i < 100000; i++) print "_app" int(rand() * n) "._tcp.marathon.mesos SRV" }' >"$HOME_DIR/SRV"
awk 'BEGIN { srand(3); for (i = 0; i < 100000; i++) print "no" int(rand() * 1e9) ".marathon.mesos A" }' >"$HOME_DIR/missing"

ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }
# ask NAME QUESTIONS CLIENTS: queries/s and CPU microseconds a query
ask() {
  local before after
  before=$(ticks "${PIDS[$1]}")
  dnsperf -s 127.0.0.1 -p "${PORTS[$1]}" -d "$HOME_DIR/$2" -l "$SPAN" -c "$3" -T 1 ${4:-} >"$HOME_DIR/out" 2>/dev/null || fail "dnsperf failed"
  after=$(ticks "${PIDS[$1]}")
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" \
    '/Queries completed/ { n = $3 } /Queries lost/ { lost = $3 } /Queries per second/ { q = $4 } END { printf "%.0f %.3f %d\n", q, ticks / hz * 1e6 / n, lost }' "$HOME_DIR/out"
}

for name in platform bind knot; do for what in A SRV missing; do ask "$name" "$what" 8 >/dev/null; done; done # warm
echo mark >&9
printf '%-18s %-9s %10s %10s %8s %12s %12s\n' question server queries/s 'CPU us/q' lost 'CPU / BIND' 'q/s / Knot'
for what in 'A 1' 'A 8' 'SRV 1' 'SRV 8' 'missing 8' 'A 8 -e'; do
  read -r questions clients flag <<<"$what"
  declare -A Q=() C=() L=()
  for ((round = 0; round < ROUNDS; round++)); do
    for name in platform bind knot; do
      read -r q c lost <<<"$(ask "$name" "$questions" "$clients" "${flag:-}")"
      Q[$name]+=" $q" C[$name]+=" $c" L[$name]=$((${L[$name]:-0} + lost))
    done
  done
  for name in platform bind knot; do
    printf '%-18s %-9s %10.0f %10.2f %8d %12s %12s\n' "$questions, $clients client${flag:+, EDNS}" "$name" "$(median ${Q[$name]})" "$(median ${C[$name]})" "${L[$name]}" \
      "$(ratio "$(median ${C[$name]})" "$(median ${C[bind]})")" "$(ratio "$(median ${Q[$name]})" "$(median ${Q[knot]})")"
  done
done
exec 9>&-
wait "${PIDS[platform]}"
grep allocated "$HOME_DIR/platform.log"
