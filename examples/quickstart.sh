#!/usr/bin/env bash
# From nothing to the talk's four apps, running in containers and answering by name.
#   examples/quickstart.sh          keeps the platform in the foreground; Ctrl-C ends it and the demo's containers
#   examples/quickstart.sh --exit   the same proof, then stops everything it started
set -uo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.." || exit 1
. tests/lib/docker.sh
. tests/lib/platform.sh

STAY=yes
case ${1-} in
  '') ;;
  --exit) STAY=no ;;
  *) echo "usage: examples/quickstart.sh [--exit]" >&2; exit 64 ;;
esac

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
  BOLD=$(printf '\033[1m') DIM=$(printf '\033[2m') GREEN=$(printf '\033[32m') PLAIN=$(printf '\033[0m')
else
  BOLD='' DIM='' GREEN='' PLAIN=''
fi

NODE=quickstart-$$
DOMAIN=marathon.mesos
DATA=
DONE=no

head_line() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
fact() { printf '  %-14s%s\n' "$1" "$2"; }
command_line() { printf '  %s$ %s%s\n' "$DIM" "$*" "$PLAIN"; }
indent() { sed 's/^/    /'; }
seconds() { awk -v ms="$1" 'BEGIN { printf (ms < 9950 ? "%.2f s" : "%.1f s"), ms / 1000 }'; }

fail() {
  printf '%s\n' "$*" >&2
  if [ "$DONE" = no ] && [ -n "$DATA" ] && [ -s "$DATA/platform.log" ]; then
    printf 'The last lines of the platform'\''s log:\n' >&2
    tail -n 15 "$DATA/platform.log" | sed 's/^/  /' >&2
  fi
  exit 1
}

end() {
  local code=$?
  trap - EXIT
  trap '' INT TERM
  if [ -n "$PLATFORM_PID" ]; then
    head_line "Ending"
    if stop_platform; then fact "platform" "ended, and its tasks with it"; else code=1; fi
  fi
  remove_leftovers "$NODE"
  [ -z "$DOCKERD_PID" ] || { stop_docker_if_ours; fact "Docker" "the engine this script started has ended"; }
  [ -z "$DATA" ] || rm -rf "$DATA"
  exit "$code"
}
trap end EXIT
trap '[ "$DONE" = yes ] && exit 0; exit 130' INT TERM

# ---- The ground: Docker, the program, the image ---------------------------------------------------------------------------

# door NAME FLAG PORT: the default port if it is free, else the next one from 10000 above it, and then it says so.
door() {
  local port
  port=$(free_port "$3" "$(($3 + 10000))") || fail "No port is free for the $1 door."
  [ "$port" = "$3" ] || fact "port $3" "is taken; $1 uses $port (flag $2)" >&2
  echo "127.0.0.1:$port"
}

prepare() {
  local began
  head_line "Platform, one machine, the whole way"
  ensure_packages curl=curl jq=jq dnsutils=dig iproute2=ss || fail "The quickstart needs these commands."
  ensure_docker || fail "The quickstart needs a Docker engine."
  fact "Docker" "engine $(docker version --format '{{.Server.Version}}') answers${DOCKERD_PID:+, started by this script}"
  began=$(now_ms)
  build_platform || fail "The program could not be built."
  fact "program" "bin/platform is up to date ($(seconds $(($(now_ms) - began))))"
  make_demo_image || fail "The demo image could neither be pulled nor built."
  fact "image" "$DEMO_IMAGE is there"
}

start() {
  DATA=$(mktemp -d /tmp/platform-quickstart.XXXXXX) || fail "No temporary directory could be made."
  API=$(door REST --api 8080) && DNS=$(door DNS --dns 53) && KV=$(door KV --kv 8500) \
    && EDGE=$(door "edge proxy" --edge 80) && ADMIN=$(door admin --admin 9090) || exit 1
  local flags=(--data "$DATA" --api "$API" --dns "$DNS" --kv "$KV" --edge "$EDGE" --admin "$ADMIN"
    --node-name "$NODE" --domain "$DOMAIN" --runtime auto --stop-tasks-on-exit)
  start_platform "$DATA/platform.log" "${flags[@]}" || fail "The platform did not start."
  fact "platform" "ready in $(seconds "$PLATFORM_READY_MS")"
  command_line "bin/platform up ${flags[*]}"
  printf '  %sREST %s  DNS %s  KV %s  edge %s  admin %s%s\n' "$DIM" "$API" "$DNS" "$KV" "$EDGE" "$ADMIN" "$PLAIN"
}

# ---- The talk's five requests ---------------------------------------------------------------------------------------------

api() { curl -sS --fail-with-body -m 10 "http://$API$1"; }

# "ready wanted waiting staged" of an app; waiting counts only what no node can take, not what is about to start.
state_of() {
  local app queue
  app=$(api "/v2/apps/$1") && queue=$(api /v2/queue) || return 1
  jq -rn --argjson app "$app" --argjson queue "$queue" '
    $app.app as $a
    | (if ($a.healthChecks // []) == [] then $a.tasksRunning else $a.tasksHealthy end) as $ready
    | ([$queue.queue[] | select(.app.id == $a.id and .delay.overdue
         and ([.processedOffersSummary.rejectSummaryLastOffers[]?.declined] | add // 0) > 0) | .count] | add // 0) as $waiting
    | "\($ready) \($a.instances) \($waiting) \($a.tasksStaged)"'
}

await_ready() {
  local app=$1 began=$2 ready=0 wanted=0 waiting=0 staged=0
  while [ $(($(now_ms) - began)) -lt 90000 ]; do
    read -r ready wanted waiting staged < <(state_of "$app") || fail "The platform does not say how '$app' is."
    if [ "$ready" -gt 0 ] && [ "$staged" -eq 0 ] && [ $((ready + waiting)) -ge "$wanted" ]; then
      printf '  %s%s of %s ready%s after %s%s\n' "$GREEN" "$ready" "$wanted" "$PLAIN" "$(seconds $(($(now_ms) - began)))" \
        "$([ "$waiting" -eq 0 ] || echo "; $waiting wait for a node that may take them")"
      return 0
    fi
    sleep 0.05
  done
  fail "'$app' did not become ready within 90 s: $ready of $wanted ready, $waiting wait, $staged staging."
}

# send TITLE METHOD PATH FILE APP STATUS
send() {
  local title=$1 method=$2 path=$3 file=examples/talk/$4 app=$5 expected=$6 began status body=$DATA/answer
  head_line "$title"
  command_line "curl -X $method http://$API$path -H 'Content-Type: application/json' --data-binary @$file"
  began=$(now_ms)
  status=$(curl -sS -m 30 -o "$body" -w '%{http_code}' -X "$method" -H 'Content-Type: application/json' --data-binary "@$file" "http://$API$path") \
    || fail "$method $path was not answered."
  printf '  %s\n' "$status"
  { jq -c . "$body" 2>/dev/null || cat "$body"; } | fold -w 116 | indent
  [ "$status" = "$expected" ] || fail "$method $path with $file was answered $status; $expected was expected."
  await_ready "$app" "$began"
}

talk() {
  send "1  Run a container" POST /v2/apps app-ruby.json rails-demo 201
  send "2  Deploy a Python version" PUT /v2/apps/demo app-python.json demo 201
  send "3  Scale" PUT /v2/apps/demo scale-app.json demo 200
  send "4  Let a health check decide" POST /v2/apps app-with-healthcheck.json healthcheck-demo 201
  send "5  One instance for each node" POST /v2/apps app-with-constraint.json constraint-demo 201
}

# ---- The same endpoints, four ways, and through the proxy -----------------------------------------------------------------

# shown COMMAND…: prints the command, runs it, prints its output; fails if there is none.
shown() {
  local out
  command_line "$*"
  out=$("$@" 2>&1) && [ -n "$out" ] || fail "'$*' gave nothing: $out"
  printf '%s\n' "$out" | indent
}

four_ways() {
  local dns=(dig "@${DNS%:*}" -p "${DNS##*:}" +noall +answer) task container file out

  head_line "The endpoints of demo, four ways"
  fact "DNS" ""
  shown "${dns[@]}" "demo.$DOMAIN" A
  shown "${dns[@]}" "_demo._tcp.$DOMAIN" SRV

  fact "KV" ""
  command_line "curl http://$KV/v1/kv/platform/services/demo?recurse"
  out=$(curl -sS --fail-with-body -m 10 "http://$KV/v1/kv/platform/services/demo?recurse") || fail "The KV door did not answer: $out"
  printf '%s\n' "$out" | jq -er '.[] | "\(.Key)  \(.Value // "" | @base64d)"' | cut -c1-160 | indent \
    || fail "The KV door gave no keys: $out"

  fact "environment" ""
  task=$(api /v2/apps/demo/tasks | jq -er '.tasks[0].id') || fail "The app demo has no task."
  container=platform-$task
  command_line "docker exec $container env"
  out=$(docker exec "$container" env | grep -E '^(HOST|PORT|PORT0|PORTS|MESOS_TASK_ID|MARATHON_APP_ID|MARATHON_APP_VERSION)=' | sort)
  [ -n "$out" ] || fail "The environment of $container names no port."
  printf '%s\n' "$out" | indent

  fact "files" ""
  out=$(find "$DATA/endpoints" -type f -name 'demo.json' | LC_ALL=C sort)
  [ -n "$out" ] || fail "There is no endpoint file for demo under $DATA/endpoints."
  for file in $out; do
    command_line "cat $file"
    jq -c . "$file" | fold -w 116 | indent || fail "$file is no JSON."
  done
}

first_words() { awk '/^(program|task|port)/ { printf "%s%s %s", sep, $1, $2; sep = ", " } END { print "" }'; }

through_the_proxy() {
  local port app out tries
  head_line "Through the node's proxy"
  port=$(api /v2/apps/demo | jq -er '.app.ports[0]') || fail "The app demo has no service port."
  # All four claim port 3000, as in the talk: there the host name tells them apart, and whoever names none reaches the first by id.
  for app in rails-demo demo healthcheck-demo constraint-demo; do
    command_line "curl -H 'Host: $app.$DOMAIN' http://${EDGE%:*}:$port/"
    out=$(curl -sS --fail-with-body -m 10 -H "Host: $app.$DOMAIN" "http://${EDGE%:*}:$port/") || fail "Service port $port did not answer: $out"
    case $out in
      *"$app.instance-"*) printf '%s\n' "$out" | first_words | indent ;;
      *) fail "Service port $port under the name of $app was answered by another app: $out" ;;
    esac
  done
  for app in rails-demo demo healthcheck-demo constraint-demo; do
    command_line "curl -H 'Host: $app.$DOMAIN' http://$EDGE/"
    for ((tries = 0; tries < $([ "$app" = demo ] && echo 3 || echo 1); tries++)); do
      out=$(curl -sS --fail-with-body -m 10 -H "Host: $app.$DOMAIN" "http://$EDGE/") || fail "$app did not answer through the proxy: $out"
      case $out in
        *"$app.instance-"*) printf '%s\n' "$out" | first_words | indent ;;
        *) fail "Host $app.$DOMAIN was answered by another app: $out" ;;
      esac
    done
  done
}

# ---- What runs, and why the rest does not ---------------------------------------------------------------------------------

table() {
  local app ready wanted waiting staged port
  head_line "What runs"
  printf '  %-18s %-8s %-14s %s\n' app ready 'service port' 'DNS name'
  for app in rails-demo demo healthcheck-demo constraint-demo; do
    read -r ready wanted waiting staged < <(state_of "$app") || fail "The platform does not say how '$app' is."
    port=$(api "/v2/apps/$app" | jq -r '.app.ports[0]')
    printf '  %-18s %-8s %-14s %s\n' "/$app" "$ready/$wanted" "$port" "$app.$DOMAIN"
  done
  printf '  %sAll four claim service port 3000, as in the talk: the host name tells them apart there.%s\n' "$DIM" "$PLAIN"
  api /v2/queue | jq -r '.queue[] | "\n  \(.app.id): \(.count) wait", (.waiting[] | "    \(.node): \(.reason): \(.detail)")' \
    || fail "GET /v2/queue gave no reasons."
  local reasons
  reasons=$(api /v2/queue | jq -r '[.queue[] | select(.app.id == "/constraint-demo")
    | select(any(.processedOffersSummary.rejectSummaryLastOffers[]; .reason == "UnfulfilledConstraint" and .declined > 0)) | .count] | add // 0')
  [ "$reasons" = 5 ] || fail "Five instances of constraint-demo should wait for UnfulfilledConstraint; GET /v2/queue says $reasons."
}

prepare
start
talk
four_ways
through_the_proxy
table
DONE=yes

if [ "$STAY" = no ]; then
  printf '\n  %sEvery step held.%s\n' "$GREEN" "$PLAIN"
  exit 0
fi

printf '\n  %sThe platform runs at http://%s.%s Ctrl-C ends it and the demo'\''s containers.\n' "$BOLD" "$API" "$PLAIN"
code=0
wait "$PLATFORM_PID" || code=$?
PLATFORM_PID=
fail "The platform ended by itself with exit code $code."
