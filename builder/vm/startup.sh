#!/bin/bash
# The VM's startup script: finds a Python and hands it the bootstrap, which stands in the here-document below.
# The text is the same for every job; what differs comes as data from the metadata server.
set -u
PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export PATH

# One line for the serial port, where the builder reads it. Newer guest agents do not pass on what a startup script prints, so the line goes
# to the port as well. Another computer's first serial port is not ours: the firmware names a VM of Compute Engine "Google Compute Engine".
report() {
  echo "notebook-builder: $1"
  case $(cat /sys/class/dmi/id/product_name 2>/dev/null) in
    Google*) if [ -c /dev/ttyS0 ]; then { echo "notebook-builder: $1" >/dev/ttyS0; } 2>/dev/null; fi ;;
  esac
}

python=
found=
for candidate in python3 /opt/conda/bin/python3 /usr/bin/python3 python3.15 python3.14 python3.13 python3.12 python3.11; do
  version=$("$candidate" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
  case $version in
    # The kit has packages for these versions of CPython and no others.
    3.11 | 3.12 | 3.13 | 3.14 | 3.15)
      python=$candidate
      break
      ;;
    ?*) found="$found; $candidate is Python $version" ;;
  esac
done
if [ -z "$python" ]; then
  report "failed: no_python: no CPython 3.11, 3.12, 3.13, 3.14 or 3.15 on PATH, in /opt/conda/bin or in /usr/bin$found"
  exit 1
fi

"$python" -I -S - <<'NOTEBOOK_BUILDER_BOOTSTRAP'
NOTEBOOK_BUILDER_BOOTSTRAP
status=$?
if [ "$status" -ne 0 ]; then
  report "failed: bootstrap: exit status $status"
fi
exit "$status"
