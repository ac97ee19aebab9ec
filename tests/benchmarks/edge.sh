#!/usr/bin/env bash
# The edge proxy against Debian's HAProxy and nginx, which take turns in each round before the same backend (nginx): throughput, latency, CPU a request.
#   tests/benchmarks/edge.sh [ROUNDS] [SECONDS]      default 3 rounds of 4 s
#   ROWS='small/64 tcp/64' measures only these; PROXIES='platform yarp haproxy' only these (yarp: ours without the relay).
# Everybody shares the machine's cores; CPU is that of the proxy's own processes, from /proc. Ratios are to HAProxy, of medians.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ROUNDS=${1:-3}
SPAN=${2:-4}
ROWS=${ROWS:-small/64 small/1000 10k/64 10k/1000 1m/64 new/64 tcp/64}
PROXIES=${PROXIES:-platform haproxy nginx}
ensure_packages haproxy=/usr/sbin/haproxy nginx-light=/usr/sbin/nginx wrk=wrk || exit 1
dotnet build tests/benchmarks/Edge -c Release --nologo -v quiet || exit 1
ulimit -n 20000

declare -A PIDS HTTP TCP
stop_servers() { local name; for name in "${!PIDS[@]}"; do kill "${PIDS[$name]}" 2>/dev/null; wait "${PIDS[$name]}" 2>/dev/null; done; }
ON_END+=(stop_servers)

BACKEND=$(free_port 27000)
port=$BACKEND
for name in platform haproxy nginx yarp; do
  port=$(free_port $((port + 1))) && HTTP[$name]=$port
  port=$(free_port $((port + 1))) && TCP[$name]=$port
done

mkdir -p "$HOME_DIR/www"
head -c 102 /dev/zero | tr '\0' s >"$HOME_DIR/www/small"
head -c 10240 /dev/zero | tr '\0' t >"$HOME_DIR/www/10k"
head -c 1048576 /dev/zero | tr '\0' u >"$HOME_DIR/www/1m"
nginx_head="user root; daemon off; pid $HOME_DIR/%s.pid; error_log $HOME_DIR/%s.err; worker_processes 2; worker_rlimit_nofile 20000; events { worker_connections 8000; }"
{ printf "$nginx_head\n" backend backend
  echo "http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; keepalive_timeout 75; open_file_cache max=10;
    server { listen 127.0.0.1:$BACKEND backlog=4096; root $HOME_DIR/www; } }"; } >"$HOME_DIR/backend.conf"
{ printf "$nginx_head\n" nginx nginx
  echo "http { access_log off; keepalive_requests 100000000; upstream b { server 127.0.0.1:$BACKEND; keepalive 256; }
    server { listen 127.0.0.1:${HTTP[nginx]} backlog=4096; location / { proxy_pass http://b; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host \$host;
      proxy_set_header X-Forwarded-For \$remote_addr; proxy_buffering off; } } }
    stream { server { listen 127.0.0.1:${TCP[nginx]} backlog=4096; proxy_pass 127.0.0.1:$BACKEND; } }"; } >"$HOME_DIR/nginx.conf"
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] && sed -i '1i load_module /usr/lib/nginx/modules/ngx_stream_module.so;' "$HOME_DIR/nginx.conf" ||
  sed -i '/^ *stream {/d' "$HOME_DIR/nginx.conf"
cat >"$HOME_DIR/haproxy.cfg" <<CONF
global
  nbthread 2
  maxconn 9000
defaults
  timeout connect 2s
  timeout client 100s
  timeout server 100s
  timeout http-keep-alive 75s
listen http
  mode http
  bind 127.0.0.1:${HTTP[haproxy]}
  option forwardfor
  http-reuse safe
  server b 127.0.0.1:$BACKEND
listen tcp
  mode tcp
  bind 127.0.0.1:${TCP[haproxy]}
  server b 127.0.0.1:$BACKEND
CONF
/usr/sbin/nginx -c "$HOME_DIR/backend.conf" & PIDS[backend]=$!
/usr/sbin/nginx -c "$HOME_DIR/nginx.conf" & PIDS[nginx]=$!
/usr/sbin/haproxy -db -f "$HOME_DIR/haproxy.cfg" & PIDS[haproxy]=$!
EDGE_BENCH=tests/benchmarks/Edge/bin/Release/net10.0/edge-bench
start_ours() { # NAME FILE-DESCRIPTOR [RELAY-THREADS]
  mkfifo "$HOME_DIR/$1.in"
  "$EDGE_BENCH" "$BACKEND" "${HTTP[$1]}" "${TCP[$1]}" ${3:-} <"$HOME_DIR/$1.in" >"$HOME_DIR/$1.log" 2>&1 & PIDS[$1]=$!
  eval "exec $2>\"\$HOME_DIR/$1.in\""
}
start_ours platform 8
case " $PROXIES " in *' yarp '*) start_ours yarp 9 0 ;; esac
for name in $PROXIES; do
  for ((i = 0; i < 200; i++)); do curl -sf -o /dev/null "http://127.0.0.1:${HTTP[$name]}/small" && continue 2; sleep 0.1; done
  fail "$name does not answer"
done

# Processor time of a process and its children, in clock ticks.
ticks() {
  local pid sum=0 t
  for pid in "$1" $(pgrep -P "$1"); do t=$(sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }') && sum=$((sum + t)); done
  echo "$sum"
}
# load NAME KIND CONNECTIONS SECONDS: requests/s, CPU us a request, p50 us, p99 us, errors
load() {
  local before after kind=$2 port=${HTTP[$1]} path=$2 header=()
  case $kind in tcp) port=${TCP[$1]} path=small ;; new) path=small header=(-H 'Connection: close') ;; esac
  before=$(ticks "${PIDS[$1]}")
  wrk -t 1 -c "$3" -d "${4}s" --latency "${header[@]+"${header[@]}"}" "http://127.0.0.1:$port/$path" >"$HOME_DIR/out" 2>&1 || { cat "$HOME_DIR/out" >&2; fail "wrk failed"; }
  after=$(ticks "${PIDS[$1]}")
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" '
    function us(t) { return t ~ /us$/ ? t + 0 : t ~ /ms$/ ? t * 1000 : t * 1000000 }
    $1 == "50%" { p50 = us($2) } $1 == "99%" { p99 = us($2) } / requests in / { n = $1 } /Requests\/sec/ { q = $2 }
    /Socket errors/ { gsub(",", ""); e += $4 + $6 + $8 + $10 } /Non-2xx/ { e += $NF }
    END { printf "%.0f %.2f %.0f %.0f %d\n", q, ticks / hz * 1e6 / (n ? n : 1), p50, p99, e }' "$HOME_DIR/out"
}

for name in $PROXIES; do for kind in 10k 1m new tcp; do load "$name" "$kind" 64 1 >/dev/null; done; load "$name" small 64 6 >/dev/null; done # warm
printf '%-11s %-9s %9s %10s %8s %8s %7s %10s %8s\n' load proxy req/s 'CPU us/r' 'p50 us' 'p99 us' errors CPU/HAP req/HAP
for row in $ROWS; do
  kind=${row%/*} connections=${row#*/}
  declare -A Q=() C=() L=() H=() E=()
  [ "$row" = small/64 ] && echo mark >&8
  for ((round = 0; round < ROUNDS; round++)); do
    for name in $PROXIES; do
      read -r q c p50 p99 e <<<"$(load "$name" "$kind" "$connections" "$SPAN")"
      Q[$name]+=" $q" C[$name]+=" $c" L[$name]+=" $p50" H[$name]+=" $p99" E[$name]=$((${E[$name]:-0} + e))
    done
  done
  [ "$row" = small/64 ] && echo tell >&8
  for name in $PROXIES; do
    printf '%-11s %-9s %9.0f %10.2f %8.0f %8.0f %7d %10s %8s\n' "$row" "$name" "$(median ${Q[$name]})" "$(median ${C[$name]})" "$(median ${L[$name]})" "$(median ${H[$name]})" \
      "${E[$name]}" "$(ratio "$(median ${C[$name]})" "$(median ${C[haproxy]})")" "$(ratio "$(median ${Q[$name]})" "$(median ${Q[haproxy]})")"
  done
done
exec 8>&- 9>&-
wait "${PIDS[platform]}"
grep allocated "$HOME_DIR/platform.log" | sed 's/$/ (small\/64, connections and the table included)/'
exit 0
