#!/bin/sh
# Builds notebook-builder-base:trixie-standin: Debian trixie with Python 3.13, in the layout of python:3.13-slim-trixie.
# It is a stand-in for tests on machines that reach a Debian mirror but no registry. Never publish an image built on it.
# Needs root, debootstrap, and a running engine. build/base keeps the archive: a second call only loads it if necessary.
set -eu
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
image=notebook-builder-base:trixie-standin
archive=build/base/trixie-standin.tar.gz

# shellcheck source=docker/debian.sh
. docker/debian.sh

say() { printf '%s\n' "$*" >&2; }

make_root() { # make_root FOLDER: creates a minimal trixie with Python below FOLDER.
  debian trixie "$1" ca-certificates,python3,python3-pip,python3-venv
  # As in the official image: three commands in /usr/local/bin, and pip can install packages.
  mkdir -p "$1/usr/local/bin"
  ln -s /usr/bin/python3 "$1/usr/local/bin/python"
  ln -s /usr/bin/python3 "$1/usr/local/bin/python3"
  ln -s /usr/bin/pip3 "$1/usr/local/bin/pip"
  rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
}

make_archive() {
  [ "$(id -u)" = 0 ] || { say "make image-base needs root: debootstrap creates device files and changes root"; exit 1; }
  has_debootstrap || { say "make image-base needs debootstrap (Debian, Ubuntu: apt-get install debootstrap)"; exit 1; }
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
  say "# built on it: no one rebuilds it when Debian or Python get security fixes."
  say "###############################################################################"
}

[ -f "$archive" ] || make_archive
# The image's label is the archive's checksum. If the engine has an image with this label, no import is needed.
checksum=$(cksum <"$archive" | tr ' ' -)
loaded=$($docker image inspect --format '{{index .Config.Labels "standin.archive"}}' "$image" 2>/dev/null) || loaded=
if [ "$loaded" != "$checksum" ]; then
  gzip -dc "$archive" | $docker import --change "LABEL standin.archive=$checksum" --change 'CMD ["python3"]' \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image" >/dev/null
fi
warn
printf '%s\n' "$image"
