# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the VM that has a VMware snapshot, and checks whether it is the original VM or a restored copy."""

from __future__ import annotations

from dataclasses import dataclass

from .session import Session
from .vm_snapshots import VmState, find_by_instance_uuid, states

RESTORED = (
    "the VM is off and was registered again, or got another instance UUID, after the VMware snapshot was taken, so it "
    "may be a restored VM; if so, revert it to the VMware snapshot and then remove that snapshot; if not, power it on"
)


@dataclass(frozen=True)
class Whereabouts:
    """A VM (managed object ID) and its state.

    `restored`: the VM has the VMware snapshot, is off, and was registered or got its instance UUID after the VMware
    snapshot was taken. It may have been registered from a copy of its files, such as a clone of the ZFS snapshot. Then
    it still needs the VMware snapshot.
    """

    vm_moid: str
    state: VmState
    restored: bool = False


def locate(session: Session, vm_moid: str, instance_uuid: str, name: str, state: VmState | None) -> Whereabouts | None:
    """Find the VM that had this managed object ID and instance UUID. Returns None if the session does not see it.

    `state` is the state of the VM that has this managed object ID now. `name` is the unique name of the VMware
    snapshot; a VM that has this snapshot is the original or a copy, even if its instance UUID differs. If there are
    several (the original and a restored VM), the result is the running one with the snapshot. Raises VSphereError.
    """
    if state is not None and (not instance_uuid or state.instance_uuid in ("", instance_uuid)):
        return Whereabouts(vm_moid, state)
    if not instance_uuid:
        return None
    found = states(session, find_by_instance_uuid(session, instance_uuid))
    if state is not None and state.named(name):
        found[vm_moid] = state
    if not found:
        return None
    # Prefer a VM that cannot be read, which may have the snapshot too, to a possibly restored one. Neither is changed.
    moid, now = max(
        found.items(), key=lambda one: (_runs_with(one[1], name), not one[1].seen, bool(one[1].named(name)))
    )
    return Whereabouts(moid, now, now.seen and bool(now.named(name)) and not _runs_with(now, name))


def _runs_with(state: VmState, name: str) -> bool:
    return state.seen and state.power == "poweredOn" and bool(state.named(name))
