#!/bin/sh
# needs.sh PYTHON: exits with 0 if the machine has what the project needs. Otherwise, one sentence names the gap.
set -eu

missing() {
  printf '%s\n' "notebook-builder needs $*" >&2
  exit 1
}

version='import sys, platform as p
ok = sys.version_info >= (3, 11) and p.system() == "Linux" and p.machine() == "x86_64"
ok or sys.exit("%s is Python %s on %s %s" % (sys.executable, p.python_version(), p.system(), p.machine()))'

command -v "$1" >/dev/null || missing "Python 3.11 or newer, and there is no $1 here (Debian, Ubuntu: apt-get install python3 python3-venv; another: make PYTHON=...)"
found=$("$1" -c "$version" 2>&1) || missing "Python 3.11 or newer on Linux x86-64; $found (another: make PYTHON=...)"
"$1" -c 'import venv, ensurepip' 2>/dev/null || missing "the venv module of Python (Debian, Ubuntu: apt-get install python3-venv)"
command -v git >/dev/null || missing "git (Debian, Ubuntu: apt-get install git)"
