# Sourced. One Docker engine and the image of the examples, for whoever needs them:
#   ensure_packages PACKAGE=COMMAND…   installs what is missing (root and apt), else says what is missing
#   ensure_docker                      an engine answers, or a sentence why not
#   make_demo_image                    superguenter/demo-app is there: pulled, or built from tests/lib/demo-app
#   build_demo_image NAME              builds the same tree under another name, never pulls
#   stop_docker_if_ours                ends the engine that ensure_docker started, and only that one
# Every function returns non-zero after one sentence on stderr; none of them exits.

DEMO_IMAGE=superguenter/demo-app
DOCKER_LIB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DOCKERD_PID=

_say() { printf '%s\n' "$*" >&2; }

# ensure_packages iproute2=ss dnsutils=dig …: the command, or a file given with its path, tells whether the package is there.
ensure_packages() {
  local pair missing=() commands=()
  for pair in "$@"; do
    command -v "${pair#*=}" >/dev/null 2>&1 || [ -f "${pair#*=}" ] || { missing+=("${pair%%=*}"); commands+=("${pair#*=}"); }
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    _say "missing: ${commands[*]}. Install ${missing[*]} (as root: apt-get install ${missing[*]}), or run this as root."
    return 1
  fi
  command -v apt-get >/dev/null 2>&1 || { _say "missing: ${commands[*]}, and there is no apt-get to install ${missing[*]} with."; return 1; }
  _say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    _say "apt could not install ${missing[*]}."
    return 1
  fi
  rm -f "$log"
}

_docker_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ensure_docker() {
  if command -v docker >/dev/null 2>&1 && _docker_answers; then return 0; fi
  if [ "$(id -u)" -ne 0 ]; then
    if command -v docker >/dev/null 2>&1; then
      _say "No Docker engine answers. Start one, or let this user reach it (group docker), or run this as root."
    else
      _say "Docker is missing. Install it (as root: apt-get install docker.io iptables), or run this as root."
    fi
    return 1
  fi
  ensure_packages docker.io=dockerd iptables=iptables || return 1
  _docker_answers && return 0 # the package's own service may have started it meanwhile
  _start_dockerd
}

_start_dockerd() {
  DOCKERD_DIR=$(mktemp -d /tmp/platform-dockerd.XXXXXX)
  # A session of its own: Ctrl-C in the terminal must reach our script, which then ends tasks before the engine.
  setsid dockerd --pidfile "$DOCKERD_DIR/dockerd.pid" >"$DOCKERD_DIR/dockerd.log" 2>&1 </dev/null &
  DOCKERD_PID=$!
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    _docker_answers && return 0
    kill -0 "$DOCKERD_PID" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 8 "$DOCKERD_DIR/dockerd.log" >&2
  _say "dockerd did not start; its log is above."
  stop_docker_if_ours
  return 1
}

stop_docker_if_ours() {
  [ -n "$DOCKERD_PID" ] || return 0
  kill -TERM "$DOCKERD_PID" 2>/dev/null
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    kill -0 "$DOCKERD_PID" 2>/dev/null || break
    sleep 0.1
  done
  kill -0 "$DOCKERD_PID" 2>/dev/null && kill -KILL "$DOCKERD_PID" 2>/dev/null
  wait "$DOCKERD_PID" 2>/dev/null
  DOCKERD_PID=
  rm -rf "$DOCKERD_DIR"
}

_has_image() { docker image inspect "$1" >/dev/null 2>&1; }

# A statically linked busybox: Debian's busybox-static has it at /bin/busybox.
_static_busybox() {
  local candidate=/bin/busybox
  if [ -x "$candidate" ] && ! ldd "$candidate" >/dev/null 2>&1; then echo "$candidate"; return 0; fi
  if [ "$(id -u)" -ne 0 ]; then
    _say "The demo image needs a statically linked busybox at /bin/busybox (as root: apt-get install busybox-static)."
    return 1
  fi
  _say "installing busybox-static"
  if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends busybox-static; } >/dev/null 2>&1 \
    || ldd "$candidate" >/dev/null 2>&1; then
    _say "apt could not install busybox-static."
    return 1
  fi
  echo "$candidate"
}

build_demo_image() {
  local name=$1 fingerprint busybox tree applet
  # The label tells whether the image is of these very files, so an edit here is not hidden by an old image.
  fingerprint=$(cd "$DOCKER_LIB_DIR/demo-app" && find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
  [ "$(docker image inspect --format '{{index .Config.Labels "demo.fingerprint"}}' "$name" 2>/dev/null)" = "$fingerprint" ] && return 0
  busybox=$(_static_busybox) || return 1
  tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,dev,etc,proc,root,srv,sys,usr/bin} && mkdir -m 1777 "$tree/tmp"
  cp "$busybox" "$tree/bin/busybox"
  for applet in $("$busybox" --list); do
    case $applet in busybox|rails|python) continue ;; esac
    ln -s busybox "$tree/bin/$applet"
  done
  cp "$DOCKER_LIB_DIR/demo-app/rails" "$tree/bin/rails"
  cp "$DOCKER_LIB_DIR/demo-app/python" "$tree/usr/bin/python"
  cp "$DOCKER_LIB_DIR/demo-app/serve" "$tree/srv/serve"
  cp -r "$DOCKER_LIB_DIR/demo-app/cgi-bin" "$tree/srv/cgi-bin"
  chmod -R a+rX "$tree" && chmod 755 "$tree/bin/rails" "$tree/usr/bin/python" "$tree/srv/serve" "$tree"/srv/cgi-bin/*
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' > "$tree/etc/group"
  if ! tar -C "$tree" --owner=0 --group=0 --numeric-owner -c . \
    | docker import --change "LABEL demo.fingerprint=$fingerprint" --change 'CMD ["rails","server","-p","3000"]' - "$name" >/dev/null; then
    rm -rf "$tree"
    _say "docker import could not make the image $name."
    return 1
  fi
  rm -rf "$tree"
}

make_demo_image() {
  if _has_image "$DEMO_IMAGE"; then
    # Somebody's real image stays what it is; an older one of ours is brought up to date.
    [ -n "$(docker image inspect --format '{{index .Config.Labels "demo.fingerprint"}}' "$DEMO_IMAGE" 2>/dev/null)" ] || return 0
    build_demo_image "$DEMO_IMAGE"
    return
  fi
  timeout 15 docker pull -q "$DEMO_IMAGE" >/dev/null 2>&1 && return 0
  build_demo_image "$DEMO_IMAGE"
}
