# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How consistent a VM's disks are in a ZFS snapshot, from worst to best.

crash        as after a power cut: nothing prepared the guest
filesystem   the guest's file systems were flushed and frozen, as VMware Tools report
application  the guest's applications were, too (Windows VSS, shown by the writers' manifest of the VMware snapshot)
still        nothing ran: the VM was powered off or suspended with its memory beside, or there is no VM at all

Nothing that vSphere shows tells a freeze from Tools that only claim it (open-vm-tools: enableSyncDriver=false).
"""

from __future__ import annotations

from typing import Iterable

CRASH, FILESYSTEM, APPLICATION, STILL = "crash", "filesystem", "application", "still"
LEVELS = (CRASH, FILESYSTEM, APPLICATION, STILL)


def lowest(levels: Iterable[str]) -> str:
    """The level of a set: that of its worst member; `still` for an empty set."""
    return min(levels, key=LEVELS.index, default=STILL)


def of_quiesced(guest: str, manifest: str) -> str:
    """The level of a VMware snapshot that its tree shows as quiesced; in doubt the lower one.

    `guest` is the kind of guest (vms.Vm.guest), `manifest` the tree's backupManifest. vSphere sets `quiesced` for any
    guest whose Tools answered, but only Windows and Linux guests are frozen, and only Windows Server with VSS
    prepares its applications, which leaves a VSS manifest (vSphere VDDK programming guide, "Working with Microsoft
    Shadow Copy").
    """
    if guest == "windows server" and "vss_manifests" in manifest:
        return APPLICATION
    return CRASH if guest == "other" else FILESYSTEM
