# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restores to measure, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

ENGINE = "quiesce.vmware_zfs"
PLAYBOOK = "community.vmware and vmware.vmware"
COPY, CLONE = "copy", "clone"
CLONING = "block cloning"  # measured by block_cloning.py


@dataclass(frozen=True)
class RestoreCase:
    """`vms` VMs of one ZFS snapshot are restored at once, until all of them are powered on."""

    vms: int
    way: str = COPY
    systems: tuple[str, ...] = (ENGINE,)

    @property
    def name(self) -> str:
        return f"restore {self.vms} VM{'s' * (self.vms > 1)}, {self.way}"


FULL = (
    RestoreCase(1, systems=(ENGINE, PLAYBOOK)),
    RestoreCase(10, systems=(ENGINE, PLAYBOOK)),
    RestoreCase(50),
    RestoreCase(1, CLONE),
    RestoreCase(10, CLONE),
    RestoreCase(50, CLONE),
)
SMALL = (RestoreCase(1), RestoreCase(3))
