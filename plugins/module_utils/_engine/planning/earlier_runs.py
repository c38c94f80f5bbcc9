# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs left on a VM: it gets no other VMware snapshot then, or it would get one more with every run."""

from __future__ import annotations

from ..state.engine import Engine
from ..state.identity import NAME_PREFIX, Origin, origin_of
from ..state.journal_entries import Entry
from ..vsphere.vms import Vm
from .server_logins import ServerLogin


class EarlierRuns:
    """What the journal and the locks know before the VMs are read, so that a run that ends meanwhile is not taken for
    one that left something.

    VMware snapshots of living runs are no leftovers, nor are those of other storage hosts, which may be alive as well
    and see to their own. An entry of the journal alone is none either: what counts is what the VM shows.
    """

    def __init__(self, engine: Engine) -> None:
        self._host, self._journal = engine.host, engine.journal
        self._lives = engine.locks.living()
        self._entries = [entry for entry in engine.journal.open_entries() if not self._lives(entry.run)]

    def leftover_of(self, login: ServerLogin, vm: Vm) -> str:
        """Why no VMware snapshot of the VM is to be taken, in words, or ""."""
        for name, description in vm.snapshots:
            if not name.startswith(NAME_PREFIX):
                continue
            entry = next((one for one in self._entries if one.name == name), None)
            origin = origin_of(self._host, name, description)
            if entry is not None or (origin is not None and self._is_over(origin)):
                return (
                    f"its VMware snapshot '{name}' of an earlier run is still there"
                    f"{_noted(entry)}, so it gets no other; run 'vmware-zfs recover{'' if entry else ' --scan'}'"
                )
        for entry in self._entries if vm.consolidation_needed else ():
            if entry.removal_asked and _is_of(entry, login, vm):
                return (
                    "its disks need consolidation since a VMware snapshot of an earlier run was removed"
                    f"{_noted(entry)}, so it gets no other; run 'vmware-zfs recover'"
                )
        return ""

    def _is_over(self, origin: Origin) -> bool:
        """Whether its run was one of this host. With a former identity it may be that of a clone, which lives."""
        here = origin.sure or self._journal.run(origin.run) is not None
        return here and not self._lives(origin.run)


def _noted(entry: Entry | None) -> str:
    return f" ({entry.note})" if entry is not None and entry.note else ""


def _is_of(entry: Entry, login: ServerLogin, vm: Vm) -> bool:
    if entry.instance_uuid and vm.instance_uuid:
        return entry.instance_uuid == vm.instance_uuid
    endpoint = login.session.endpoint
    return (entry.hostname, entry.port, entry.vm_moid) == (endpoint.hostname, endpoint.port, vm.moid)
