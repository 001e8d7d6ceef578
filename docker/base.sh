#!/bin/sh
# Makes notebook-builder-base:trixie-standin: Debian trixie with Python 3.13, laid out as python:3.13-slim-trixie is.
# A stand-in for tests, for machines that reach a Debian mirror but no registry. Never publish what is built on it.
# Needs root, debootstrap and a running engine. Kept in build/base: a second call only looks whether it is still loaded.
set -eu
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
image=notebook-builder-base:trixie-standin
archive=build/base/trixie-standin.tar.gz

say() { printf '%s\n' "$*" >&2; }

mirror() { # The host's own mirror of Debian, without a final slash; Debian's own where the host has none.
  # shellcheck disable=SC2016  # apt's own variable
  own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1) || own=
  own=${own:-http://deb.debian.org/debian}
  printf '%s\n' "${own%/}"
}

proxy() { # proxy http|https: the one that apt itself uses, or nothing.
  eval "$(apt-config shell found "Acquire::$1::Proxy")"
  printf '%s\n' "${found:-}"
}

make_root() { # make_root FOLDER: a minimal trixie with Python below FOLDER.
  for scheme in http https; do
    through=$(proxy $scheme)
    [ -z "$through" ] || export "${scheme}_proxy=$through"
  done
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    --keyring=/usr/share/keyrings/debian-archive-keyring.gpg trixie "$1" "$(mirror)" >"$1.log" 2>&1 ||
    { tail -n 20 "$1.log" >&2; say "debootstrap failed; all it said is in $1.log"; exit 1; }
  # As the official image has it: the three commands in /usr/local/bin, and pip may install.
  mkdir -p "$1/usr/local/bin"
  ln -s /usr/bin/python3 "$1/usr/local/bin/python"
  ln -s /usr/bin/python3 "$1/usr/local/bin/python3"
  ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"
  rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
  # No package lists or archives, and nothing of the host's network.
  rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/* "$1"/var/log/*
  : >"$1/etc/resolv.conf"
  : >"$1/etc/hostname"
  printf 'deb http://deb.debian.org/debian trixie main\n' >"$1/etc/apt/sources.list"
}

make_archive() {
  [ "$(id -u)" = 0 ] || { say "make image-base needs root: debootstrap makes device files and changes root"; exit 1; }
  command -v debootstrap >/dev/null || { say "make image-base needs debootstrap (Debian, Ubuntu: apt-get install debootstrap)"; exit 1; }
  folder=$PWD/build/base
  mkdir -p "$folder"
  scratch=$(mktemp -d "$folder/root-XXXXXX")
  trap 'rm -rf "$scratch" "$scratch.log" "$archive.part"' EXIT
  chmod 755 "$scratch"
  make_root "$scratch"
  tar --numeric-owner --sort=name -C "$scratch" -cf - . | gzip -1 >"$archive.part"
  mv "$archive.part" "$archive"
}

warn() {
  say "###############################################################################"
  say "# $image is a STAND-IN for python:3.13-slim-trixie."
  say "# It is for tests on a machine that reaches no registry. Do not publish an image"
  say "# that was built on it: nobody rebuilds it when Debian or Python are patched."
  say "###############################################################################"
}

[ -f "$archive" ] || make_archive
# The archive's checksum is the image's label: an engine that has it already needs no import.
checksum=$(cksum <"$archive" | tr ' ' -)
loaded=$($docker image inspect --format '{{index .Config.Labels "standin.archive"}}' "$image" 2>/dev/null) || loaded=
if [ "$loaded" != "$checksum" ]; then
  gzip -dc "$archive" | $docker import --change "LABEL standin.archive=$checksum" --change 'CMD ["python3"]' \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image" >/dev/null
fi
warn
printf '%s\n' "$image"
