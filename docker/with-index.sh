#!/bin/sh
# Runs a command with the host's package index and certificates, if the build has them as secrets.
set -eu
[ ! -f /run/secrets/pip-config ] || export PIP_CONFIG_FILE=/run/secrets/pip-config
[ ! -f /run/secrets/ca-bundle ] || export PIP_CERT=/run/secrets/ca-bundle
exec "$@"
