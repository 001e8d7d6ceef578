#!/bin/sh
# Builds the documentation site in build/site from the Markdown that the repository shows: README.md is the first page, and every
# relative link works in both. A page or an anchor that does not exist fails the build. Needs no network.
set -eu
cd "$(dirname "$0")/../.."

site=$PWD/build/site
source=$site.source
rm -rf "$site" "$source"
mkdir -p "$source"
# What git tracks and does not ignore: pages, pictures, and the files that pages link to.
git ls-files --cached --others --exclude-standard -- '*.md' '*.png' LICENSE cloudbuild.yaml docker examples localcloud tests |
  while read -r file; do
    [ ! -f "$file" ] || (mkdir -p "$source/$(dirname "$file")" && cp "$file" "$source/$file")
  done
cp docs/site/zensical.toml "$source.toml"
log=$source.log
if ! NO_COLOR=1 .venv/site/bin/zensical build --clean --strict --config-file "$source.toml" >"$log" 2>&1; then
  sed 's/\x1b\[[0-9;]*m//g' "$log" >&2
  exit 1
fi
rm -rf "$source" "$source.toml" "$log"
printf 'the site is in %s\n' "$site"
