# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Consistency levels of a VM's disks in a ZFS snapshot, from worst to best.

crash        as after a power failure: the guest was not prepared
filesystem   VMware Tools reported that the guest's file systems were flushed and frozen
application  applications were prepared as well (Windows VSS; the VMware snapshot has the writers' manifest)
still        nothing ran: the VM was powered off or suspended, or there is no VM

vSphere does not show whether VMware Tools only claim to have frozen the file systems (open-vm-tools:
enableSyncDriver=false).
"""

from __future__ import annotations

from typing import Iterable

CRASH, FILESYSTEM, APPLICATION, STILL = "crash", "filesystem", "application", "still"
LEVELS = (CRASH, FILESYSTEM, APPLICATION, STILL)


def lowest(levels: Iterable[str]) -> str:
    """Return the worst of `levels`, or `still` if there are none."""
    return min(levels, key=LEVELS.index, default=STILL)


def lowest_known(levels: Iterable[str | None]) -> str | None:
    """Return the worst of the levels that are not None, or None if there are none."""
    known = [level for level in levels if level is not None]
    return lowest(known) if known else None


def reaches(level: str, wanted: str) -> bool:
    """Return whether a level is `wanted` or better."""
    return LEVELS.index(level) >= LEVELS.index(wanted)


def of_quiesced(guest: str, manifest: str) -> str:
    """Return the level of a VMware snapshot that vSphere shows as quiesced. If in doubt, return the lower level.

    `guest` is the kind of guest (vms.Vm.guest); `manifest` is the snapshot's backupManifest. vSphere sets `quiesced`
    for every guest whose VMware Tools responded. However, only Windows and Linux guests are frozen. Only Windows Server
    prepares its applications by VSS, which creates a VSS manifest (vSphere VDDK programming guide, "Working with
    Microsoft Shadow Copy").
    """
    if guest == "windows server" and "vss_manifests" in manifest:
        return APPLICATION
    return CRASH if guest == "other" else FILESYSTEM
