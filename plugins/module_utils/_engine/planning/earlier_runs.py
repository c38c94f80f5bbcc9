# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leftovers of earlier runs. A VM with a leftover gets no new VMware snapshot: each run would add another one."""

from __future__ import annotations

from ..state.engine import Engine
from ..state.identity import NAME_PREFIX, Origin, origin_of
from ..state.journal_entries import Entry
from ..vsphere.vms import Vm
from .server_logins import ServerLogin


class EarlierRuns:
    """Finds leftovers. Create it before the VMs are read: a run that ends in between must not look like a dead run.

    VMware snapshots of living runs are not leftovers. Neither are those of other storage hosts: their runs may be
    alive, and their own recovery removes them. A journal entry alone, without a VMware snapshot on the VM, is not a
    leftover either.
    """

    def __init__(self, engine: Engine) -> None:
        self._host, self._journal = engine.host, engine.journal
        self._is_alive = engine.locks.living()
        self._entries = [entry for entry in engine.journal.open_entries() if not self._is_alive(entry.run)]

    def leftover_of(self, login: ServerLogin, vm: Vm) -> str:
        """Return why the VM must not get a VMware snapshot, or ""."""
        for name, description in vm.snapshots:
            if not name.startswith(NAME_PREFIX):
                continue
            entry = next((entry for entry in self._entries if entry.name == name), None)
            origin = origin_of(self._host, name, description)
            if entry is not None or (origin is not None and self._is_over(origin)):
                return (
                    f"its VMware snapshot '{name}' from an earlier run still exists{_note(entry)}, so the VM gets "
                    f"no new one; run 'vmware-zfs recover{'' if entry else ' --scan'}'"
                )
        for entry in self._entries if vm.consolidation_needed else ():
            if entry.removal_asked and _is_of(entry, login, vm):
                return (
                    "its disks need consolidation after the removal of a VMware snapshot from an earlier run"
                    f"{_note(entry)}, so the VM gets no new one; run 'vmware-zfs recover'"
                )
        return ""

    def _is_over(self, origin: Origin) -> bool:
        """Return whether the run belongs to this host and has ended.

        A former identity of this host may belong to a clone of it, and the run may be alive there.
        """
        ours = origin.sure or self._journal.run(origin.run) is not None
        return ours and not self._is_alive(origin.run)


def _note(entry: Entry | None) -> str:
    return f" ({entry.note})" if entry is not None and entry.note else ""


def _is_of(entry: Entry, login: ServerLogin, vm: Vm) -> bool:
    if entry.instance_uuid and vm.instance_uuid:
        return entry.instance_uuid == vm.instance_uuid
    endpoint = login.session.endpoint
    return (entry.hostname, entry.port, entry.vm_moid) == (endpoint.hostname, endpoint.port, vm.moid)
