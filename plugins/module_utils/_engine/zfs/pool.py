# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the zpool command, with a time limit on every call."""

from __future__ import annotations

from ..errors import ZfsError, ZfsTimeout
from .command import READ_TIMEOUT, Zfs


def zpool(zfs: Zfs, *arguments: str) -> str | None:
    """Return the output of zpool, or None if it refuses, for example because it does not know a property.

    Raises ZfsTimeout, and ZfsError if there is no such command.
    """
    try:
        ended = zfs.host.run(["zpool", *arguments], READ_TIMEOUT)
    except TimeoutError as error:
        raise ZfsTimeout(
            f"'zpool {arguments[0]}' did not end within {READ_TIMEOUT:g} seconds", "Check the pool with 'zpool status'"
        ) from error
    except OSError as error:
        raise ZfsError(f"The command zpool cannot be run: {error.strerror}", "Install OpenZFS on this host") from error
    return None if ended.status else ended.output


def altroot(zfs: Zfs, pool: str) -> str:
    """Return the folder below which all datasets of a pool are mounted, or "" (zpoolprops(7))."""
    try:
        found = (zpool(zfs, "get", "-H", "-o", "value", "altroot", pool) or "").strip()
    except ZfsTimeout:
        raise
    except ZfsError:
        return ""
    return found if found.startswith("/") and found != "/" else ""
