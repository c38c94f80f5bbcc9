# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake vSphere with a living VM `mail` and the files of its copy, for tests of restores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.bring_back import (
    BringBack,
    VmBrought,
    VmToBring,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.flow import Patience
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.proof import CopyPlace
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.replace import LivingVm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.undo_vsphere import KINDS, undo
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.registration import Home
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.inventory import DATACENTER, POOL, VM_FOLDER, Machine
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter, connect

OURS = "vmware-zfs 20261128T020000Z-1a2b3c4d"
HOME = Home(DATACENTER, VM_FOLDER, "host-1", POOL)
_SHARED = ("CreatePropertyCollector", "CreateFilter", "WaitForUpdatesEx", "DestroyPropertyCollector")


class Journal:
    """The journal of one restore, in memory."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []

    def intend(self, kind: str, data: Mapping[str, Any]) -> int:
        self.steps.append({"kind": kind, "state": "intended", "data": dict(data)})
        return len(self.steps)

    def done(self, step: int, **more: Any) -> None:
        self.steps[step - 1]["data"] |= more
        self.steps[step - 1]["state"] = "done"

    def undone(self, step: int) -> None:
        self.steps[step - 1]["state"] = "undone"

    def kinds(self) -> list[tuple[str, str]]:
        return [(step["kind"], step["state"]) for step in self.steps]


class Scene:
    """The living VM is on, and has no VMware snapshot any more. Its copy still has that of the run."""

    def __init__(self, **living: Any) -> None:
        vm = {"name": "mail", "cards": [{"network": "LAN"}], **living}
        server = {"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware", "vms": [vm]}
        self.vcenter = Vcenter({"datastores": [server, {"name": "san", "type": "local"}]})
        self.session = connect(self.vcenter.endpoint, self.vcenter.user, Secret(self.vcenter.password))
        self.datastore = self.vcenter.inventory.datastore("vmware").moid
        self.living = self.vcenter.machine("mail")
        self.before = self.names()
        self.journals: list[Journal] = []
        self.patience = Patience(task=5, server=2, power_on=5, guest=0, shutdown=0.2)

    def copy(self, snapshots: Sequence[str] = (OURS,), directory: str = "mail-restored", **config: Any) -> Machine:
        """Put the files of the copy in place."""
        settings = {"cards": [{"network": "LAN"}], "change_tracking": True, **config}
        return self.vcenter.put("vmware", directory, "mail", snapshots, **settings)

    def vm(self, directory: str = "mail-restored", **changes: Any) -> VmToBring:
        made = VmToBring(
            name=directory,
            temporary_name=f"{directory} (restore 1a2b3c4d)",
            vmx_path=f"[vmware] {directory}/mail.vmx",
            places=(CopyPlace(self.datastore, "vmware", directory),),
            home=HOME,
            snapshot=OURS,
        )
        return replace(made, **changes)

    def replacing(self, force: bool = False) -> LivingVm:
        living = self.living
        return LivingVm(
            moid=living.moid,
            name="mail",
            instance_uuid=living.instance_uuid,
            vmx_path=living.vmx_path,
            folder_moid=VM_FOLDER,
            aside="mail-replaced-2026-11-28",
            force=force,
        )

    def bring(self, *vms: VmToBring, stopped: Callable[[], bool] = lambda: False) -> list[VmBrought]:
        self.journals = [Journal() for _unused in vms]
        self.vcenter.calls.clear()
        bring_back = BringBack(self.session, Limits(), self.patience, stopped)
        return bring_back.run(list(zip(vms, self.journals)))

    def bring_one(self, **changes: Any) -> VmBrought:
        return self.bring(self.vm(**changes))[0]

    @property
    def journal(self) -> Journal:
        return self.journals[0]

    def undo(self) -> list[str]:
        """Undo all steps, the last one first. Returns what could not be undone."""
        steps = [step for journal in self.journals for step in reversed(journal.steps) if step["kind"] in KINDS]
        return [text for text in (undo(self.session, step["kind"], step["data"]) for step in steps) if text]

    def requests(self) -> int:
        """The number of calls since `bring`, without those that all VMs share."""
        return sum(count for method, count in self.vcenter.calls.items() if method not in _SHARED)

    def is_idle(self) -> bool:
        """Return whether no task is running."""
        return not self.vcenter.running_tasks()

    def names(self) -> list[tuple[str, str]]:
        """The names and files of all registered VMs."""
        machines = self.vcenter.inventory.machines.values()
        return sorted((one.config.name, one.vmx_path) for one in machines)
