# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data in the journal: runs and the VMware snapshots that they may have created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import elapsed
from .creation import Creation

QUIESCING, RELEASING, ENDED = "quiescing", "releasing", "ended"  # a run's states
# The states of an entry. `absent`: the VMware snapshot was not found, but its creation, whose response was lost, may
# still be running; it becomes `gone` if it is still not found after some time. `unconsolidated`: it was removed, and
# the VM's disks have needed consolidation since then.
INTENDED, CREATED, REMOVING, ABSENT, GONE = "intended", "created", "removing", "absent", "gone"
UNCONSOLIDATED = "unconsolidated"


@dataclass(frozen=True)
class Entry:
    """A VMware snapshot that exists or may exist.

    `id` is 0 until the entry is stored. `snapshot_moid` is "" until it is known. `changed` is the time of
    the last change of `state`, UTC in ISO 8601; `uptime` is elapsed.mark(changed). `username` is the account that
    requested it, "" if unknown. `needed_consolidation`: the VM's disks needed consolidation before the VMware snapshot
    was requested or, if recovery found it, before its removal was requested.
    """

    run: str
    hostname: str
    port: int
    vm_moid: str
    instance_uuid: str
    vm_name: str
    name: str
    snapshot_moid: str = ""
    state: str = INTENDED
    note: str = ""
    changed: str = ""
    creation: Creation = Creation.ASKED
    username: str = ""
    needed_consolidation: bool = False
    uptime: str = ""
    id: int = 0

    @property
    def watched(self) -> bool:
        """Whether the VMware snapshot was absent, and no later check for it failed."""
        return self.state == ABSENT and not self.note

    @property
    def removal_asked(self) -> bool:
        """Whether its removal may have been requested, which may be why the VM's disks need consolidation now.

        If it existed and is absent now, it may have been removed before the VM became unreachable.
        """
        return self.state in (REMOVING, UNCONSOLIDATED) or (self.state == ABSENT and bool(self.snapshot_moid))

    @property
    def unchanged_for(self) -> float:
        """Seconds since the last change of `state`, even if the clock was set in the meantime."""
        return elapsed.seconds_since(self.changed, self.uptime)


@dataclass(frozen=True)
class RunRecord:
    """A run in the journal. `snapshots` are its ZFS snapshots (`dataset@name`)."""

    id: str
    task: str
    dataset: str
    snapshots: tuple[str, ...]
    state: str
    started: str
    ended: str
    result: dict[str, Any]
