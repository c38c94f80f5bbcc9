# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of a fake vSphere server with which a VM is restored: registration, revert, settings, power, names."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any, Mapping, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk

from .calls import Calls
from .inventory import Config, Inventory, Machine, Snapshot
from .rules import make_fault
from .tasks import Task


def put_files(
    inventory: Inventory, datastore: str, directory: str, base: str, snapshots: Sequence[str], config: Mapping[str, Any]
) -> Machine:
    """Put the files of a VM on a datastore. Each of its VMware snapshots is a child of the one before."""
    settings = Config(**{"name": base, "power": "off", **config})
    home = inventory.datastore(datastore)
    machine = Machine("", settings, home, str(uuid.uuid4()), directory=directory, base=base)
    for name in snapshots:
        inventory.add_snapshot(machine, name, "", False)
    inventory.files[machine.vmx_path] = machine
    return machine


class RestoreCalls(Calls):
    """A server that also restores VMs."""

    def put(self, datastore: str, directory: str, base: str, snapshots: Sequence[str] = (), **config: Any) -> Machine:
        """Put the files of a VM on a datastore, without registering it."""
        with self.inventory.lock:
            return put_files(self.inventory, datastore, directory, base, snapshots, config)

    def machine(self, name: str) -> Machine:
        """Return the registered VM with this name, without going through the API."""
        with self.inventory.lock:
            return next(one for one in self.inventory.machines.values() if one.config.name == name)

    def running_tasks(self) -> list[Task]:
        """Return the tasks that have not ended."""
        with self.inventory.lock:
            return [task for task in self._tasks.known.values() if task.state == "running"]

    # ---- The methods that the engine calls, each by its name

    def _RegisterVM_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        path, template, pool = given["path"], given["asTemplate"], given["pool"]
        if template is (pool is not None):
            raise make_fault("InvalidArgument", invalidProperty="pool")
        machine = self.inventory.files.get(path) or next(iter(self._at(path)), None)
        if machine is None:
            raise make_fault("NotFound")
        if machine.moid == "":
            machine.config = replace(machine.config, name=_plain(given["name"]))  # rules match it

        def work() -> Any:
            if self._at(path):
                raise make_fault("AlreadyExists", name=path)
            self._refuse_duplicate(_plain(given["name"]), reference._moId)
            del self.inventory.files[path]
            machine.moid = f"vm-{next(self.inventory.ids)}"
            self.inventory.renumber(machine)
            machine.config = replace(machine.config, name=_plain(given["name"]), template=template)
            machine.folder, machine.pool = reference._moId, "" if template else pool._moId
            self.inventory.machines[machine.moid] = machine
            return sdk.vim.VirtualMachine(machine.moid)

        return self._tasks.start("RegisterVM_Task", machine, work, folder=reference._moId)

    def _UnregisterVM(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        machine = self._machine(reference)
        if machine.config.power == "on" and not machine.config.template:
            raise make_fault("InvalidPowerState", requestedState="poweredOff", existingState="poweredOn")
        if machine.busy is not None:
            raise make_fault("TaskInProgress", task=sdk.vim.Task(machine.busy.moid))
        del self.inventory.machines[machine.moid]
        machine.moid = ""
        self.inventory.files[machine.vmx_path] = machine

    def _Rename_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        machine = self._machine(reference)

        def work() -> None:
            self._refuse_duplicate(_plain(given["newName"]), machine.folder)
            machine.directory = machine.directory or machine.config.name  # files keep their names
            machine.base = machine.base or machine.config.name
            machine.config = replace(machine.config, name=_plain(given["newName"]))

        return self._tasks.start("Rename_Task", machine, work)

    def _FindByDatastorePath(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        found = self._at(given["path"])
        return sdk.vim.VirtualMachine(found[0].moid) if found else None

    def _FindChild(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        found = self._children(given["entity"]._moId, _plain(given["name"]))
        return sdk.vim.VirtualMachine(found[0].moid) if found else None

    def _RevertToSnapshot_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        assert given["suppressPowerOn"] and given["host"] is None, "a revert that powers a VM on"
        machine, node = self._snapshot(reference)

        def work() -> None:
            self._snapshot(reference)
            if node.config is not None:
                machine.config = replace(node.config, name=machine.config.name, power="off")
            machine.current = node.moid

        return self._tasks.start("RevertToSnapshot_Task", machine, work)

    def _ReconfigVM_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        machine, spec = self._machine(reference), given["spec"]

        def work() -> None:
            if machine.config.power == "suspended" or machine.config.template:
                raise make_fault("InvalidPowerState", requestedState="poweredOff", existingState="suspended")
            options = {option.key: option.value for option in spec.extraConfig or ()}
            config = replace(machine.config, extra_config={**machine.config.extra_config, **options})
            if spec.changeTrackingEnabled is not None:
                config = replace(config, change_tracking=spec.changeTrackingEnabled)
            for change in spec.deviceChange or ():
                config = _changed(config, change)
            machine.config = config

        return self._tasks.start("ReconfigVM_Task", machine, work)

    def _PowerOnVM_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        machine = self._machine(reference)
        asked = machine.config.question
        if asked is not None and asked.get("avoidable") and "uuid.action" in machine.config.extra_config:
            asked = None
        if machine.config.power == "on":
            raise make_fault("InvalidPowerState", requestedState="poweredOn", existingState="poweredOn")

        def wait_for_answer() -> None:
            if asked is not None:
                with self.inventory.lock:
                    machine.question = asked
                    machine.answered.clear()
                machine.answered.wait()

        def work() -> None:
            machine.question = None
            if machine.answer.endswith(".cancel"):
                raise make_fault("InvalidState", "The operation was cancelled.")
            machine.config = replace(machine.config, power="on", question=None)

        return self._tasks.start("PowerOnVM_Task", machine, work, gate=wait_for_answer)

    def _AnswerVM(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        machine = self._machine(reference)
        if machine.question is None or given["questionId"] != "7":
            raise make_fault("InvalidArgument", invalidProperty="questionId")
        machine.answer = machine.question["choices"][given["answerChoice"]]
        machine.answered.set()

    def _PowerOffVM_Task(self, stub: Any, reference: Any, given: dict[str, Any]) -> Any:
        machine = self._machine(reference)

        def work() -> None:
            if machine.config.power == "off":
                raise make_fault("InvalidPowerState", requestedState="poweredOff", existingState="poweredOff")
            machine.config = replace(machine.config, power="off")

        return self._tasks.start("PowerOffVM_Task", machine, work)

    def _ShutdownGuest(self, stub: Any, reference: Any, given: dict[str, Any]) -> None:
        machine = self._machine(reference)
        if machine.config.power != "on":
            raise make_fault("InvalidPowerState", requestedState="poweredOff", existingState="poweredOff")
        if not machine.tools_running:
            raise make_fault("ToolsUnavailable")
        if not machine.config.stubborn:
            machine.config = replace(machine.config, power="off")

    # ---- What they share

    def _at(self, path: str) -> list[Machine]:
        return [one for one in self.inventory.machines.values() if one.vmx_path == path]

    def _children(self, folder: str, name: str) -> list[Machine]:
        machines = self.inventory.machines.values()
        return [one for one in machines if one.folder == folder and one.config.name == name]

    def _refuse_duplicate(self, name: str, folder: str) -> None:
        for one in self._children(folder, name):
            raise make_fault("DuplicateName", name=name, object=sdk.vim.VirtualMachine(one.moid))

    def _snapshot(self, reference: Any) -> tuple[Machine, Snapshot]:
        found = self.inventory.snapshot(reference._moId)
        if found is None:
            raise make_fault("ManagedObjectNotFound", obj=reference)
        return found


def _plain(name: str) -> str:
    """Decode a name as servers do."""
    return name.replace("%2f", "/").replace("%5c", "\\").replace("%25", "%")


def _changed(config: Config, change: Any) -> Config:
    """Return the settings of a VM after a change of one of its devices."""
    device, kinds = change.device, sdk.vim.vm.device
    assert change.fileOperation is None, "a file that would be made or destroyed"
    if isinstance(device, kinds.VirtualDisk):
        disks = list(config.disks)
        if change.operation == "add":
            disks.append({"kind": device.backing.diskMode, "file": device.backing.fileName})
        else:
            del disks[device.key - 2000]
        return replace(config, disks=disks)
    cards, number = list(config.cards), device.key - 4000
    backing = device.backing
    card = {**cards[number], "connected": device.connectable.startConnected or device.connectable.connected}
    if isinstance(backing, kinds.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
        card |= {"network": backing.port.portgroupKey, "switch": backing.port.switchUuid}
    else:
        card["network"] = backing.deviceName
    cards[number] = card
    return replace(config, cards=cards)
