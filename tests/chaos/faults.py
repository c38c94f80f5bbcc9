# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of faults: what each does to the stage, when, and how it is mended before the last recovery."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .stage import FAILING_POOL, FIRST_DISK, SIMULATED, VMS, Process, Stage

Strike = Callable[[Stage, "Process | None"], "bool | None"]
Mend = Callable[[Stage], None]

# Instants of a run at which something can be done to it (see engine_process.py).
EARLY = ("report:Looking:before:1", "open_run:after:1", "intend:before:1", "intend:after:1")
HOLDING = ("created:before:1", "create:after:2", "create:after:4", "first-look:before:1")
TAKING = ("first-look:after:1", "zfs-snapshot:before:1", "zfs-snapshot:after:1", "second-look:after:1")
SEALING = ("keep_seals:before:1", "keep_seals:after:1", "zfs-seal:before:1", "zfs-seal:after:1", "drop_seals:after:1")
RELEASING = (
    "set_state:releasing:after:1",
    "removing:after:1",
    "remove:before:2",
    "remove:after:3",
    "gone:before:1",
    "gone:after:1",
)
ANY = EARLY + HOLDING + TAKING + SEALING + RELEASING
BRIEF = {"vm_timeout": 1.5, "max_hold": 4.0}


@dataclass
class Fault:
    """One fault. `at` is the instant of the run at which `strike` is called; "": before the run; "between": after its
    end, before the recovery. `strike` returns False when there was nothing to strike. `rule` is one for the simulator.

    `in_vcenter`: somebody else strikes by way of the vCenter, which is not possible while that is away. `trap`: what
    is set before the run is not for the command that takes the snapshot, but for the `seal` or a `look`.
    `kill_at` kills the run, `kill_recovery_at` the first recovery; `task` is what the run is asked for on top, and
    `recovery` the recovery.
    """

    kind: str
    at: str = ""
    strike: Strike | None = None
    in_vcenter: bool = False
    trap: str = ""
    mend: Mend | None = None
    rule: dict[str, Any] | None = None
    kill_at: str = ""
    kill_after: float | None = None
    kill_recovery_at: str = ""
    task: dict[str, Any] = field(default_factory=dict)
    recovery: dict[str, Any] = field(default_factory=dict)
    rule_id: int = 0
    hit: bool = False

    def __str__(self) -> str:
        where = self.at or self.kill_at or self.kill_recovery_at
        return self.kind + (f" @{where}" if where else "") + (f" {self.rule}" if self.rule else "")


Maker = Callable[[random.Random], Fault]


# ---- Kills, by construction at every step of the journal


def _steps(*names: str) -> list[str]:
    return [f"{name}:{side}" for name in names for side in ("before", "after")]


_LOST = {"policy": {"vm_timeout": 1.5, "max_hold": 4.0}}
SMALL_PROGRAMS = 600  # bytes of a channel program's arguments: the seal of one record takes several
RUN_STEPS = _steps(
    "open_run", "intend", "create", "created", "zfs-snapshot", "set_state:releasing", "keep_seals", "zfs-seal",
    "drop_seals", "removing", "remove", "gone", "end_run",
)  # fmt: skip
RARE_RUN_STEPS = _steps("note", "repeat", "zfs-destroy")
# Where the run has to be killed so that the recovery gets to its step.
RECOVERY_STEPS = {
    **dict.fromkeys(_steps("removing", "remove", "gone"), "create:after:3"),
    **dict.fromkeys(_steps("set_state:ended"), "gone:after:1"),
    **dict.fromkeys(_steps("zfs-seal", "drop_seals"), "keep_seals:after:1"),
    **dict.fromkeys(_steps("absent"), "intend:after:1"),
    **dict.fromkeys(_steps("note"), "create:after:2"),
    **dict.fromkeys(_steps("intend"), "create:after:4"),
}


def kill_at_step(step: str) -> Maker:
    def make(rng: random.Random) -> Fault:
        often = step.startswith(("create:", "remove:"))
        return Fault("killed at a step of the journal", kill_at=f"{step}:{rng.randint(1, 5) if often else 1}")

    return make


def kill_at_rare_step(step: str) -> Maker:
    def make(rng: random.Random) -> Fault:
        kind = "killed at a step of the journal"
        if step.startswith("note"):
            return Fault(
                kind, kill_at=f"{step}:1", rule=_remove(rng, effect="task_fault", fault="GenericVmConfigFault")
            )
        if step.startswith("repeat"):
            rule = _create(rng, effect="call_late", seconds=4.0)
            return Fault(kind, kill_at=f"{step}:1", rule=rule, task={"call_timeout": 1.0})
        # What was taken is destroyed again when the seal would say too little for the policy.
        fault = ours_removed(rng)
        fault.kind, fault.at, fault.kill_at = kind, "zfs-snapshot:before:1", f"{step}:1"
        # In one wave: with several, the VM might not be in the first, which is where the fault strikes.
        fault.task = {"policy": {"on_vm_failure": "fail", "wave_size": 0}}
        return fault

    return make


def kill_recovery_at_step(step: str) -> Maker:
    def make(rng: random.Random) -> Fault:
        fault = Fault(
            "recovery killed at a step of the journal", kill_at=RECOVERY_STEPS[step], kill_recovery_at=f"{step}:1"
        )
        if step.startswith("note"):
            fault.rule = {"method": "RemoveSnapshot_Task", "effect": "task_fault", "fault": "GenericVmConfigFault"}
        if step.startswith("intend"):
            fault.at, fault.recovery = "between", {"scan": True}
            fault.strike = lambda stage, process: stage.forget_everything()
        return fault

    return make


def kill_any_time(rng: random.Random) -> Fault:
    return Fault("killed at a random time", kill_after=rng.uniform(0.0, 4.0))


def kill_zfs_waits(rng: random.Random) -> Fault:
    """The run is killed while its ZFS snapshot is under way, which is taken after the recovery."""
    return Fault("killed while zfs is at work", at="zfs-snapshot:before:1", strike=_hold_and_kill)


def terminate(rng: random.Random) -> Fault:
    number = rng.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

    def strike(stage: Stage, process: Process | None) -> None:
        if process:
            process.signal(number)

    return Fault("terminated by a signal", at=rng.choice(ANY), strike=strike)


# ---- vCenter and the network


def _for_a_while(
    rng: random.Random, begin: Callable[[Stage], None], end: Callable[[Stage], None]
) -> tuple[Strike, Mend]:
    """Strike that ends after a time, or only before the last recovery."""
    seconds = rng.choice((0.0, 0.3, 1.5, None))
    timers: list[threading.Timer] = []

    def end_steadily(stage: Stage) -> None:
        with stage.vcenter_steady:  # not while somebody asks it something
            end(stage)

    def strike(stage: Stage, process: Process | None) -> None:
        begin(stage)
        if seconds is not None:
            timers.append(threading.Timer(seconds, end_steadily, (stage,)))
            timers[0].start()

    def mend(stage: Stage) -> None:
        for timer in timers:
            timer.join()
        if not timers:
            end(stage)

    return strike, mend


def vcenter_killed(rng: random.Random) -> Fault:
    def restart(stage: Stage) -> None:
        if not stage.vcenter.running:
            stage.vcenter.restart()

    strike, mend = _for_a_while(rng, lambda stage: stage.vcenter.kill(), restart)
    return Fault("vCenter killed and restarted", at=rng.choice(ANY), strike=strike, mend=mend)


def connection_cut(rng: random.Random) -> Fault:
    strike, mend = _for_a_while(
        rng, lambda stage: stage.vcenter.network("reset"), lambda stage: stage.vcenter.network("up")
    )
    return Fault("connections cut", at=rng.choice(ANY), strike=strike, mend=mend)


def black_hole(rng: random.Random) -> Fault:
    strike, mend = _for_a_while(
        rng, lambda stage: stage.vcenter.network("black_hole"), lambda stage: stage.vcenter.network("up")
    )
    task = {"call_timeout": 1.0}
    return Fault("connections black-holed", at=rng.choice(ANY), strike=strike, mend=mend, task=task)


def session_expired(rng: random.Random) -> Fault:
    return Fault("session expired", at=rng.choice(ANY), strike=lambda stage, process: stage.vcenter.expire_sessions())


def session_expires_often(rng: random.Random) -> Fault:
    method = rng.choice(("CreateSnapshotEx_Task", "RemoveSnapshot_Task", "WaitForUpdatesEx", "RetrieveProp.*"))
    rule = {"method": method, "effect": "call_fault", "fault": "NotAuthenticated", "count": rng.randint(1, 3)}
    return Fault("session expired", rule=rule)


# ---- Single VMs


def _create(rng: random.Random, **rule: Any) -> dict[str, Any]:
    return {"method": "CreateSnapshotEx_Task", "vm": rng.choice(VMS), "count": 1, **rule}


def _remove(rng: random.Random, **rule: Any) -> dict[str, Any]:
    return {"method": "RemoveSnapshot_Task", "vm": rng.choice(VMS), **rule}


def _one_vm(kind: str, make: Callable[..., dict[str, Any]], brief: bool = False, **rule: Any) -> Maker:
    def maker(rng: random.Random) -> Fault:
        chosen = {key: rng.choice(value) if isinstance(value, tuple) else value for key, value in rule.items()}
        task: dict[str, Any] = {"policy": BRIEF, "call_timeout": 1.5} if brief else {}
        return Fault(kind, rule=make(rng, **chosen), task=task)

    return maker


_FAULTS = ("GenericVmConfigFault", "SnapshotFault", "InvalidState")
PER_VM = (
    _one_vm("quiesce failure", _create, effect="task_fault", fault="ApplicationQuiesceFault"),
    _one_vm("half snapshot left", _create, effect="half_snapshot", fault=("ApplicationQuiesceFault", *_FAULTS)),
    _one_vm("snapshot fault", _create, effect=("task_fault", "call_fault"), fault=_FAULTS),
    _one_vm("creation hangs", _create, brief=True, effect="task_hang"),
    _one_vm("creation is slow", _create, brief=True, effect="task_slow", seconds=(2.0, 4.0)),
    _one_vm("creation's task vanishes", _create, effect="task_vanish", carried_out=(True, False)),
    _one_vm("creation's answer lost", _create, effect=("drop_after", "drop_before", "malformed", "truncated")),
    _one_vm("creation carried out late", _create, brief=True, effect="call_late", seconds=(2.5, 6.0, 60.0)),
    _one_vm("busy", _create, effect="task_fault", fault="TaskInProgress", count=(1, 2)),
    _one_vm("removal fails", _remove, effect=("task_fault", "call_fault"), fault=_FAULTS, count=(1, 2, 0)),
    _one_vm("removal hangs", _remove, brief=True, effect="task_hang", count=1),
    _one_vm("removal's task vanishes", _remove, effect="task_vanish", carried_out=(True, False), count=(1, 2)),
    _one_vm("removal's answer lost", _remove, effect=("drop_after", "drop_before", "truncated"), count=(1, 3)),
    _one_vm("needs consolidation", _remove, effect="needs_consolidation", count=1),
)


def answers_lost(rng: random.Random) -> Fault:
    method = rng.choice(
        ("RetrievePropertiesEx", "WaitForUpdatesEx", "CreateFilter", "CreatePropertyCollector", "Login")
    )
    effect = rng.choice(("drop_after", "drop_before", "malformed", "truncated", "http_status"))
    rule = {"method": method, "effect": effect, "count": rng.randint(1, 4), "skip": rng.randint(0, 5)}
    if effect == "http_status":
        rule["status"] = 503
    return Fault("answers lost", rule=rule)


def quiesce_ignored(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)
    return Fault(
        "quiesce silently left out",
        at="intend:after:1",
        in_vcenter=True,
        strike=lambda stage, process: bool(stage.vcenter.vm(vm, tools="not_running")),
        mend=lambda stage: _change(stage, vm, tools="running"),
    )


def _change(stage: Stage, vm: str, **what: str) -> None:
    stage.vcenter.vm(vm, **what)


# ---- Other people


def foreign_on_top(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)
    at = rng.choice((*HOLDING, *TAKING, RELEASING[0], "between"))

    def strike(stage: Stage, process: Process | None) -> bool:
        if at == "between":
            stage.let_tasks_end()  # a VM that is busy takes no snapshot
        return bool(stage.take_foreign(vm))

    return Fault("foreign snapshot on top", at=at, in_vcenter=True, strike=strike)


def ours_removed(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)
    return Fault(
        "our snapshot removed by somebody else",
        at=rng.choice(("first-look:before:1", "zfs-snapshot:before:1", "zfs-snapshot:after:1", "between")),
        in_vcenter=True,
        strike=lambda stage, process: stage.remove_one_of_ours(vm),
    )


def powered_on(rng: random.Random) -> Fault:
    return Fault(
        "powered on during the run",
        at=rng.choice(("intend:after:1", "created:after:3", "zfs-snapshot:before:1", "zfs-snapshot:after:1")),
        in_vcenter=True,
        strike=lambda stage, process: stage.switch("archive", True),
        mend=lambda stage: stage.switch("archive", False),
    )


def disk_moved(rng: random.Random) -> Fault:
    """Storage vMotion, before the first look or between the looks: of a disk, of the home, or of both.

    The simulator moves only the files of simulated VMs in an instant.
    """
    vm = rng.choice(SIMULATED)
    how: dict[str, Any] = rng.choice(
        (
            {"disks": {FIRST_DISK: "local"}},
            {"disks": {FIRST_DISK: "nested" if vm != "ledger" else "main"}},
            {"home": "local"},
            {"home": "local", "disks": "stay"},
        )
    )
    return Fault(
        "disk moved by Storage vMotion",
        at=rng.choice(("intend:after:1", *HOLDING, *TAKING, *TAKING)),
        in_vcenter=True,
        strike=lambda stage, process: stage.move(vm, **how),
        mend=lambda stage: stage.move_back(vm),
    )


def disk_came(rng: random.Random) -> Fault:
    """The disk of a VM that had only an ISO image on a dataset comes there by Storage vMotion."""
    return Fault(
        "disk came by Storage vMotion",
        at=rng.choice(("intend:after:1", *HOLDING, *TAKING, *TAKING)),
        in_vcenter=True,
        strike=lambda stage, process: stage.move("visitor", disks={FIRST_DISK: rng.choice(("main", "nested"))}),
        mend=lambda stage: stage.move_back("visitor"),
    )


def second_vcenter_silent(rng: random.Random) -> Fault:
    """The other vCenter answers no more when the VMs are looked at for the second time; its VM stays on hold."""
    return Fault(
        "second vCenter silent",
        at=rng.choice(("zfs-snapshot:before:1", "zfs-snapshot:after:1")),
        strike=lambda stage, process: stage.second.network("black_hole"),
        mend=lambda stage: stage.second.network("up"),
        task={"call_timeout": 1.0, "policy": BRIEF},
    )


def moved(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)
    host = rng.choice(("DC0_H0", "DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2"))
    return Fault(
        "VM moved to another host",
        at=rng.choice(("between", *HOLDING, *TAKING)),
        in_vcenter=True,
        strike=lambda stage, process: bool(stage.vcenter.vm(vm, host=host)),
    )


def renamed(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)
    return Fault(
        "VM renamed",
        at="between",
        in_vcenter=True,
        strike=lambda stage, process: bool(stage.vcenter.vm(vm, name=f"{vm}-renamed")),
        mend=lambda stage: _change(stage, f"{vm}-renamed", name=vm),
    )


def registered_anew(rng: random.Random) -> Fault:
    vm = rng.choice(VMS)

    def strike(stage: Stage, process: Process | None) -> None:
        stage.unregister(vm)
        stage.vcenter.register_again(vm)

    return Fault("VM registered anew", at="between", in_vcenter=True, strike=strike)


def unregistered(rng: random.Random) -> Fault:
    """The VM is not there when it is recovered, and comes back afterwards: then only a scan can find the snapshot."""
    vm = rng.choice(VMS)

    def strike(stage: Stage, process: Process | None) -> None:
        stage.unregister(vm)

    def mend(stage: Stage) -> None:
        stage.vcenter.register_again(vm)

    return Fault("VM unregistered", at="between", in_vcenter=True, strike=strike, mend=mend, recovery={"scan": True})


# ---- The storage host


def _hold_zfs(stage: Stage, process: Process | None) -> None:
    (stage.zfs_folder / "hold").touch()


def _hold_and_kill(stage: Stage, process: Process | None) -> None:
    _hold_zfs(stage, process)
    if process:
        process.go_on()  # it waits at the instant before the command
        while not stage.zfs_waits():
            if process.event(0.02) == "ended":
                return
        process.kill()


def zfs_answers_late(rng: random.Random) -> Fault:
    """The command hangs until the VMs are released, and succeeds then."""
    return Fault("zfs hangs and succeeds late", strike=_hold_zfs, task=_LOST, mend=lambda stage: stage.wait_zfs())


def zfs_name_exists(rng: random.Random) -> Fault:
    def strike(stage: Stage, process: Process | None) -> None:
        take = f'"$CHAOS_REAL_ZFS" snapshot "$(names "$@" | cut -d " " -f {rng.randint(1, 2)})"\n'
        (stage.zfs_folder / "before").write_text(take)

    return Fault("zfs: the name exists", strike=strike, mend=_nothing_before)


def zfs_pool_full(rng: random.Random) -> Fault:
    """A dataset whose reservation leaves no room for what a snapshot would hold on to, under a quota."""
    return Fault(
        "zfs: no room",
        at="intend:after:1",
        strike=lambda stage, process: stage.reserve(True),
        mend=lambda stage: stage.reserve(False),
    )


def pool_suspended(rng: random.Random) -> Fault:
    """The pool's only disk fails: the pool is suspended, its snapshot is taken when the disk is back."""
    return Fault(
        "zfs: the pool is suspended",
        at=rng.choice(("intend:after:1", "zfs-snapshot:before:1")),
        strike=lambda stage, process: stage.fail_disk(True),
        mend=lambda stage: stage.fail_disk(False),
        task={**_LOST, "dataset": FAILING_POOL + "/vms"},
    )


def pool_suspended_before_seal(rng: random.Random) -> Fault:
    """The same between the ZFS snapshot and its seal."""
    return Fault(
        "zfs: the pool is suspended before the seal",
        at=rng.choice(("zfs-snapshot:after:1", "keep_seals:before:1", "zfs-seal:before:1")),
        strike=lambda stage, process: stage.fail_disk(True),
        mend=lambda stage: stage.fail_disk(False),
        task={"dataset": FAILING_POOL + "/vms", "seal_seconds": 3.0},
    )


def seal_fails(rng: random.Random) -> Fault:
    """The channel program that seals finds no room, is killed before or after its work, or dies half-way."""
    how = rng.choice(("room", "killed-before", "killed-after", "half-way"))

    def strike(stage: Stage, process: Process | None) -> None:
        (stage.zfs_folder / "seal-trap").write_text(how)

    def mend(stage: Stage) -> None:
        (stage.zfs_folder / "seal-trap").unlink(missing_ok=True)

    task = {"program_bytes": rng.choice((0, SMALL_PROGRAMS))}
    return Fault("zfs: the seal fails", strike=strike, mend=mend, trap="seal", task=task)


def zfs_tampered(rng: random.Random) -> Fault:
    """Somebody destroys, renames or recreates one of the ZFS snapshots before it is sealed, or after."""
    how, number = rng.choice(("destroyed", "renamed", "recreated", "recreated")), rng.randrange(2)
    at = rng.choice(("zfs-snapshot:after:1", "between", *SEALING))
    return Fault("zfs: the snapshot is not the run's any more", at=at, strike=_tamper(how, number))


def createtxg_unread(rng: random.Random) -> Fault:
    """What tells the run's ZFS snapshots from others of their names cannot be read before the last recovery."""
    return Fault(
        "zfs: createtxg cannot be read",
        strike=lambda stage, process: (stage.zfs_folder / "look-trap").touch(),
        mend=lambda stage: (stage.zfs_folder / "look-trap").unlink(missing_ok=True),
        trap="look",
    )


def _tamper(how: str, number: int, released: bool = False) -> Strike:
    """`released`: not before all VMs are."""

    def strike(stage: Stage, process: Process | None) -> bool:
        if released and not stage.wait_released():
            return False
        return stage.tamper(how, number)

    return strike


def recreated_after_release(rng: random.Random) -> Fault:
    """What is taken then under the name holds what nobody held. With the same local properties it is known as another
    by its createtxg, once the run has learnt that of its own.
    """
    at, how = rng.choice((("zfs-createtxg:before:1", "recreated"), ("zfs-seal:before:1", "copied")))
    return Fault("zfs: recreated after the release", at=at, strike=_tamper(how, 0, released=True))


def _nothing_before(stage: Stage) -> None:
    (stage.zfs_folder / "before").unlink(missing_ok=True)


def clock_set_back(rng: random.Random) -> Fault:
    """An hour back while zfs hangs: by its own time the snapshot is older than the run that asked for it."""

    def strike(stage: Stage, process: Process | None) -> None:
        _hold_zfs(stage, process)
        stage.set_clock(-3600)

    def mend(stage: Stage) -> None:
        stage.wait_zfs()
        stage.set_clock(0)

    return Fault("clock set back", at="zfs-snapshot:before:1", strike=strike, mend=mend, task=_LOST)


def database_locked(rng: random.Random) -> Fault:
    lock = ExitStack()

    def end(stage: Stage) -> None:
        lock.close()

    strike, mend = _for_a_while(rng, lambda stage: lock.enter_context(stage.locked_database()), end)
    return Fault("database locked", at=rng.choice(ANY), strike=strike, mend=mend)


def disk_full(rng: random.Random) -> Fault:
    return Fault(
        "disk full under the state directory",
        at=rng.choice(ANY),
        strike=lambda stage, process: stage.fill_disk(True),
        mend=lambda stage: stage.fill_disk(False),
    )


def database_lost(rng: random.Random) -> Fault:
    return Fault(
        "database lost",
        at="between",
        strike=lambda stage, process: stage.forget_everything(),
        recovery={"scan": True},
    )


def account_replaced(rng: random.Random) -> Fault:
    return Fault(
        "account replaced",
        at="between",
        strike=lambda stage, process: stage.replace_account(),
        mend=Stage.restore_account,
    )


ENVIRONMENT: tuple[Maker, ...] = (
    kill_any_time, kill_any_time, kill_any_time, kill_zfs_waits, terminate, terminate, vcenter_killed, vcenter_killed,
    connection_cut, black_hole, session_expired, session_expires_often, answers_lost, zfs_answers_late, zfs_name_exists,
    zfs_pool_full, pool_suspended, pool_suspended_before_seal, seal_fails, seal_fails, zfs_tampered, zfs_tampered,
    recreated_after_release, createtxg_unread, second_vcenter_silent, clock_set_back, database_locked, database_locked,
    disk_full, disk_full,
)  # fmt: skip
PEOPLE: tuple[Maker, ...] = (
    foreign_on_top,
    foreign_on_top,
    ours_removed,
    ours_removed,
    powered_on,
    moved,
    disk_moved,
    disk_moved,
    disk_came,
    quiesce_ignored,
)
BETWEEN: tuple[Maker, ...] = (
    renamed,
    registered_anew,
    unregistered,
    database_lost,
    account_replaced,
    foreign_on_top,
    moved,
)
