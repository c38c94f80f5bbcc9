#!/bin/sh
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs once in the storage host after its first start; the machine is saved right after it.
set -eu

zpool create -o ashift=12 -o cachefile=/etc/zfs/zpool.cache -O compression=lz4 -O acltype=posixacl -O xattr=sa -O relatime=on \
    tank /dev/disk/by-id/virtio-tank
zfs create tank/vmware
zfs create tank/vmware/nested
zfs create tank/other

# Use once what every test uses, so that a saved host has it in memory already.
zfs snapshot -r tank/vmware@warm
zfs list -H -p -t all -o name,used >/dev/null
zfs get -H -p all tank/vmware >/dev/null
zfs destroy -r tank/vmware@warm
zpool status >/dev/null
ip -j address >/dev/null
python3 -c 'import json, shutil, subprocess, tempfile, zipfile, ctypes, sqlite3, ssl, urllib.request'
/opt/vmware-zfs/venv/bin/python -c 'import pyVim.connect, pyVmomi, cryptography.fernet'
systemctl list-units >/dev/null

# On a busy machine a unit can time out during the boot. Start it again, and never save a host with a failed unit.
for _ in 1 2 3; do
    systemctl is-system-running --wait >/dev/null && break
    systemctl reset-failed
    systemctl start default.target nfs-server
done
if ! systemctl is-system-running >/dev/null; then
    systemctl list-units --failed --no-legend --plain >&2
    exit 1
fi

# The lab's own login must end before the machine is saved: its connection would be dead when the machine resumes.
setsid sh -c 'until [ "$(pgrep -c sshd)" -le 1 ]; do sleep 0.1; done; sync; zpool sync; echo the last login has ended >/dev/console' \
    >/dev/null 2>&1 </dev/null &
