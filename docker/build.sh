#!/bin/sh
# Builds the image as notebook-builder:<version> and notebook-builder:dev. Needs an engine with BuildKit, git, and sh.
# BASE=IMAGE sets another base. It also applies to the stages that build the kits, unless BASE_311, BASE_312, BASE_314,
# and BASE_315 set theirs. Further arguments go to `docker build`. The host's pip settings and certificates reach the
# build as secrets. An index in a folder or on the loopback interface of this host works too.
set -eu
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
base=${BASE:-$(sed -n 's/^ARG BASE=//p' Dockerfile)}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
export DOCKER_BUILDKIT=1

# shellcheck source=docker/host-index.sh
. docker/host-index.sh

say() { printf '%s\n' "$*" >&2; }

not_built() {
  say "The image was not built. To build it for tests on a machine that reaches no registry:"
  say "  make image-base && make image BASE=notebook-builder-base:trixie-standin"
  exit 1
}

revision() { # Prints the commit, with "-dirty" if tracked files differ from it or files of the image are not tracked.
  commit=$(git rev-parse HEAD 2>/dev/null) || { echo unknown; return; }
  changed=$(git status --porcelain -- builder docker entrypoint.py function requirements LICENSE Dockerfile .dockerignore)
  echo "$commit${changed:+-dirty}"
}

origin() { # Prints the public address of the source: plain https, never with a user name or a token.
  git config --get remote.origin.url 2>/dev/null | grep -E '^https://[^@?]+$' || echo unknown
}

serve() { # serve FOLDER...: serves the folders on the loopback interface, read-only; sets $address.
  # shellcheck disable=SC2046  # splits into words; the folders of an index have no spaces
  set -- $(for path in "$@"; do printf -- '--volume %s:/srv%s:ro ' "$path" "$path"; done)
  server=$($docker run --detach --rm --network host "$@" --entrypoint python "$base" -u -m http.server --bind 127.0.0.1 --directory /srv 0) ||
    not_built
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$($docker logs "$server" 2>&1 | sed -n 's/.* port \([0-9]*\) .*/\1/p' | head -n 1)
    [ -z "$port" ] || break
    sleep 1
  done
  [ -n "$port" ] || { say "the server for the package index on this host did not start"; exit 1; }
  address=http://127.0.0.1:$port
}

pip_config() { # Prints the settings as a pip.conf for the build. A folder becomes a URL at $address that ends in "/".
  echo '[global]'
  grep -v '^cert ' "$secrets/settings" | while read -r key values; do
    printf '%s =' "$key"
    for value in $values; do
      case $key:${value#file://} in
        find-links:/* | *index-url:/*) value=$address${value#file://} value=${value%/}/ ;;
      esac
      printf ' %s' "$value"
    done
    echo
  done
}

server=
secrets=$(mktemp -d)
chmod 700 "$secrets"
end() {
  rm -rf "$secrets"
  [ -z "$server" ] || $docker kill "$server" >/dev/null || :
}
trap end EXIT
trap 'exit 130' INT TERM

pip_settings >"$secrets/settings"
bundle=$(certificates "$secrets/settings")
shared=$(folders "$secrets/settings")
# shellcheck disable=SC2086
[ -z "$shared" ] || serve $shared
pip_config >"$secrets/pip-config"
set -- --secret "id=pip-config,src=$secrets/pip-config" "$@"
[ -z "$bundle" ] || set -- --secret "id=ca-bundle,src=$bundle" "$@"
# A server on this host's loopback interface is reachable only from a build in the host's own network.
! grep -qE '://([^/@ ]*@)?(127\.|localhost[:/]|\[::1\])' "$secrets/pip-config" || set -- --network host "$@"

tags=
pinned() { # pinned IMAGE: remembers an image that others can change: one with a tag and from a registry.
  case $1 in *@sha256:* | notebook-builder-base:*) ;; *) tags="$tags $1" ;; esac
}
pinned "$base"
for name in BASE_311 BASE_312 BASE_314 BASE_315; do
  named=$(printenv "$name") || :
  named=${named:-${BASE:-}}
  set -- --build-arg "$name=${named:-$(sed -n "s/^ARG $name=//p" Dockerfile)}" "$@"
  pinned "${2#*=}"
done
$docker build "$@" --build-arg "BASE=$base" \
  --build-arg "VERSION=$version" --build-arg "REVISION=$(revision)" \
  --build-arg "SOURCE=$(origin)" --tag "notebook-builder:$version" --tag notebook-builder:dev . || not_built
say "Built notebook-builder:$version and notebook-builder:dev on $base"
[ -z "$tags" ] || say "These bases are tags, which others can move; make pin writes their digests:$tags"
