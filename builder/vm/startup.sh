#!/bin/bash
# The VM's startup script: finds a Python and hands it the bootstrap, which stands in the here-document below.
# The text is the same for every job; what differs comes as data from the metadata server.
set -u
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH

python=
for candidate in python3 /opt/conda/bin/python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
  # The kit has packages for these versions of CPython and no others.
  if "$candidate" -I -S -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "notebook-builder: failed: no_python: no CPython 3.11, 3.12 or 3.13 on PATH, in /opt/conda/bin or in /usr/bin"
  exit 1
fi

"$python" -I -S - <<'NOTEBOOK_BUILDER_BOOTSTRAP'
NOTEBOOK_BUILDER_BOOTSTRAP
status=$?
if [ "$status" -ne 0 ]; then
  echo "notebook-builder: failed: bootstrap: exit status $status"
fi
exit "$status"
