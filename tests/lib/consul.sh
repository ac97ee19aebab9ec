# Sourced, or run as a command. A real Consul to compare with: Debian bullseye's consul 1.8.7, which later suites no longer have.
#   ensure_consul          prints the path of the binary; fetched once by apt from this machine's own Debian mirror, then kept
# It is unpacked, not installed: nothing of it is left on the machine but the kept file. Non-zero after one sentence on stderr.

CONSUL_SUITE=bullseye
CONSUL_VERSION=1.8.7

_consul_cache() {
  local place
  for place in "${PLATFORM_TEST_CACHE-}" /var/cache/platform-tests "/tmp/platform-tests-cache.$(id -u)"; do
    [ -n "$place" ] || continue
    mkdir -p "$place" 2>/dev/null && [ -w "$place" ] && { echo "$place"; return 0; }
  done
  return 1
}

# The mirror and its key are those the machine already uses for Debian itself; security and updates are other archives or suites.
_debian_mirror() {
  apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 'Component: main' 2>/dev/null \
    | awk '$2 !~ /-(security|updates|backports)/ && $1 ~ /\/debian\/?$/ { print $1; exit }'
}

# apt with a list of its own in DIR, which shares nothing with the machine's apt but the network settings and the keys.
_private_apt() {
  local dir=$1
  shift
  apt-get -q -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$dir/lists" \
    -o Dir::Cache="$dir/cache" -o Dir::State::Status="$dir/status" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

_fetch_consul() {
  local into=$1 dir=$2 mirror
  mirror=$(_debian_mirror)
  [ -n "$mirror" ] || { echo "No Debian mirror among this machine's apt sources, so real Consul cannot be fetched." >&2; return 1; }
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/tree"
  : >"$dir/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$CONSUL_SUITE" >"$dir/sources.list"
  if ! { _private_apt "$dir" update && cd "$dir" && _private_apt "$dir" download consul && dpkg -x consul_*.deb tree; } >"$dir/log" 2>&1; then
    tail -n 8 "$dir/log" >&2
    echo "Debian's consul could not be fetched from $mirror; the end of apt's log is above." >&2
    return 1
  fi
  # By rename: whoever looks meanwhile finds the whole file or none.
  cp "$dir/tree/usr/bin/consul" "$into.$$" && mv "$into.$$" "$into"
}

ensure_consul() (
  cache=$(_consul_cache) || { echo "No directory to keep Consul's binary in." >&2; exit 1; }
  binary=$cache/consul-$CONSUL_VERSION
  exec 9>"$binary.lock"
  flock 9
  if ! [ -x "$binary" ]; then
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    (_fetch_consul "$binary" "$dir") || exit 1
  fi
  "$binary" version 2>/dev/null | grep -q "^Consul v$CONSUL_VERSION" || { echo "$binary is not Consul $CONSUL_VERSION." >&2; exit 1; }
  echo "$binary"
)

[ "${BASH_SOURCE[0]}" != "$0" ] || ensure_consul
