#!/usr/bin/env bash
# How long 20 instances of a tiny container take until they run: by `platform up`, by plain `docker run` four at a time, by Docker Swarm.
#   tests/benchmarks/start20.sh [ROUNDS]     default 5; the three take turns in each round, the first round is a warm-up and is not counted
# All three start the same image with a published port, 32 MB and 0.01 cpu. Swarm mode is turned on at a loopback address for the run and off
# afterwards; on an engine that is in a swarm already, or with SWARM=no, it is left out.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ROUNDS=${1:-5}
COUNT=20
PARALLEL=4
SWARM=${SWARM-yes}
BY_US=${BY_US-yes}

# ---- plain docker run ----
plain() {
  local began
  began=$(now_ms)
  seq "$COUNT" | xargs -P "$PARALLEL" -I{} docker run -d --name "$NODE-plain-{}" --label "bench=$NODE" --network "$NODE" \
    -p 127.0.0.1::8080 --memory 32m --cpu-shares 10 "$IMAGE" /bin/sh -c 'rails server -p 8080' >/dev/null || fail "docker run failed."
  TOOK=$(($(now_ms) - began))
}
after_plain() { docker ps -aq --filter "label=bench=$NODE" | xargs -r docker rm -f >/dev/null; }

# ---- Docker Swarm ----
swarm() {
  local began
  began=$(now_ms)
  docker service create -d --name "$NODE-swarm" --replicas "$COUNT" --publish mode=host,target=8080 --limit-memory 32m --no-resolve-image \
    "$IMAGE" /bin/sh -c 'rails server -p 8080' >/dev/null || fail "docker service create failed."
  while [ "$(docker service ps "$NODE-swarm" --filter desired-state=running --format '{{.CurrentState}}' | grep -c '^Running')" -lt "$COUNT" ]; do
    [ $(($(now_ms) - began)) -lt 120000 ] || fail "Swarm did not get $COUNT tasks to running in 120 s."
    sleep 0.05
  done
  TOOK=$(($(now_ms) - began))
}
after_swarm() {
  docker service rm "$NODE-swarm" >/dev/null
  while [ -n "$(docker ps -aq --filter "name=$NODE-swarm")" ]; do sleep 0.1; done
}
swarm_on() {
  [ "$SWARM" = yes ] || return 0
  if [ "$(docker info --format '{{.Swarm.LocalNodeState}}')" != inactive ]; then
    echo "the engine is in a swarm already: Swarm is left out"
    SWARM=no
    return 0
  fi
  GATEWAY_BRIDGE_WAS_THERE=$(docker network ls -q --filter name='^docker_gwbridge$')
  docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:"$(free_port 23770)" >/dev/null || fail "docker swarm init failed."
  ON_END+=(swarm_off)
}
swarm_off() {
  docker service rm "$NODE-swarm" >/dev/null 2>&1
  docker swarm leave --force >/dev/null
  [ -n "$GATEWAY_BRIDGE_WAS_THERE" ] || docker network rm docker_gwbridge >/dev/null 2>&1
}

# ---- the platform ----
BODY='{"id":"/bench","cmd":"rails server -p 8080","instances":'$COUNT',"cpus":0.01,"mem":32,"container":{"type":"DOCKER","docker":{"image":"'$IMAGE'",
  "network":"BRIDGE","portMappings":[{"containerPort":8080,"hostPort":0,"servicePort":0}]}}}'
ours() {
  local began
  began=$(now_ms)
  api -o /dev/null -X POST -H 'Content-Type: application/json' --data-binary "$BODY" "http://$API/v2/apps" || fail "POST /v2/apps failed."
  while [ "$(api "http://$API/v2/apps/bench" | jq .app.tasksRunning)" != "$COUNT" ]; do
    [ $(($(now_ms) - began)) -lt 120000 ] || fail "The platform did not get $COUNT tasks to running in 120 s."
    sleep 0.05
  done
  TOOK=$(($(now_ms) - began))
}
after_ours() {
  api -o /dev/null -X DELETE "http://$API/v2/apps/bench" || fail "DELETE /v2/apps/bench failed."
  while [ -n "$(docker ps -aq --filter "label=platform.node=$NODE")" ]; do sleep 0.1; done
}

end_plain() { after_plain; docker network rm "$NODE" >/dev/null 2>&1; }

ensure_packages curl=curl jq=jq iproute2=ss || exit 1
ensure_docker && build_demo_image "$IMAGE" || exit 1
ON_END+=(end_plain)
docker network create "$NODE" >/dev/null || fail "No network could be made."
METHODS=(plain)
swarm_on
[ "$SWARM" = yes ] && METHODS+=(swarm)
if [ "$BY_US" = yes ]; then
  build_platform && bench_platform --runtime docker || exit 1
  METHODS=(ours "${METHODS[@]}")
fi

declare -A ALL
echo "$COUNT containers to running, milliseconds"
for ((round = 0; round <= ROUNDS; round++)); do
  line=
  for method in "${METHODS[@]}"; do
    "$method"
    "after_$method"
    line+="  $method $TOOK"
    [ "$round" -eq 0 ] || ALL[$method]+="$TOOK "
  done
  [ "$round" -eq 0 ] && echo "  warm-up$line" || echo "  round $round$line"
done

echo "medians"
for method in "${METHODS[@]}"; do
  m=$(median ${ALL[$method]})
  case $method in ours) OURS=$m ;; plain) PLAIN=$m ;; swarm) IN_SWARM=$m ;; esac
  echo "  $method $m"
done
[ -z "${OURS-}" ] || echo "ours / plain = $(ratio "$OURS" "$PLAIN") (aim: at most 1.30)"
[ -z "${OURS-}" ] || [ -z "${IN_SWARM-}" ] || echo "ours / swarm = $(ratio "$OURS" "$IN_SWARM") (aim: below 1)"
