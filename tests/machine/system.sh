#!/bin/sh
# system.sh SUITE FOLDER: makes a bootable Debian in FOLDER: disk.img, vmlinuz and initrd.img. Needs root and debootstrap.
# It has Debian's own kernel, systemd, Python, and Google's guest agent. Three things stand for Compute Engine's network:
# the name of the metadata server, its address, and localcloud's addresses, which are the same inside as outside.
set -eu
cd "$(dirname "$0")/../.."

suite=$1
folder=$2
root=$folder/root
packages=linux-image-cloud-amd64,systemd-sysv,dbus,google-guest-agent,python3,python3-typing-extensions,ifupdown,isc-dhcp-client,iproute2

# shellcheck source=docker/debian.sh
. docker/debian.sh

mkdir -p "$root"
chmod 755 "$root"
debian "$suite" "$root" $packages
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
printf 'auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n' >"$root/etc/network/interfaces"
printf '127.0.0.1 localhost\n169.254.169.254 metadata.google.internal metadata\n' >"$root/etc/hosts"

# The kernel's command line has pairs INSIDE=OUTSIDE in localcloud.routes: an address here, and the host's port for it.
cat >"$root/usr/local/sbin/localcloud-routes" <<'SCRIPT'
#!/bin/sh
set -eu
ip address add 169.254.169.254/32 dev lo
routes=$(sed -n 's/.*localcloud.routes=\([^ ]*\).*/\1/p' /proc/cmdline)
for route in $(echo "$routes" | tr , ' '); do
  # Without default dependencies, the shutdown ends a route no sooner than the network.
  systemd-run --unit="route-${route%=*}" --property=DefaultDependencies=no --socket-property=DefaultDependencies=no \
    --socket-property=ListenStream="${route%=*}" /lib/systemd/systemd-socket-proxyd "10.0.2.2:${route#*=}"
done
SCRIPT
chmod 755 "$root/usr/local/sbin/localcloud-routes"
cat >"$root/etc/systemd/system/localcloud-routes.service" <<'UNIT'
[Unit]
Description=Routes to localcloud
Wants=network-online.target
After=network-online.target
Before=google-guest-agent.service google-startup-scripts.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/localcloud-routes
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl --quiet enable localcloud-routes.service

# logind obeys the power button. Its mount namespace cannot be set up in this system, so it has none.
mkdir "$root/etc/systemd/system/systemd-logind.service.d"
cat >"$root/etc/systemd/system/systemd-logind.service.d/no-namespace.conf" <<'UNIT'
[Service]
PrivateTmp=no
ProtectClock=no
ProtectControlGroups=no
ProtectHome=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectSystem=no
ReadWritePaths=
UNIT

# The agent ends each of its rounds with an error, and begins another, unless it can edit sshd's settings.
mkdir -p "$root/etc/ssh"
touch "$root/etc/ssh/sshd_config" "$root/etc/pam.d/sshd"

cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd.img"
mke2fs -q -t ext4 -d "$root" "$folder/disk.img" 2G
rm -r "$root"
