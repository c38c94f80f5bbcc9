# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Powers off a VM that a drill has started. Only a VM with the mark of this drill is powered off."""

from __future__ import annotations

from ..vsphere.session import Session
from ..vsphere.vm_now import VmNow, read_one
from ..vsphere.vm_settings import read_mark
from .flow import Patience, Requests, run_alone
from .power_on import cancel, power_off

PATIENCE = Patience(task=60, server=15)


def power_off_drilled(session: Session, moid: str, drill: str) -> VmNow | None:
    """Power off a VM (managed object ID) if it has the mark of this drill. Returns what it is after that.

    A question that the VM waits for is answered with "cancel" first. Raises RestoreFailed, VSphereError.
    """
    now = read_one(session, moid)
    if now is None or _is_off(now) or read_mark(session, moid) != drill:
        return now
    requests = Requests(session, PATIENCE)
    if now.question is not None:
        run_alone(session, cancel(requests, moid, now.question))
        now = read_one(session, moid)
    if now is not None and now.power != "poweredOff":
        run_alone(session, power_off(requests, moid))
        now = read_one(session, moid)
    return now


def _is_off(now: VmNow) -> bool:
    return now.power == "poweredOff" and now.question is None
