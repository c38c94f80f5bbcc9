#!/bin/sh
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The first process of the hypervisor guest: mounts, modules and the network, then the program that the lab sends.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs dev /dev 2>/dev/null
for folder in /run /tmp /vmfs; do busybox mount -t tmpfs tmpfs "$folder"; done
for module in /modules/*; do busybox insmod "$module"; done
busybox ip link set lo up
busybox ip link set eth0 up
busybox ip address add 10.0.4.15/24 dev eth0
busybox ip link set eth1 mtu 9000 up
busybox ip address add 10.0.3.16/24 dev eth1
# The storage host is known by the address that it has in the lab, on another network.
busybox ip route add 10.0.2.15/32 via 10.0.3.15
echo "the hypervisor has booted in $(busybox cut -d' ' -f1 /proc/uptime) s" >/dev/console
while :; do
    /usr/bin/python3 -u -S /bootstrap.py >/dev/console 2>&1
    busybox sleep 1
done
