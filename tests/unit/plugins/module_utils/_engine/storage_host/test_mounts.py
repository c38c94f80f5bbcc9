# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mount table of the storage host."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import (
    Mount,
    parse_mountinfo,
)

MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:40 / /tank rw,noatime shared:2 master:7 - zfs tank rw,xattr,noacl
41 40 0:41 / /tank/vmware rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
42 27 0:41 /win\0402022 /export/win\0402022 rw,noatime shared:3 - zfs tank/vmware rw,xattr,noacl
43 27 0:43 / /srv/a rw - zfs tank/hidden rw
44 27 8:1 / /srv rw - xfs /dev/sda1 rw
45 27 0:45 / /data rw - zfs tank/below rw
46 45 0:46 / /data rw - zfs tank/above rw
47 43 0:47 / /srv/a/b rw - zfs tank/hidden/b rw
48 27 0:48 / /mnt rw - tmpfs  rw
"""


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    mounts = {mount.mountpoint: mount for mount in parse_mountinfo(MOUNTINFO) if mount.visible}
    assert mounts["/"] == Mount("/dev/vda1", "/", "/", "ext4")
    assert mounts["/tank/vmware"] == Mount("tank/vmware", "/", "/tank/vmware", "zfs")
    assert mounts["/export/win 2022"] == Mount("tank/vmware", "/win 2022", "/export/win 2022", "zfs")
    assert mounts["/mnt"] == Mount("", "/", "/mnt", "tmpfs")


def test_a_mount_to_which_no_path_leads_is_not_visible() -> None:
    visible = {mount.source: mount.visible for mount in parse_mountinfo(MOUNTINFO)}
    assert not visible["tank/hidden"], "a later mount on the directory above hides it"
    assert not visible["tank/hidden/b"], "and what is mounted below it"
    assert not visible["tank/below"], "mounted over"
    assert visible["tank/above"]
    assert visible["tank/vmware"]


def test_mounts_are_visible_without_a_mounted_root_as_in_a_chroot() -> None:
    (mount,) = parse_mountinfo("41 40 0:41 / /tank rw - zfs tank rw\n")
    assert mount.visible


def test_the_mounts_of_this_machine_are_those_that_the_kernel_shows() -> None:
    mounts = parse_mountinfo(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
    visible = [mount.mountpoint for mount in mounts if mount.visible]
    assert len(visible) == len(set(visible))
    assert "/" in visible
    assert all(os.path.ismount(path) for path in visible if os.path.isdir(path) and os.access(path, os.X_OK))
