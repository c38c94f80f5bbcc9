# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for all running tasks of a server with one property collector call that returns every task that ended.

One filter watches each batch of new tasks, so a batch costs one call regardless of its size. A batch starts when there
are as many new tasks as watched ones, or when no task ended during the last wait. A filter for every task would cost
half as many calls again. If the session is lost, its collector is lost too, and the waiter creates a new one that
watches all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterable

from ..errors import VSphereError
from . import faults, inventory, sdk
from .session import MISREAD, Session

_PATHS = ("info.state", "info.error", "info.result")


@dataclass(frozen=True)
class TaskEnd:
    """A task's end. `result` is the managed object ID of the new object. `vanished`: the server forgot the task."""

    task: str
    result: str | None = None
    error: VSphereError | None = None
    vanished: bool = False


class TaskWaiter:
    """Watches tasks by managed object ID. Not thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._collector: Any = None
        self._version = ""
        self._pending: dict[str, dict[str, Any]] = {}  # task -> its known properties
        self._unwatched: list[str] = []
        self._quiet = False  # no task ended during the last wait

    def watch(self, task: str) -> None:
        """Watch `task` with the next `wait()`."""
        if task not in self._pending:
            self._pending[task] = {}
            self._unwatched.append(task)

    def forget(self, task: str) -> None:
        """Stop waiting for `task`."""
        self._pending.pop(task, None)

    def wait(self, seconds: int) -> list[TaskEnd]:
        """Wait at most `seconds` for tasks to end. Returns those that ended, or an empty list.

        Raises VSphereError if the server cannot be reached at a second attempt either. The tasks remain watched.
        """
        try:
            return self._wait(seconds)
        except VSphereError:
            self._collector = None  # a new collector that watches all tasks solves any problem of the old one
            return self._wait(seconds)

    def close(self) -> None:
        """Delete the collector and its filters on the server. Never raises."""
        if self._collector is not None:
            try:
                self._session.call("stop watching tasks", self._collector.DestroyPropertyCollector, repeatable=False)
            except VSphereError:
                pass
            self._collector = None

    def _wait(self, seconds: int) -> list[TaskEnd]:
        try:
            return self._ends(seconds)
        except MISREAD as error:
            raise self._session.no_answer("wait for tasks", error) from None

    def _ends(self, seconds: int) -> list[TaskEnd]:
        if self._collector is None:
            root = self._session.content.propertyCollector
            self._collector = self._session.call("watch tasks", root.CreatePropertyCollector)
            self._version = ""
            self._unwatched = list(self._pending)
        self._unwatched = [task for task in self._unwatched if task in self._pending]
        if self._unwatched and (self._quiet or 2 * len(self._unwatched) >= len(self._pending)):
            self._session.call(
                "watch tasks", self._collector.CreateFilter, spec=self._filter(), partialUpdates=False, repeatable=False
            )
            self._unwatched = []
        options = sdk.vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=seconds)
        update = self._session.call(
            "wait for tasks", self._collector.WaitForUpdatesEx, version=self._version, options=options, repeatable=False
        )
        self._quiet = update is None
        if update is None:
            return []
        self._version = update.version
        ends: list[TaskEnd] = []
        for filtered in update.filterSet or ():
            for change in filtered.objectSet or ():
                ends += self._changed(change)
            for missing in filtered.missingSet or ():
                ends += self._vanished(missing.obj._moId)
        return ends

    def _filter(self) -> Any:
        tasks = inventory.objects_of(self._session, sdk.vim.Task, self._unwatched)
        objects = [sdk.vmodl.query.PropertyCollector.ObjectSpec(obj=task) for task in tasks]
        return inventory.filter_spec(objects, sdk.vim.Task, _PATHS)

    def _changed(self, change: Any) -> Iterable[TaskEnd]:
        task = change.obj._moId
        if change.kind == "leave":
            return self._vanished(task)
        known = self._pending.get(task)
        if known is None:
            return ()
        known.update((item.name, item.val) for item in change.changeSet or ())
        state = str(known.get("info.state", ""))
        if state not in ("success", "error"):
            return ()
        del self._pending[task]
        if state == "success":
            return (TaskEnd(task, result=getattr(known.get("info.result"), "_moId", None)),)
        fault, server = known.get("info.error"), str(self._session.endpoint)
        return (TaskEnd(task, error=faults.translate(fault, server, "complete the task", self._session.username)),)

    def _vanished(self, task: str) -> Iterable[TaskEnd]:
        return (TaskEnd(task, vanished=True),) if self._pending.pop(task, None) is not None else ()
