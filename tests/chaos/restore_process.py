# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore, a recovery or the end of a restore in a process of its own, which can be killed at any step.

The programs and files of the engine are on the lab's storage host. Instants are written as in engine_process.py. The
steps are the journal's writes with the kind of the step (`intend:folder`, `done:clone`, `undone:rename`, `open`,
`keep_result`, `set_state:done`), and the calls that change a VM (`call:register`, `call:revert` and so on).

`mutation` breaks the engine on purpose (see MUTATIONS), to show that the judge can fail.
"""

from __future__ import annotations

import os
import traceback
from functools import partial
from pathlib import Path
from typing import Any, Callable

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills import run as drill_run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import (
    bring_back,
    ending,
    flow,
    folder_copy,
    power_on,
    rename,
    replace,
    undo_storage,
    undo_vsphere,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import run as restore_run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.account import session_to_undo
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import (
    RestoreRequest,
    parse_snapshot,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import Engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import Restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import (
    registration,
    vm_disks,
    vm_settings,
    vm_snapshots,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    Timeouts,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import clones
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.link import HYPERVISOR
from tests.lab.places import GUEST
from tests.lab.storage_host import StorageHost

from .engine_process import Line, Steps, Task, hasten, put, stepping

_BOOT_SECONDS = 60.0  # for the guest of a drill
CALLS: tuple[tuple[str, Any, str], ...] = (
    ("register", registration, "start_register"),
    ("unregister", registration, "unregister"),
    ("revert", vm_snapshots, "start_revert"),
    ("remove", vm_snapshots, "start_remove"),
    ("isolate", vm_settings, "start_isolate"),
    ("rename", rename, "start_rename"),
    ("attach", vm_disks, "start_attach"),
    ("detach", vm_disks, "start_detach"),
    ("power-on", power_on, "start_power_on"),
    ("shut-down", replace, "shut_down_guest"),
)


def work(task: Task, line: Line) -> None:
    """Carry out the task and send {"result": ...} or {"error": ..., "details": ...}; or die on the way."""
    os.environ.update(task["environment"])
    steps = Steps(line, task.get("kill_at", ""), task.get("wait_at", []))
    hasten(task)
    _hasten_restores(task)
    if task.get("mutation"):
        MUTATIONS[task["mutation"]]()
    put(engine, Restores=_journal(steps))
    for name, module, function in CALLS:
        put(module, **{function: stepping(steps, f"call:{name}", getattr(module, function))})
    paths = Paths(Path(task["state"], "db"), Path(task["state"], "etc", "key"), Path(task["locks"]))
    connecting = partial(connect, timeouts=Timeouts(connect=2.0, call=task.get("call_timeout", 10.0)))
    door = GuestDoor(StorageHost(task["lab"]))
    try:
        with engine.open_engine(paths, connect=connecting) as opened:
            opened.zfs = Zfs(host=door)
            line.send({"result": TASKS[task["what"]](opened, task)})
    except QuiesceError as error:
        line.send({"error": str(error), "details": error.details, "kind": type(error).__name__})
    except Exception:
        line.send({"unexpected": traceback.format_exc()})
    finally:
        door.close()


def _session(opened: Engine, task: Task) -> Session:
    server = task["server"]
    endpoint = Endpoint(server["host"], server["port"], ca_path=server["ca_path"])
    return opened.connect(endpoint, server["user"], Secret(server["password"]))


def _restore(opened: Engine, task: Task) -> dict[str, Any]:
    given = dict(task["request"])
    snapshot, vms = parse_snapshot(given.pop("snapshot")), tuple(given.pop("vms"))
    request = RestoreRequest(snapshot, vms, aliases=(GUEST,), clients=(HYPERVISOR,), boot_timeout=0.0, **given)
    with _session(opened, task) as session:
        return restore_run.execute(opened, session, request).as_dict()


def _drill(opened: Engine, task: Task) -> dict[str, Any]:
    given = task["request"]
    request = DrillRequest(
        parse_snapshot(given["snapshot"]),
        tuple(given["vms"]),
        host=given["host"],
        boot_timeout=_BOOT_SECONDS,
        aliases=(GUEST,),
        clients=(HYPERVISOR,),
    )
    with _session(opened, task) as session:
        return drill_run.execute(opened, session, request).as_dict()


def _recover(opened: Engine, task: Task) -> dict[str, Any]:
    return recover.recover(opened).as_dict()


def _end(opened: Engine, task: Task) -> dict[str, Any]:
    restore = opened.restores.get(task["restore"])
    return {"stays": ending.end(opened, restore, lambda: session_to_undo(opened, restore))}


TASKS: dict[str, Callable[[Engine, Task], dict[str, Any]]] = {
    "restore": _restore,
    "drill": _drill,
    "recover": _recover,
    "end": _end,
}


def _journal(steps: Steps) -> type[Restores]:
    class Stepping(Restores):
        """The product's journal of restores with a step before and after each write."""

    def wrap(name: str) -> Callable[..., Any]:
        write = getattr(Restores, name)

        def write_stepping(self: Restores, *arguments: Any, **options: Any) -> Any:
            with steps.around(_step_of(self, name, arguments)):
                return write(self, *arguments, **options)

        return write_stepping

    for name in ("open", "intend", "done", "undone", "keep_result", "set_state"):
        setattr(Stepping, name, wrap(name))
    return Stepping


def _step_of(journal: Restores, write: str, arguments: tuple[Any, ...]) -> str:
    if write in ("intend", "set_state"):
        return f"{write}:{arguments[1]}"
    if write in ("done", "undone"):
        rows = journal._database.rows("SELECT kind FROM restore_step WHERE id = ?", (arguments[0],))
        return f"{write}:{rows[0]['kind']}" if rows else write
    return write


def _hasten_restores(task: Task) -> None:
    """Shorten the waits between tries."""
    put(flow, _RETRY=0.2)
    put(replace, _LOOK=0.2)
    put(undo_vsphere, _RETRY=0.2)
    put(clones, _PAUSE=0.3)
    if task.get("later") or task.get("guest_settled"):  # as the recovery of an hour later sees it
        put(undo_vsphere, _SHUTDOWN_SECONDS=0.0)


# ---- An engine that breaks its promise


def _registrations_not_undone() -> None:
    """Recovery does not remove the VMs that were registered."""
    undo_vsphere._UNDO["registration"] = lambda session, data, finished: ""


class _Late:
    """A journal that keeps what is intended until it is done."""

    def __init__(self, steps: Any) -> None:
        self._steps = steps
        self._intended: tuple[str, Any] = ("", {})

    def intend(self, kind: str, data: Any) -> int:
        self._intended = (kind, data)
        return 0

    def done(self, step: int, **more: Any) -> None:
        self._steps.done(self._steps.intend(*self._intended), **more)


def _registered_before_the_journal() -> None:
    """A VM is registered before that is in the journal."""
    in_time = bring_back.Bringing._register

    def register(self: Any) -> Any:
        self.steps, steps = _Late(self.steps), self.steps
        try:
            return (yield from in_time(self))
        finally:
            self.steps = steps

    put(bring_back.Bringing, _register=register)


def _folder_without_marker_removed() -> None:
    """Any folder with the name in the journal is removed, whoever created it."""
    put(folder_copy, _is_marked=lambda host, folder, marker: host.exists(folder))


def _living_name_not_undone() -> None:
    """Recovery does not give VMs their names back."""
    undo_vsphere._UNDO["rename"] = lambda session, data, finished: ""


def _hold_not_released() -> None:
    """Recovery does not release the ZFS snapshot."""
    undo_storage._UNDO = {**undo_storage._UNDO, "hold": lambda zfs, data, server: ""}


MUTATIONS: dict[str, Callable[[], None]] = {
    "registrations not undone": _registrations_not_undone,
    "registered before the journal": _registered_before_the_journal,
    "folder without marker removed": _folder_without_marker_removed,
    "living name not undone": _living_name_not_undone,
    "hold not released": _hold_not_released,
}
