#!/bin/sh
# Writes the digests of the images that the build trusts into Dockerfile and cloudbuild.yaml: NAME:TAG becomes
# NAME:TAG@sha256:... A name with a digest gets the one that its tag has now. Needs Docker with buildx, and the registries.
set -eu
cd "$(dirname "$0")/.."

docker=${DOCKER:-docker}
files='Dockerfile cloudbuild.yaml'
places='ARG BASE[_0-9]*=\|  _\(BASE[_0-9]*\|PYTHON\|DOCKER\): '

trusted() { # Prints each name that the files give, without its digest.
  # shellcheck disable=SC2086  # splits into words
  sed -n "s/^\($places\)//p" $files | sed 's/@.*//' | sort -u
}

edits=
for name in $(trusted); do
  digest=$($docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$name") && [ -n "$digest" ] || {
    echo "The digest of $name is not known, because its registry does not answer. No file was changed." >&2
    exit 1
  }
  edits="$edits
s#^\\($places\\)$name\\(@.*\\)\\{0,1\\}\$#\\1$name@$digest#"
done
for file in $files; do
  sed "$edits" "$file" >"$file.pinned"
  cat "$file.pinned" >"$file"
  rm "$file.pinned"
done
grep -h "^ARG BASE" Dockerfile
