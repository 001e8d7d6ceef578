# shellcheck shell=sh
# Functions that create a minimal Debian from the host's mirror, for scripts that use it as an image or a room. Need root.

mirror() { # Prints the host's mirror of Debian without a final slash, or Debian's own if the host has none.
  # shellcheck disable=SC2016  # apt's own variable
  own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1) || own=
  own=${own:-http://deb.debian.org/debian}
  printf '%s\n' "${own%/}"
}

proxy() { # proxy http|https: prints the proxy that apt uses, or nothing.
  apt-config dump --format '%F=%v%n' "Acquire::$1::Proxy" | sed -n "s/^Acquire::$1::Proxy=//p"
}

has_debootstrap() { command -v debootstrap >/dev/null; }

debian() { # debian SUITE FOLDER PACKAGE,PACKAGE...: installs a minimal system with these packages.
  for scheme in http https; do
    through=$(proxy $scheme)
    [ -z "$through" ] || export "${scheme}_proxy=$through"
  done
  debootstrap --variant=minbase --include="$3" --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    "$1" "$2" "$(mirror)" >"$2.log" 2>&1 ||
    { tail -n 20 "$2.log" >&2; printf '%s\n' "debootstrap failed; the full log is in $2.log" >&2; exit 1; }
  # Remove package lists, archives, and the host's network settings.
  rm -rf "$2"/var/cache/apt/archives/*.deb "$2"/var/cache/apt/*.bin "$2"/var/lib/apt/lists/* "$2"/var/log/*
  : >"$2/etc/resolv.conf"
  : >"$2/etc/hostname"
  printf 'deb http://deb.debian.org/debian %s main\n' "$1" >"$2/etc/apt/sources.list"
}
