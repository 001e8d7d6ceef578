#!/usr/bin/env bash
# Resolves pyproject.toml into the hashed requirements files beside this script. No file names an index.
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
# uv alone, which installs the others: the same one.
sed -n '1p; /^uv==/,/[^\\]$/p' requirements/dev.txt >requirements/uv.txt
for minor in 11 12 13; do
  compile "kit-cp3$minor.txt" --python-version "3.$minor" --python-platform x86_64-manylinux_2_28 --group kit
done
compile machine-image-scientific.txt --universal --python-version 3.11 --group scientific
compile bigquery.txt --universal --python-version 3.11 --group bigquery
compile lint.txt --universal --python-version 3.11 --group lint
compile sbom.txt --universal --python-version 3.11 --group sbom
# The function's own is part of its source archive: what Google builds it from, and localcloud.
compile ../function/requirements.txt --universal --python-version 3.11 --group function
