# Sourced, or run as a command. A real Consul to compare with: Debian bullseye's consul 1.8.7, which later suites no longer have.
#   ensure_consul          prints the path of the binary; fetched once by apt from this machine's own Debian mirror, then kept
#   ensure_prometheus      the same for Prometheus 2.24: Debian builds later ones without Consul discovery
#   ensure_consul_npm      prints a directory for NODE_PATH with npm's package consul
# Consul is unpacked, not installed: nothing of it is left on the machine but the kept file. Non-zero after one sentence on stderr.

CONSUL_SUITE=bullseye
CONSUL_VERSION=1.8.7
CONSUL_NPM_VERSION=2.0.1

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

# _fetch PACKAGE COMMAND INTO DIR
_fetch() {
  local package=$1 command=$2 into=$3 dir=$4 mirror
  mirror=$(_debian_mirror)
  [ -n "$mirror" ] || { echo "No Debian mirror among this machine's apt sources, so $package cannot be fetched." >&2; return 1; }
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/tree"
  : >"$dir/status"
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$mirror" "$CONSUL_SUITE" >"$dir/sources.list"
  if ! { _private_apt "$dir" update && cd "$dir" && _private_apt "$dir" download "$package" && dpkg -x "$package"_*.deb tree; } >"$dir/log" 2>&1; then
    tail -n 8 "$dir/log" >&2
    echo "Debian's $package could not be fetched from $mirror; the end of apt's log is above." >&2
    return 1
  fi
  # By rename: whoever looks meanwhile finds the whole file or none.
  cp "$dir/tree/usr/bin/$command" "$into.$$" && mv "$into.$$" "$into"
}

ensure_consul() (
  cache=$(_consul_cache) || { echo "No directory to keep Consul's binary in." >&2; exit 1; }
  binary=$cache/consul-$CONSUL_VERSION
  exec 9>"$binary.lock"
  flock 9
  if ! [ -x "$binary" ]; then
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    (_fetch consul consul "$binary" "$dir") || exit 1
  fi
  [[ "$("$binary" version 2>/dev/null)" == "Consul v$CONSUL_VERSION"* ]] || { echo "$binary is not Consul $CONSUL_VERSION." >&2; exit 1; }
  echo "$binary"
)

ensure_prometheus() (
  cache=$(_consul_cache) || { echo "No directory to keep Prometheus' binary in." >&2; exit 1; }
  binary=$cache/prometheus-$CONSUL_SUITE
  exec 9>"$binary.lock"
  flock 9
  if ! [ -x "$binary" ]; then
    dir=$(mktemp -d) || exit 1
    trap 'rm -rf "$dir"' EXIT
    (_fetch prometheus prometheus "$binary" "$dir") || exit 1
  fi
  echo "$binary"
)

ensure_consul_npm() (
  cache=$(_consul_cache) || { echo "No directory to keep npm's consul in." >&2; exit 1; }
  place=$cache/consul-npm-$CONSUL_NPM_VERSION
  exec 9>"$place.lock"
  flock 9
  if ! [ -d "$place/node_modules/consul" ]; then
    rm -rf "$place" && mkdir -p "$place" || exit 1
    npm install --prefix "$place" --no-audit --no-fund "consul@$CONSUL_NPM_VERSION" >"$place.log" 2>&1 || { tail -n 8 "$place.log" >&2; echo "npm could not install consul $CONSUL_NPM_VERSION." >&2; exit 1; }
  fi
  echo "$place/node_modules"
)

[ "${BASH_SOURCE[0]}" != "$0" ] || ensure_consul
