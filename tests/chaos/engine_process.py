# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine in a process of its own: a run or a recovery that can be stopped, struck and killed at any step.

Nothing of this is in the product. The journal and the zfs command are wrapped here, so that the process can kill itself
or wait for whoever watches, before or after each of their steps. An instant is written `<step>:<before|after>:<n>`, the
n-th time that the step comes. Steps are the journal's writes (`created`, `set_state:releasing`, `keep_seals` ...), the
calls that ask for a VMware snapshot or for its removal (`create`, `remove`), `first-look` and `second-look` at the VMs
of a server, the commands `zfs-snapshot`, `zfs-createtxg` (by which a run knows its snapshots), `zfs-seal` and
`zfs-destroy`, and `report:<first word>` for what a run reports. Who waits keeps no other thread waiting.

Waits between tries are shortened, limits and logic are not. `mutation` breaks the engine on purpose (see MUTATIONS): to
show that the proof can fail.

Also a program: it takes a task as JSON in its first argument and speaks in lines of JSON, for the storage host.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, Protocol

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.request import Request
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.vm_treatments import Treatment
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.policy import Limits, Policy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runs import run
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots import (
    hold_run,
    look,
    looks,
    quiesce,
    release,
    scheduler,
    seal,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.look import Look, Sight
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import engine, locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vm_policies import parse
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk, vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Session,
    Timeouts,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import properties
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

Task = dict[str, Any]


class Line(Protocol):
    """The way to whoever watches."""

    def send(self, message: dict[str, Any]) -> None:
        """Tell something."""

    def recv(self) -> Any:
        """Wait until something is told."""


class Steps:
    """Counts the steps, and kills the process or waits at those that the task names."""

    def __init__(self, line: Line, kill_at: str, wait_at: list[str]) -> None:
        self._line, self._kill_at, self._wait_at = line, kill_at, frozenset(wait_at)
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lock, self._waits = threading.Lock(), threading.Lock()

    def reach(self, step: str, side: str) -> None:
        with self._lock:
            self._seen[step, side] += 1
            instant = f"{step}:{side}:{self._seen[step, side]}"
            if instant == self._kill_at:
                self._line.send({"killed_at": instant})
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()
        if instant in self._wait_at:
            with self._waits:
                with self._lock:
                    self._line.send({"at": instant})
                self._line.recv()

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        self.reach(step, "before")
        yield
        self.reach(step, "after")


def _journal(steps: Steps) -> type[Journal]:
    class Stepping(Journal):
        """The product's journal with a step before and after each write."""

    def wrap(name: str) -> Callable[..., Any]:
        write = getattr(Journal, name)

        def stepping(self: Journal, *arguments: Any, **options: Any) -> Any:
            step = f"{name}:{arguments[1]}" if name == "set_state" else name
            with steps.around(step):
                return write(self, *arguments, **options)

        return stepping

    for name in WRITES:
        setattr(Stepping, name, wrap(name))
    return Stepping


def stepping(steps: Steps, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def stepping(*arguments: Any, **options: Any) -> Any:
        with steps.around(step):
            return call(*arguments, **options)

    return stepping


WRITES = (
    "open_run", "intend", "repeat", "created", "removing", "absent", "gone", "note", "set_state", "end_run",
    "keep_seals", "drop_seals",
)  # fmt: skip


class _SteppingZfs(Zfs):
    """The product's zfs command with a step before and after those by which ZFS snapshots come, change and go."""

    steps: Steps

    def run(self, *arguments: str, **options: Any) -> str:
        step = _step_of(arguments, options.get("script", ""))
        with self.steps.around(step) if step else nullcontext():
            return super().run(*arguments, **options)


def _step_of(arguments: tuple[str, ...], script: str) -> str:
    if arguments[0] == "snapshot":
        return "zfs-snapshot"
    if arguments[0] == "get" and any(word.startswith("createtxg,") and "quiesce" in word for word in arguments):
        return "zfs-createtxg"
    if arguments[0] == "program":
        return "zfs-seal" if "zfs.sync.set_prop" in script else "zfs-destroy" if "zfs.sync.destroy" in script else ""
    return ""


def work(task: Task, line: Line) -> None:
    """Carry out the task and send {"result": ...} or {"error": ..., "details": ...}; or die on the way."""
    os.environ.update(task["environment"])
    steps = Steps(line, task.get("kill_at", ""), task.get("wait_at", []))
    hasten(task)
    if task.get("mutation"):
        MUTATIONS[task["mutation"]]()
    _SteppingZfs.steps = steps
    put(engine, Journal=_journal(steps), Zfs=_SteppingZfs)
    for step, module, name in (
        ("create", vm_snapshots, "start_create"),
        ("remove", vm_snapshots, "start_remove"),
        ("first-look", looks, "first_look"),
        ("second-look", looks, "second_look"),
    ):
        put(module, **{name: stepping(steps, step, getattr(module, name))})

    def report(text: str) -> None:
        steps.reach(f"report:{text.split()[0]}", "before")

    paths = Paths(Path(task["state"], "db"), Path(task["state"], "etc", "key"), Path(task["locks"]))
    connecting = partial(connect, timeouts=Timeouts(connect=2.0, call=task.get("call_timeout", 4.0)))
    try:
        with engine.open_engine(paths, report=report, connect=connecting) as opened:
            if task["what"] == "run":
                result = run.execute(opened, _request(task)).as_dict()
            else:
                result = recover.recover(opened, scan=task.get("scan", False)).as_dict()
        line.send({"result": result})
    except QuiesceError as error:
        line.send({"error": str(error), "details": error.details, "kind": type(error).__name__})
    except Exception:
        line.send({"unexpected": traceback.format_exc()})


def _request(task: Task) -> Request:
    policy = dict(task.get("policy", {}))
    limits = Limits(*policy.pop("limits", (32, 8)))
    return Request(
        task["dataset"],
        task["snapshot"],
        recursive=True,
        aliases=("10.0.2.15",),
        lock_timeout=10.0,
        policy=Policy(limits=limits, policies=parse(policy.pop("policies", ())), **policy),
    )


def put(owner: object, **parts: Any) -> None:
    """Put other parts into a module or class of the engine in place of its own."""
    for name, part in parts.items():
        assert hasattr(owner, name), f"{owner} has no {name}"
        setattr(owner, name, part)


def hasten(task: Task) -> None:
    for module in (quiesce, release):
        put(module, _RETRY=0.2)
    put(scheduler, _RECONNECT_PAUSE=0.2)
    put(locks, _RETRY=0.05)
    put(recover, _BACKOFF=(0.0, 0.2, 0.5, 1.0), _LIMIT=8.0, _LIMIT_BEFORE_RUN=5.0)
    put(seal, _SECONDS=task.get("seal_seconds") or seal._SECONDS)
    put(properties, _MOST_BYTES=task.get("program_bytes") or properties._MOST_BYTES)
    put(Database, open=classmethod(partial(vars(Database)["open"].__func__, busy_timeout=1.0)))
    if task.get("later"):  # as the recovery of an hour later sees it
        put(recover, _SETTLED_AFTER=0.0)


# ---- An engine that breaks its promise


def _no_intent() -> None:
    """What is about to be created is not in the journal."""

    def intend(self: Journal, entries: Any) -> list[int]:
        return list(range(1_000_000, 1_000_000 + len(list(entries))))

    put(Journal, intend=intend)


def _removal_with_children() -> None:
    """Removal as the products do it that know a snapshot by its name: with all that hangs under it."""

    def start_remove(session: Session, snapshot: str) -> str:
        node = session.managed_object(sdk.vim.vm.Snapshot, snapshot)
        return str(session.call("remove a snapshot", node.RemoveSnapshot_Task, removeChildren=True)._moId)

    put(vm_snapshots, start_remove=start_remove)


def _seal_without_the_second_look() -> None:
    """What the first look found is sealed."""
    put(looks, second_look=lambda *arguments: Look())


def _second_look_too_early() -> None:
    """The second look is over before the ZFS snapshot is asked for."""
    take = hold_run.HoldRun._take
    early: dict[int, Look] = {}

    def second_look(sight: Sight, first: Look) -> Look:
        if id(sight.login) not in early:
            early[id(sight.login)] = look.second_look(sight, first)
        return early[id(sight.login)]

    def take_late(self: hold_run.HoldRun) -> None:
        for login in {id(login): login for login in self._logins.values()}.values():
            self._looks.second(login)
        take(self)

    put(looks, second_look=second_look)
    put(hold_run.HoldRun, _take=take_late)


def _digest_first() -> None:
    """What says that the record is whole is set before the rest."""
    of_record = Record.seal
    put(Record, seal=lambda self: tuple(reversed(of_record(self))))


def _recreated_name_sealed() -> None:
    """A snapshot of the same name and properties counts as the run's."""
    program = properties._PROGRAM.replace('and (born == "" or tostring(zfs.get_prop(name, "createtxg")) == born)', "")
    assert program != properties._PROGRAM
    properties._PROGRAM = program


def _journal_without_both_looks() -> None:
    """The journal gets the records that the first look allows."""
    begin_release = hold_run.HoldRun._begin_release

    def begin_release_late(self: hold_run.HoldRun) -> Any:
        if self._snapshots.seen:
            found = seal.records(self._snapshots.record, self._plan.snapshots, self._holds, self._looks.problems)
            self._engine.journal.keep_seals(
                self._id, [properties.Assignment(name, "", record.seal()) for name, record in found.items()]
            )
        return begin_release(self)

    put(hold_run.HoldRun, _begin_release=begin_release_late)


def _zfs_snapshot_before_the_quiesce() -> None:
    """The VMs are held only when the ZFS snapshot is there."""
    quiesce, take = hold_run.HoldRun._quiesce, hold_run.HoldRun._take

    def quiesce_late(self: hold_run.HoldRun) -> None:
        take(self)
        quiesce(self)

    put(hold_run.HoldRun, _quiesce=quiesce_late, _take=lambda self: None)


def _release_before_the_zfs_snapshot() -> None:
    """The VMs are released before the ZFS snapshot is asked for, and nobody looks again."""
    take = hold_run.HoldRun._take

    def take_late(self: hold_run.HoldRun) -> None:
        self._second = None
        for login in {id(login): login for login in self._logins.values()}.values():
            self._release(login, self._deadline)
        take(self)

    _seal_without_the_second_look()
    put(hold_run.HoldRun, _take=take_late)


def _every_level_accepted() -> None:
    """A record is complete whatever level the VMs reached, as if policies accepted it."""
    put(Treatment, allows=lambda self, level: True)


MUTATIONS: dict[str, Callable[[], None]] = {
    "no intent": _no_intent,
    "removal with children": _removal_with_children,
    "seal without the second look": _seal_without_the_second_look,
    "second look before the command returned": _second_look_too_early,
    "digest first": _digest_first,
    "recreated name sealed": _recreated_name_sealed,
    "sealed from a journal without both looks": _journal_without_both_looks,
    "every level accepted": _every_level_accepted,
    "ZFS snapshot before the quiesce": _zfs_snapshot_before_the_quiesce,
    "release before the ZFS snapshot": _release_before_the_zfs_snapshot,
}


# ---- As a program


class _Standard:
    """A line over standard input and output."""

    def send(self, message: dict[str, Any]) -> None:
        print(json.dumps(message), flush=True)

    def recv(self) -> Any:
        return json.loads(sys.stdin.readline())


if __name__ == "__main__":
    work(json.loads(sys.argv[1]), _Standard())
