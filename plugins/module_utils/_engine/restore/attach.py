# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attaches a disk from a clone to another VM, and proves that the VM uses only files of the clone for it."""

from __future__ import annotations

from functools import partial
from typing import Sequence

from ..errors import RestoreFailed
from ..text import printable
from ..vsphere import vm_disks
from ..vsphere.session import Session
from ..vsphere.vm_devices import Backing
from .flow import Patience, Requests, run_alone
from .plan import Helper
from .proof import CopyPlace
from .steps import VmSteps


def attach(session: Session, helper: Helper, file: str, places: Sequence[CopyPlace], steps: VmSteps) -> None:
    """Attach the disk `file` ("[datastore] path") to the helper. Raises RestoreFailed; the caller undoes."""
    holder = _read(session, helper)
    step = steps.intend("attach", {"vm_moid": helper.moid, "instance_uuid": helper.instance_uuid, "file": file})
    begin = partial(vm_disks.start_attach, vm_moid=helper.moid, holder=holder, file=file)
    requests = Requests(session, Patience())
    run_alone(session, requests.carry_out("The attachment of the disk", begin, look=partial(_key, helper, file)))
    now = _read(session, helper)
    key = now.key_of(file)
    if key is None:
        raise RestoreFailed(f"'{helper.name}' does not show the disk that was attached", "Check its settings")
    outside = [one for one in now.disks[key] if not _is_in(one, places)]
    if outside:
        raise RestoreFailed(
            f"The disk was removed again, because it uses a file outside of the clone: {printable(outside[0], 200)}",
            "Restore the whole VM instead",
        )
    steps.done(step, key=key)


def _read(session: Session, helper: Helper) -> vm_disks.DiskHolder:
    holder = vm_disks.read_disks(session, helper.moid)
    if holder is None or holder.instance_uuid != helper.instance_uuid:
        raise RestoreFailed(f"'{helper.name}' no longer exists", "Start the restore again with another VM")
    return holder


def _key(helper: Helper, file: str, session: Session) -> str:
    key = _read(session, helper).key_of(file)
    return "" if key is None else str(key)


def _is_in(file: str, places: Sequence[CopyPlace]) -> bool:
    return any(place.holds(Backing("the disk", "", file)) for place in places)
