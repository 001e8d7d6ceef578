# shellcheck shell=sh
# Functions that read this host's package index from pip's settings, for scripts that build or run in other systems.

pip_files() { # Prints the configuration files that pip reads, the one with the highest priority last.
  [ "${PIP_CONFIG_FILE:-}" != /dev/null ] || return 0
  user=${XDG_CONFIG_HOME:-${HOME:-/}/.config}/pip/pip.conf
  [ ! -f "${PIP_CONFIG_FILE:-}" ] || user=$PIP_CONFIG_FILE
  for file in /etc/xdg/pip/pip.conf /etc/pip.conf "${HOME:-/}/.pip/pip.conf" "$user"; do
    [ ! -f "$file" ] || printf '%s\n' "$file"
  done
}

pip_settings() { # Prints "key value..." for each setting of the package index; the environment has priority.
  {
    pip_files | while read -r file; do cat "$file"; echo; done
    echo '[global]'
    [ -z "${https_proxy:-${HTTPS_PROXY:-}}" ] || echo "proxy = ${https_proxy:-$HTTPS_PROXY}"
    env | sed -n 's/^PIP_\([A-Z_]*\)=/\1 = /p'
  } | awk '
    /^[ \t]*([#;]|$)/ { next }
    /^\[/ { wanted = /^\[(global|install|download)\]/; key = ""; next }
    !wanted { next }
    /^[ \t]/ { if (key != "") { sub(/^[ \t]+/, ""); value[key] = value[key] " " $0 } next }
    { at = match($0, /[ \t]*[=:][ \t]*/); key = tolower(substr($0, 1, at - 1)); gsub(/_/, "-", key)
      value[key] = substr($0, at + RLENGTH) }
    END {
      split("index-url extra-index-url find-links no-index trusted-host proxy timeout default-timeout retries cert", kept, " ")
      for (i = 1; i in kept; i++) if (value[kept[i]] != "") print kept[i], value[kept[i]]
    }'
}

certificates() { # certificates SETTINGS: prints the bundle that pip trusts, or else other programs of the host.
  for file in "$(sed -n 's/^cert //p' "$1")" "${REQUESTS_CA_BUNDLE:-}" "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}"; do
    [ ! -f "$file" ] || { printf '%s\n' "$file"; return; }
  done
}

folders() { # folders SETTINGS: prints the folders that they name; for an index, its parent, as links lead to siblings.
  while read -r key values; do
    for value in $values; do
      path=${value#file://}
      case $key:$path in
        find-links:/*) printf '%s\n' "${path%/}" ;;
        *index-url:/*) dirname "${path%/}" ;;
      esac
    done
  done <"$1" | sort -u | while read -r path; do
    [ ! -d "$path" ] || [ "$path" = / ] || printf '%s\n' "$path"
  done
}
