# Sourced. Machines on one machine: network namespaces on a bridge of their own. As root.
#   make_machines NAME SUBNET COUNT     bridge NAME, which is SUBNET.254 here, and namespaces NAME-1 … NAME-COUNT, which are SUBNET.1 …
#   remove_machines NAME                all of it, with every process that still runs there
#   machines_left PREFIX                what there still is of machines whose names begin so
# Every function returns non-zero after one sentence on stderr; none of them exits.

# Docker lets nothing through its FORWARD chain that it does not know, frames between ports of a bridge included.
_let_through() { command -v iptables >/dev/null 2>&1 || return 0; iptables -w 10 "$1" FORWARD -i "$2" -o "$2" -m comment --comment "$2" -j ACCEPT; }

make_machines() {
  local name=$1 subnet=$2 count=$3 i
  if ip -o -4 addr show | grep -qF " $subnet."; then echo "$subnet.0/24 is in use on this machine." >&2; return 2; fi
  ip link add "$name" type bridge && ip addr add "$subnet.254/24" dev "$name" && ip link set "$name" up && _let_through -I "$name" || { remove_machines "$name"; return 1; }
  for ((i = 1; i <= count; i++)); do
    ip netns add "$name-$i" \
      && ip link add "$name-$i" type veth peer name eth0 netns "$name-$i" \
      && ip link set "$name-$i" master "$name" up \
      && ip -n "$name-$i" addr add "$subnet.$i/24" dev eth0 \
      && ip -n "$name-$i" link set lo up \
      && ip -n "$name-$i" link set eth0 up \
      && ip -n "$name-$i" route add default via "$subnet.254" || { remove_machines "$name"; return 1; }
  done
}

remove_machines() {
  local name=$1 space pids
  for space in $(ip netns list | awk '{ print $1 }' | grep -E "^$name-[0-9]+$"); do
    pids=$(ip netns pids "$space")
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
    ip netns del "$space"
    ip link del "$space" 2>/dev/null # the end here goes with the one there, sooner or later
  done
  _let_through -D "$name" 2>/dev/null
  ip link del "$name" 2>/dev/null
  return 0
}

machines_left() {
  ip netns list | awk '{ print "namespace " $1 }' | grep -F "namespace $1"
  ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print "interface " $2 }' | grep -F "interface $1"
  ! command -v iptables >/dev/null 2>&1 || iptables -w 10 -S FORWARD | grep -F -- "--comment $1"
  return 0
}
