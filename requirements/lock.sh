#!/usr/bin/env bash
# Resolves pyproject.toml into the requirements files beside this script, with hashes. No file names an index.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}

compile() { # compile OUTPUT ARGS...
  local output=$1
  shift
  "$uv" pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
    --annotation-style line --upgrade --output-file "requirements/$output" "$@"
  sed -i "1i # Written by requirements/lock.sh from pyproject.toml; do not edit." "requirements/$output"
}

compile builder.txt --universal --python-version 3.11 pyproject.toml
compile dev.txt --universal --python-version 3.11 --group dev pyproject.toml
# The same version of uv, in a file of its own: it installs the others.
sed -n '1p; /^uv==/,/[^\\]$/p' requirements/dev.txt >requirements/uv.txt
# Only wheels, because the build of the kit compiles no package.
for minor in 11 12 13 14 15; do
  compile "kit-cp3$minor.txt" --python-version "3.$minor" --python-platform x86_64-manylinux_2_28 --only-binary :all: \
    --group kit
done
for image in scientific ubuntu-2404 debian-12; do
  compile "machine-image-$image.txt" --universal --python-version 3.11 --group "$image"
done
compile bigquery.txt --universal --python-version 3.11 --group bigquery
compile lint.txt --universal --python-version 3.11 --group lint
compile site.txt --universal --python-version 3.11 --group site
compile sbom.txt --universal --python-version 3.11 --group sbom
# This file is part of the function's source archive, from which Google and localcloud build the function.
compile ../function/requirements.txt --universal --python-version 3.11 --group function
