# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdicts of a drill on a VM, and on a ZFS snapshot with VMs."""

from __future__ import annotations

from typing import Iterable

FAILED = "failed"
INCONCLUSIVE = "inconclusive"  # nothing is known, for example because the ESXi host had no free memory
BOOTED = "booted"  # it ran, and has no VMware Tools that could show more
VERIFIED = "verified"  # VMware Tools run and have a heartbeat
NOT_TRIED = "not tried"
TRIED = (FAILED, INCONCLUSIVE, BOOTED, VERIFIED)  # from the worst to the best


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst verdict on VMs that were tried, or NOT_TRIED if there are none."""
    return min((one for one in verdicts if one in TRIED), key=TRIED.index, default=NOT_TRIED)
