#!/usr/bin/env bash
# Reads the text form of /v2/tasks as haproxy-marathon-bridge is documented to: curl with these flags, each line split into words, the first a name,
# the second a port if nothing but digits, the rest servers; under errexit and nounset, which a line of one word would end. Prints HAProxy's listeners.
#   bridge.sh HOST:PORT
set -o errexit -o nounset -o pipefail

curl -sSfLk -m 10 -H 'Accept: text/plain' "http://$1/v2/tasks" | while IFS= read -r line; do
  set -- $line
  name=$1 port=$2
  shift 2
  [ -z "${port%%[0-9]*}" ] || continue # an app without ports: its second word is a host
  case $port in *[!0-9]*) echo "line of an address where a port should be: $line" >&2; exit 1 ;; esac
  printf 'listen %s-%s\n  bind 0.0.0.0:%s\n' "$name" "$port" "$port"
  count=0
  for server in "$@"; do
    count=$((count + 1))
    printf '  server %s-%s %s check\n' "$name" "$count" "$server"
  done
done
