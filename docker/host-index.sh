# shellcheck shell=sh
# Where packages come from on this host, as pip's own settings say; sourced by scripts that build or run elsewhere.

pip_files() { # The configuration files that pip itself would read, the weightiest last.
  [ "${PIP_CONFIG_FILE:-}" != /dev/null ] || return 0
  user=${XDG_CONFIG_HOME:-${HOME:-/}/.config}/pip/pip.conf
  [ ! -f "${PIP_CONFIG_FILE:-}" ] || user=$PIP_CONFIG_FILE
  for file in /etc/xdg/pip/pip.conf /etc/pip.conf "${HOME:-/}/.pip/pip.conf" "$user"; do
    [ ! -f "$file" ] || printf '%s\n' "$file"
  done
}

pip_settings() { # "key value..." for each setting that says where packages come from; the environment wins.
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

certificates() { # certificates SETTINGS: the bundle that pip, or else other programs of the host, were told to trust.
  for file in "$(sed -n 's/^cert //p' "$1")" "${REQUESTS_CA_BUNDLE:-}" "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}"; do
    [ ! -f "$file" ] || { printf '%s\n' "$file"; return; }
  done
}

folders() { # folders SETTINGS: the host's folders that they name, and an index's folder's own: its links lead to its siblings.
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
