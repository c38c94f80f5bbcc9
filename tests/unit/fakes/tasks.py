# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a fake vSphere server: they take time, in threads of their own, and end as a rule says."""

from __future__ import annotations

import threading
from typing import Any, Callable

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk

from .inventory import LONGEST_CHAIN, Inventory, Machine
from .rules import Rule, RuleBook, make_fault

Work = Callable[[], Any]  # returns the task's result, or raises a vSphere fault
Gate = Callable[[], None]  # returns when the work can begin; runs without the lock


class Task:
    """One task. `state`, `result` and `error` are as in its TaskInfo."""

    def __init__(
        self, moid: str, method: str, machine: Machine, work: Work, rule: Rule | None, folder: str, gate: Gate
    ) -> None:
        self.moid, self.method, self.machine, self.work, self.rule = moid, method, machine, work, rule
        self.folder, self.gate = folder, gate
        self.state = "running"
        self.result: Any = None
        self.error: Any = None
        self.released = threading.Event()  # a task that hangs goes on then

    @property
    def effect(self) -> str:
        return self.rule.effect if self.rule else ""

    def face(self) -> dict[str, Any]:
        plain = self.method[0].lower() + self.method[1:].removesuffix("_Task")
        info = sdk.vim.TaskInfo(
            key=self.moid,
            task=sdk.vim.Task(self.moid),
            descriptionId=f"{'Folder' if self.folder else 'VirtualMachine'}.{plain}",
            entity=sdk.vim.Folder(self.folder) if self.folder else sdk.vim.VirtualMachine(self.machine.moid),
            state=self.state,
            cancelled=False,
            cancelable=False,
        )
        info.result, info.error = self.result, self.error
        return {"info": info}


class Tasks:
    """Starts tasks on VMs, `seconds` long each. A VM has one at a time; a second one fails at once."""

    def __init__(self, inventory: Inventory, rules: RuleBook, seconds: float) -> None:
        self._inventory, self._rules, self._seconds = inventory, rules, seconds
        self._last = 0
        self.known: dict[str, Task] = {}  # those that have not vanished

    def start(self, method: str, machine: Machine, work: Work, folder: str = "", gate: Gate = lambda: None) -> Any:
        """Start a task and return the reference to it. A task of a folder registers a VM."""
        with self._inventory.lock:
            self._last += 1
            rule = self._rules.take(method, machine.config.name, of_call=False)
            task = Task(f"task-{self._last}", method, machine, work, rule, folder, gate)
            self.known[task.moid] = task
            if folder:
                self._inventory.recent.setdefault(folder, []).append(task)
            else:
                machine.recent = [*machine.recent, task]
            if machine.busy is not None:
                busy = make_fault("TaskInProgress", task=sdk.vim.Task(machine.busy.moid))
                self._finish(task, None, busy)
            else:
                machine.busy = task
                threading.Thread(target=self._run, args=(task,), name=task.moid, daemon=True).start()
            return sdk.vim.Task(task.moid)

    def release(self, matches: Callable[[str], bool]) -> int:
        """Let the hanging tasks go on of VMs whose name matches; returns how many."""
        with self._inventory.lock:
            hanging = [
                task
                for task in self.known.values()
                if task.effect == "task_hang" and task.state == "running" and matches(task.machine.config.name)
            ]
        for task in hanging:
            task.released.set()
        return len(hanging)

    def _run(self, task: Task) -> None:
        rule = task.rule
        seconds = self._seconds if rule is None or rule.seconds is None else rule.seconds
        threading.Event().wait(seconds)
        if task.effect == "task_hang":
            task.released.wait()
        task.gate()
        with self._inventory.lock:
            result, error = self._carry_out(task)
            task.machine.busy = None
            if task.effect == "task_vanish":
                self.known.pop(task.moid, None)
                task.machine.recent = [one for one in task.machine.recent if one is not task]
                self._inventory.changed.notify_all()
            else:
                self._finish(task, result, error)

    def _carry_out(self, task: Task) -> tuple[Any, Any]:
        """Do the work as far as the rule lets it; what came of it: a result or a fault."""
        rule, machine = task.rule, task.machine
        if (
            not task.folder and self._inventory.machines.get(machine.moid) is not machine
        ):  # unregistered in the meantime
            return None, make_fault("ManagedObjectNotFound", obj=sdk.vim.VirtualMachine(machine.moid))
        if rule is not None and rule.effect == "task_fault":
            return None, rule.make_fault()
        if rule is not None and rule.effect == "task_vanish" and not rule.carried_out:
            return None, None
        try:
            result = task.work()
        except sdk.vmodl.MethodFault as fault:
            return None, fault
        if rule is not None and rule.effect == "half_snapshot":
            return None, rule.make_fault()
        if rule is not None and rule.effect == "needs_consolidation":
            machine.consolidation_needed = True
        return result, None

    def _finish(self, task: Task, result: Any, error: Any) -> None:
        task.state, task.result, task.error = ("success", result, None) if error is None else ("error", None, error)
        self._inventory.changed.notify_all()

    # ---- What tasks do

    def create_snapshot(self, machine: Machine, name: str, description: str, quiesce: bool) -> Any:
        def work() -> Any:
            if machine.config.template:
                raise make_fault("NotSupported")
            if len(machine.chain()) >= LONGEST_CHAIN:
                raise make_fault("TooManySnapshotLevels")
            return sdk.vim.vm.Snapshot(self._inventory.add_snapshot(machine, name, description, quiesce).moid)

        return self.start("CreateSnapshotEx_Task", machine, work)

    def remove_snapshot(self, machine: Machine, moid: str) -> Any:
        def work() -> None:
            if not self._inventory.remove_snapshot(machine, moid):
                raise make_fault("ManagedObjectNotFound", obj=sdk.vim.vm.Snapshot(moid))

        return self.start("RemoveSnapshot_Task", machine, work)

    def consolidate(self, machine: Machine) -> Any:
        def work() -> None:
            machine.consolidation_needed = False

        return self.start("ConsolidateVMDisks_Task", machine, work)
