#!/bin/sh
# Runs the README's commands on bare Debians: the smallest system of debootstrap, with only python3-venv, git, and make,
# as an ordinary user, in a folder whose path has spaces. It tests the last commit. Needs root and debootstrap.
# ROOMS lists the suites, the oldest first. Each suite runs EACH, and then the first one runs OLDEST.
# A room shares the kernel, the network, the devices, the package index, and the certificates of this host. It shares a
# download cache with other rooms only. It is not a chroot, because user namespaces cannot be created in a chroot.
set -eu
cd "$(dirname "$0")/.."

rooms=${ROOMS:-bookworm trixie}
each=${EACH:-make demo}
oldest=${OLDEST-make test}
folder=$PWD/build/clean-room
checkout="My Projects/notebook builder"
user=1000

# shellcheck source=docker/debian.sh
. docker/debian.sh
# shellcheck source=docker/host-index.sh
. docker/host-index.sh

say() { printf '%s\n' "$*" >&2; }

system() { # system SUITE: creates the suite's system once, and prints its folder.
  kept=$folder/$1
  if [ ! -d "$kept" ]; then
    scratch=$folder/making-$$
    mkdir -m 755 "$scratch"
    debian "$1" "$scratch" python3-venv,git,make
    chroot "$scratch" useradd --uid $user --create-home --shell /bin/sh newcomer
    mv "$scratch" "$kept"
  fi
  printf '%s\n' "$kept"
}

pip_config() { # Prints the host's settings as the pip.conf of the room.
  echo '[global]'
  sed -n '/^cert /!s/ / = /p' "$folder/settings-$$"
  [ -z "$bundle" ] || echo 'cert = /etc/host-certificates.pem'
}

furnish() { # furnish ROOT: adds a fresh clone, and the host's settings of the network and the package index.
  git clone --quiet --no-hardlinks . "$1/home/newcomer/$checkout"
  (umask 077 && pip_settings >"$folder/settings-$$") # it can contain a password
  bundle=$(certificates "$folder/settings-$$")
  (umask 077 && pip_config >"$1/etc/pip.conf")
  [ -z "$bundle" ] || cp "$bundle" "$1/etc/host-certificates.pem"
  cp /etc/resolv.conf /etc/hosts "$1/etc/"
  mkdir -p "$folder/cache" "$1/home/newcomer/.cache"
  chown "$user:$user" "$folder/cache"
  chown -R "$user:$user" "$1/home/newcomer" "$1/etc/pip.conf"
}

inside() { # inside ROOT COMMAND: runs the command in the room, and ends all processes that it leaves.
  # shellcheck disable=SC2016  # these are the inner shells' variables
  unshare --mount --pid --fork --kill-child --propagation private sh -eu -c '
    root=$1 folder=$2 settings=$3
    mount --bind "$root" "$root"
    mount --bind "$folder/cache" "$root/home/newcomer/.cache"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/run"
    . docker/host-index.sh
    folders "$settings" | while read -r shared; do
      mkdir -p "$root$shared"
      mount --bind -o ro "$shared" "$root$shared"
    done
    cd "$root"
    mkdir .host
    pivot_root . .host
    exec chroot . /bin/sh -eu -c "
      umount -l /.host
      rmdir /.host
      cd \"/home/newcomer/\$2\"
      exec setpriv --reuid $4 --regid $4 --clear-groups \
        env -i HOME=/home/newcomer USER=newcomer TERM=dumb PATH=/usr/local/bin:/usr/bin:/bin \
        sh -c \"\$1; exit \\\$?\"" sh "$5" "$6"
  ' sh "$1" "$folder" "$folder/settings-$$" "$user" "$2" "$checkout"
}

attempt() { # attempt SUITE ROOT COMMAND: runs the command, and prints its time, or the end of its log if it fails.
  log=$folder/$1-$(printf '%s' "$3" | tr -cs 'a-zA-Z0-9\n' '-' | cut -c1-60).log
  begun=$(date +%s)
  if inside "$2" "$3" >"$log" 2>&1 </dev/null; then
    printf '%s: %s: %d s\n' "$1" "$3" $(($(date +%s) - begun))
  else
    tail -n 60 "$log" >&2
    say "$1: \"$3\" failed after $(($(date +%s) - begun)) s; the full log is in $log"
    exit 1
  fi
}

[ "$(id -u)" = 0 ] || { say "make clean-room needs root: debootstrap creates device files, and rooms are mounted"; exit 1; }
has_debootstrap || { say "make clean-room needs debootstrap (Debian, Ubuntu: apt-get install debootstrap)"; exit 1; }
mkdir -p "$folder"
room=
trap 'rm -rf "$folder/making-$$" "$folder/settings-$$" ${room:+"$room"}' EXIT
trap 'exit 130' INT TERM HUP

second=$oldest
for suite in $rooms; do
  kept=$(system "$suite")
  room=$(mktemp -d "$folder/room-$suite-XXXXXX")
  chmod 755 "$room"
  cp -a --reflink=auto "$kept/." "$room"
  furnish "$room"
  attempt "$suite" "$room" "$each"
  [ -z "$second" ] || attempt "$suite" "$room" "$second"
  second=
  rm -rf "$room"
  room=
done
