#!/bin/sh
# Runs a Docker engine on a fresh Debian or Ubuntu machine. `start` installs what is missing, and starts an engine
# unless one answers. `stop` ends only the engine that `start` started. `client` prints the client for DOCKER. Needs root.
# ENGINE_DATA is the folder that keeps the engine's images from one start to the next.
set -eu

data=${ENGINE_DATA:-/var/lib/notebook-builder-engine}
state=/run/notebook-builder-engine
pid_file=$state/dockerd.pid
log=$state/dockerd.log

say() { printf '%s\n' "$*" >&2; }

client() { # Prints the first client that supports build secrets; a newer one needs its buildx plugin for this.
  for candidate in "${DOCKER:-docker}" docker /usr/bin/docker; do
    if DOCKER_BUILDKIT=1 "$candidate" build --help 2>/dev/null | grep -q -- --secret; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

answers() { found=$(client) && "$found" version >/dev/null 2>&1; }

ours() { # True if the process in our pid file is still the engine that we started.
  [ -f "$pid_file" ] && tr '\0' ' ' <"/proc/$(cat "$pid_file")/cmdline" 2>/dev/null | grep -q -- "--data-root $data "
}

install_missing() {
  missing=
  command -v dockerd >/dev/null || missing="docker.io"
  client >/dev/null || missing="docker.io docker-cli docker-buildx"
  command -v iptables >/dev/null || missing="$missing iptables"
  command -v debootstrap >/dev/null || missing="$missing debootstrap debian-archive-keyring"
  [ -n "$missing" ] || return 0
  apt-get update -q >&2
  known= # In older Debians, docker.io contains the client and buildx.
  for package in $missing; do
    [ -z "$(apt-cache policy "$package")" ] || known="$known $package"
  done
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $known >&2
}

start() {
  install_missing
  if answers; then
    say "an engine is already running"
    return
  fi
  mkdir -p "$data" "$state"
  # In a session of its own, the engine outlives this script's terminal. It starts its own containerd.
  setsid dockerd --data-root "$data" --exec-root "$state/exec" --pidfile "$pid_file" >"$log" 2>&1 </dev/null &
  for _ in $(seq 60); do
    if answers; then
      say "engine started, process $(cat "$pid_file")"
      return
    fi
    sleep 1
  done
  tail -n 20 "$log" >&2
  ! ours || kill "$(cat "$pid_file")"
  say "the engine did not start within a minute; the full log is in $log"
  exit 1
}

clear_away() { # Removes the mounts of network namespaces that the engine leaves.
  umount "$state"/exec/netns/* 2>/dev/null || :
  rm -rf "$state/exec"
  say "engine stopped"
}

stop() {
  if ! ours; then
    say "no engine that this script started is running"
    return
  fi
  pid=$(cat "$pid_file")
  kill "$pid"
  for _ in $(seq 30); do
    [ -d "/proc/$pid" ] || { clear_away; return; }
    sleep 1
  done
  say "engine $pid did not end within 30 s; see $log"
  exit 1
}

case ${1:-} in
  start | stop | client) "$1" ;;
  *)
    say "usage: docker/engine.sh start|stop|client"
    exit 2
    ;;
esac
