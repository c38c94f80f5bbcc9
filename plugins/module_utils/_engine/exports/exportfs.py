# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command exportfs of the storage host."""

from __future__ import annotations

from typing import Iterable

from ..door.host import Ended, StorageHost
from ..errors import DependencyError, ExportRefused
from ..text import printable

_SECONDS = 60.0  # it resolves the names of all clients


def exportfs(host: StorageHost, *arguments: str) -> Ended:
    """Run exportfs. Raises DependencyError if it is not installed, and ExportRefused if it does not finish."""
    try:
        return host.run(["exportfs", *arguments], _SECONDS)
    except (FileNotFoundError, PermissionError) as error:
        raise DependencyError(
            "The command exportfs is not installed on this storage host",
            "Install the NFS server, which is in the package nfs-kernel-server or nfs-utils",
        ) from error
    except OSError as error:
        raise refused({str(error)}) from error


def refused(said: Iterable[str]) -> ExportRefused:
    output = printable(" | ".join(sorted(said)), 600)
    return ExportRefused(f"exportfs refused the share: {output}", "Fix the cause; the exports are unchanged")
