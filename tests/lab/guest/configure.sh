#!/bin/sh
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs once inside the storage host's root file system while it is built, by chroot: native speed, no service is started.
# $1 is the kernel's release.
set -eu

echo storage >/etc/hostname
echo 5d6f1a2b3c4d4e5f8a9b0c1d2e3f4a5b >/etc/machine-id
depmod "$1"
ln -sf /usr/share/zoneinfo/UTC /etc/localtime

# What a server for tests has no use for, and what would only cost time at every start.
cd /etc/systemd/system
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer systemd-tmpfiles-clean.timer \
    getty@tty1.service serial-getty@ttyS0.service systemd-logind.service systemd-pstore.service systemd-rfkill.service \
    systemd-rfkill.socket nfs-blkmap.service zfs-volume-wait.service systemd-timesyncd.service ldconfig.service \
    systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-update-done.service \
    systemd-firstboot.service systemd-sysusers.service systemd-binfmt.service rpc-statd-notify.service \
    modprobe@efi_pstore.service modprobe@drm.service modprobe@configfs.service modprobe@fuse.service \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-mqueue.mount dev-hugepages.mount; do
    ln -sf /dev/null "$unit"
done
# Devices that the emulated machine has and the storage host has no use for.
for module in ata_piix ata_generic pata_acpi i2c_piix4 psmouse mousedev evdev serio_raw pcspkr floppy button joydev tiny_power_button; do
    echo "blacklist $module"
done >/etc/modprobe.d/lab.conf

systemctl enable lab-network.service ssh.service nfs-server.service \
    zfs-import-cache.service zfs-import.target zfs-mount.service zfs-share.service zfs.target
systemctl set-default multi-user.target

rm -f /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C storage.lab -f /etc/ssh/ssh_host_ed25519_key
chmod 0700 /root/.ssh
chmod 0600 /root/.ssh/authorized_keys

# The engine's virtual environment, as the runtime role would make it: the system's Python has no pyVmomi, on purpose.
python3 -m venv /opt/vmware-zfs/venv
/opt/vmware-zfs/venv/bin/pip install --quiet --no-index --find-links /var/lib/lab/wheels pyVmomi cryptography
library="/usr/lib/$(basename "$(readlink -f /usr/bin/python3)")"
ln -sf /usr/share/lab/sitecustomize.py "$library/sitecustomize.py"
mkdir -p /var/cache/lab-bytecode
python3 -m compileall -q "$library" || true
