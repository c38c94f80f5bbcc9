# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in a ZFS snapshot that only meant something while the living VMs ran: locks, swap files, deleted files.

A clone keeps the IDs of files, so a lock file in it would lock the same disks for a host that does not use them.
"""

from __future__ import annotations

import posixpath
import re

from ..door.host import StorageHost
from ..errors import RestoreFailed
from ..text import printable, reason_of

# Locks of hosts that used the VM (NFS 3), files that were deleted while they were open, swap files, earlier markers.
_STALE = re.compile(r"\.lck-[^/]*|\.nfs[0-9a-f]+|.*\.vswp|\.vmware-zfs-restore|\.\.vmware-zfs-restore\.new", re.ASCII)


def is_stale(name: str) -> bool:
    """Return whether a file with this name is left out of a copy and removed from a clone."""
    return _STALE.fullmatch(name) is not None


def remove_stale(host: StorageHost, root: str) -> None:
    """Remove stale files from a clone that is mounted at `root`: from its root and from the folders in it.

    Raises RestoreFailed.
    """
    try:
        root = host.real_path(root)
        names = host.list_folder(root)
        for folder in (root, *(posixpath.join(root, name) for name in names)):
            for name in names if folder == root else _files_in(host, folder):
                if is_stale(name):
                    host.remove_file(posixpath.join(folder, name))
    except OSError as error:
        raise RestoreFailed(
            f"A lock file in the clone at {printable(root, 200)} could not be removed: {reason_of(error)}",
            "Check the pool with 'zpool status'",
        ) from error


def _files_in(host: StorageHost, folder: str) -> list[str]:
    """Return the names in a folder, and nothing for a file or a symbolic link, which could lead out of the clone."""
    return host.list_folder(folder) if host.is_folder(folder) and host.real_path(folder) == folder else []
