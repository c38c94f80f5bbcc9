# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block cloning: whether a pool can share the blocks of two files, and whether it did.

A copy looks the same whether or not blocks were shared. Only the pool's counters show the difference.
"""

from __future__ import annotations

from .command import Zfs
from .pool import zpool

# Grows with each clone. bcloneused does not grow if the same blocks are cloned again.
_SAVED, _FEATURE = "bclonesaved", "feature@block_cloning"
_SWITCH = "/sys/module/zfs/parameters/zfs_bclone_enabled"  # 0 by default from 2.2.1 to 2.2.x, 1 from 2.3


def saved(zfs: Zfs, pool: str) -> int | None:
    """Return how many bytes block cloning saves in the pool now, or None if this OpenZFS does not have it.

    Waits until everything that was written before is on disk, because the pool counts it only then.
    """
    zpool(zfs, "sync", pool)
    return _number(zpool(zfs, "get", "-Hp", "-o", "value", _SAVED, pool))


def is_expected(zfs: Zfs, pool: str) -> bool:
    """Return whether this host and the pool support block cloning and have it enabled. A copy may still not share."""
    try:
        switch = zfs.host.read(_SWITCH).strip()
    except OSError:
        return False
    feature = zpool(zfs, "get", "-Hp", "-o", "value", _FEATURE, pool)
    return switch == "1" and feature is not None and feature.strip() in ("enabled", "active")


def _number(output: str | None) -> int | None:
    return int(output) if output is not None and output.strip().isdigit() else None
