# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the VM of a VMware snapshot is today, and whether it is still the one that was snapshotted."""

from __future__ import annotations

from dataclasses import dataclass

from .session import Session
from .vm_snapshots import VmState, find_by_instance_uuid, states

RESTORED = (
    "the VM was registered anew since, or got another instance UUID, and is off, so it may be a restored one that has "
    "to be reverted to it; "
    "revert the VM to it and remove it then, or power the VM on if it was not restored"
)


@dataclass(frozen=True)
class Whereabouts:
    """A VM (managed object ID) with what was read of it.

    `restored`: it bears the VMware snapshot, is off, and was registered, or got its instance UUID, after that was
    taken. It may have been registered from a copy of its files, such as a clone of the ZFS snapshot, and then it needs
    the VMware snapshot.
    """

    vm_moid: str
    state: VmState
    restored: bool = False


def locate(session: Session, vm_moid: str, instance_uuid: str, name: str, state: VmState | None) -> Whereabouts | None:
    """Find the VM that had this managed object ID and instance UUID, as far as the session sees it.

    `state` is what bears that ID today, `name` the VMware snapshot's, which is unique: what bears it is the VM, or a
    copy of it, also with another instance UUID. Of several (the original and a restored one) it is the running one that
    bears the snapshot. Raises VSphereError.
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
    # One that cannot be read may bear it as well, and comes before one that may be restored: neither is touched.
    moid, now = max(
        found.items(), key=lambda one: (_runs_with(one[1], name), not one[1].seen, bool(one[1].named(name)))
    )
    return Whereabouts(moid, now, now.seen and bool(now.named(name)) and not _runs_with(now, name))


def _runs_with(state: VmState, name: str) -> bool:
    return state.seen and state.power == "poweredOn" and bool(state.named(name))
