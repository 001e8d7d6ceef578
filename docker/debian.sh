# shellcheck shell=sh
# Minimal Debians from the host's own mirror; sourced by scripts that make an image or a room of one. Needs root.

mirror() { # The host's own mirror of Debian, without a final slash; Debian's own where the host has none.
  # shellcheck disable=SC2016  # apt's own variable
  own=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -E '/debian/?$' | head -n 1) || own=
  own=${own:-http://deb.debian.org/debian}
  printf '%s\n' "${own%/}"
}

proxy() { # proxy http|https: the one that apt itself uses, or nothing.
  eval "$(apt-config shell found "Acquire::$1::Proxy")"
  printf '%s\n' "${found:-}"
}

has_debootstrap() { command -v debootstrap >/dev/null; }

debian() { # debian SUITE FOLDER PACKAGE,PACKAGE...: the suite's least system with these packages, below the folder.
  for scheme in http https; do
    through=$(proxy $scheme)
    [ -z "$through" ] || export "${scheme}_proxy=$through"
  done
  debootstrap --variant=minbase --include="$3" --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    "$1" "$2" "$(mirror)" >"$2.log" 2>&1 ||
    { tail -n 20 "$2.log" >&2; printf '%s\n' "debootstrap failed; all it said is in $2.log" >&2; exit 1; }
  # No package lists or archives, and nothing of the host's network.
  rm -rf "$2"/var/cache/apt/archives/*.deb "$2"/var/cache/apt/*.bin "$2"/var/lib/apt/lists/* "$2"/var/log/*
  : >"$2/etc/resolv.conf"
  : >"$2/etc/hostname"
  printf 'deb http://deb.debian.org/debian %s main\n' "$1" >"$2/etc/apt/sources.list"
}
