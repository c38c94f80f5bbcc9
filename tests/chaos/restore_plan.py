# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which restores are played: a kill before and after every write of their journal, then every other kind of fault."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

from . import faults
from .faults import Fault
from .restore_stage import RestoreStage
from .restores import Case, vms_of
from .stage import Process, Stage

SIDES = ("before", "after")
# The kinds of steps of each way, in their order.
WAYS: dict[str, tuple[str, ...]] = {
    "folder": ("hold", "folder", "registration", "rename", "handover"),
    "clone": ("hold", "clone", "export", "mount", "registration", "rename", "handover"),
    "mount": ("hold", "clone", "export", "mount", "handover"),
    "disk": ("hold", "clone", "export", "mount", "attach", "handover"),
    "replace": ("hold", "folder", "registration", "living_off", "rename", "handover"),
}
# A drill takes everything away itself, so nothing is handed over.
DRILL = ("hold", "clone", "export", "mount", "registration")
KINDS = tuple(dict.fromkeys(kind for kinds in WAYS.values() for kind in kinds))
UNDONE = tuple(kind for kind in KINDS if kind != "handover")  # what was handed over is not undone by a recovery
ENDED = ("attach", "registration", "mount", "export", "clone")
_LAST = "intend:handover:before:1"  # all else of a restore is there

Maker = Callable[[random.Random], Case]


def step_cases() -> list[tuple[str, Maker]]:
    """Return a kill at every step, by what `restore_steps_killed` calls it."""
    writes = ["open", *(f"{write}:{kind}" for kind in KINDS for write in ("intend", "done")), "keep_result"]
    writes.append("set_state:done")
    undone = [*(f"undone:{kind}" for kind in UNDONE), "set_state:undone"]
    ended = [*(f"undone:{kind}" for kind in ENDED), "set_state:ended"]
    drill = ["open", *(f"{write}:{kind}" for kind in DRILL for write in ("intend", "done")), "call:power-on"]
    drill += [*(f"undone:{kind}" for kind in DRILL), "set_state:undone", "keep_result"]
    return [
        *((f"drill {one}:{side}", _drill_killed(one, side)) for one in drill for side in SIDES),
        *((f"restore {one}:{side}", _killed(one, side)) for one in writes for side in SIDES),
        *((f"recovery {one}:{side}", _recovery_killed(one, side)) for one in undone for side in SIDES),
        *((f"end {one}:{side}", _end_killed(one, side)) for one in ended for side in SIDES),
    ]


def _way_with(rng: random.Random, step: str) -> str:
    kind = step.partition(":")[2]
    return rng.choice([way for way, kinds in WAYS.items() if kind not in KINDS or kind in kinds])


def _killed(write: str, side: str) -> Maker:
    def make(rng: random.Random) -> Case:
        way = _way_with(rng, write)
        number = rng.randint(1, 2) if (way, write.partition(":")[2]) == ("replace", "rename") else 1
        kill = Fault("restore killed at a step of the journal", kill_at=f"{write}:{side}:{number}")
        return Case(way, [kill], vms_of(rng))

    return make


def _drill_killed(write: str, side: str) -> Maker:
    def make(rng: random.Random) -> Case:
        kill = Fault("drill killed at a step of the journal", kill_at=f"{write}:{side}:1")
        return Case("drill", [kill], vms_of(rng))

    return make


def _drill_and_recovery_killed(rng: random.Random) -> Case:
    """The recovery dies while it takes a VM away that runs."""
    at = f"{rng.choice(('call:unregister', 'undone:registration'))}:{rng.choice(SIDES)}:1"
    kind = "recovery of a drill killed at a step of the journal"
    return Case("drill", [Fault(kind, kill_at="call:power-on:after:1", kill_recovery_at=at)])


def _recovery_killed(write: str, side: str) -> Maker:
    def make(rng: random.Random) -> Case:
        at = "intend:living_off:after:1" if write.endswith("living_off") else _LAST
        ways = [way for way in WAYS if write.partition(":")[2] in (*WAYS[way], "undone")]
        way = "folder" if write.startswith("set_state") else rng.choice(ways)
        kind = "recovery of a restore killed at a step of the journal"
        fault = Fault(kind, kill_at=at, kill_recovery_at=f"{write}:{side}:1", recovery={"guest_settled": True})
        return Case(way, [fault], vms_of(rng))

    return make


def _end_killed(write: str, side: str) -> Maker:
    def make(rng: random.Random) -> Case:
        kind = write.partition(":")[2]
        ways = [way for way in ("clone", "mount", "disk") if kind in (*WAYS[way], "ended")]
        return Case(rng.choice(ways), [], vms_of(rng), kill_end_at=f"{write}:{side}:1")

    return make


# ---- Other faults


def _instant(rng: random.Random, way: str) -> str:
    """Draw an instant at which a restore of this way waits."""
    return f"{rng.choice(('intend', 'done'))}:{rng.choice(WAYS[way])}:{rng.choice(SIDES)}:1"


def _at_an_instant(maker: Callable[[random.Random], Fault]) -> Maker:
    def make(rng: random.Random) -> Case:
        way, fault = rng.choice(list(WAYS)), maker(rng)
        fault.at = _instant(rng, way)
        fault.task.pop("policy", None)
        return Case(way, [fault], vms_of(rng), power_on=way in ("folder", "clone", "replace") and rng.random() < 0.3)

    return make


def terminated(rng: random.Random) -> Fault:
    number = rng.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

    def strike(stage: Stage, process: Process | None) -> None:
        if process:
            process.signal(number)

    return Fault("restore terminated by a signal", strike=strike)


def power_cut(rng: random.Random) -> Fault:
    """The restore runs on the storage host, and dies with it."""

    def strike(stage: Stage, process: Process | None) -> None:
        stage.host.power_cut()
        if process:
            process.kill()
        stage.host.boot()
        stage.set_clock(0)

    return Fault("power cut of the storage host during a restore", strike=strike)


# The call, the kind of step that it belongs to, and the name of the call in restore_process.py.
_TASKS = (
    ("RegisterVM_Task", "registration", "register"),
    ("Rename_Task", "rename", "rename"),
    ("ReconfigVM_Task", "attach", "attach"),
)
_LOST = ("RevertToSnapshot_Task", "RemoveSnapshot_Task", "CreateNasDatastore", *(task[0] for task in _TASKS))


def answer_lost(rng: random.Random) -> Case:
    method = rng.choice(_LOST)
    ways = ("clone", "mount", "disk") if method == "CreateNasDatastore" else ("folder", "clone", "replace")
    effect = rng.choice(("drop_after", "drop_before", "truncated"))
    return Case(
        rng.choice(ways), [Fault("restore's answer lost", rule={"method": method, "effect": effect, "count": 1})]
    )


def undo_answer_lost(rng: random.Random) -> Case:
    """The answer to a call of the recovery is lost."""
    method, way = rng.choice((("UnregisterVM", "folder"), ("RemoveDatastore", "clone"), ("Rename_Task", "replace")))
    effect = rng.choice(("drop_after", "drop_before"))
    rule = {"method": method, "effect": effect, "count": 1, "skip": 2 * (method == "Rename_Task")}
    return Case(way, [Fault("recovery's answer lost", rule=rule, kill_at=_LAST)])


def killed_while_a_task_runs(rng: random.Random) -> Case:
    """The task ends only after the first recovery has looked."""
    method, kind, call = rng.choice(_TASKS)
    way = rng.choice([way for way in WAYS if kind in WAYS[way]])
    number = rng.randint(1, 2) if (way, kind) == ("replace", "rename") else 1
    rule = {"method": method, "effect": "task_slow", "seconds": rng.uniform(3, 8), "count": 1, "skip": number - 1}
    return Case(way, [Fault("restore killed while its task runs", rule=rule, kill_at=f"call:{call}:after:{number}")])


def killed_while_the_guest_shuts_down(rng: random.Random) -> Case:
    return Case("replace", [Fault("restore killed while the guest shuts down", kill_at="call:shut-down:after:1")])


def _beside(kind: str, start: Callable[[RestoreStage, Case], Process]) -> Maker:
    """Something else that begins during a restore, and goes on beside it."""

    def make(rng: random.Random) -> Case:
        way = rng.choice(list(WAYS))
        case = Case(way, [], vms_of(rng))

        def strike(stage: Stage, process: Process | None) -> None:
            assert isinstance(stage, RestoreStage)
            case.beside.append(start(stage, case))

        case.faults.append(Fault(kind, at=_instant(rng, way), strike=strike))
        if rng.random() < 0.5:
            case.faults.append(Fault("restore killed at a step of the journal", kill_at=_LAST))
        return case

    return make


def _second(stage: RestoreStage, case: Case) -> Process:
    """The same restore once more."""
    return stage.run(request=stage.request(case.way, case.vms))


OTHERS: tuple[Maker, ...] = (
    _drill_and_recovery_killed,
    _drill_and_recovery_killed,
    _at_an_instant(faults.connection_cut),
    _at_an_instant(faults.connection_cut),
    _at_an_instant(faults.black_hole),
    _at_an_instant(faults.vcenter_killed),
    _at_an_instant(faults.vcenter_killed),
    _at_an_instant(faults.session_expired),
    _at_an_instant(terminated),
    _at_an_instant(power_cut),
    _at_an_instant(power_cut),
    answer_lost,
    answer_lost,
    answer_lost,
    undo_answer_lost,
    undo_answer_lost,
    killed_while_a_task_runs,
    killed_while_a_task_runs,
    killed_while_a_task_runs,
    killed_while_the_guest_shuts_down,
    _beside("run beside a restore", lambda stage, case: stage.take_run()),
    _beside("run beside a restore", lambda stage, case: stage.take_run()),
    _beside("second restore of the same VM", _second),
    _beside("second restore of the same VM", _second),
)


def cases(rng: random.Random) -> list[Maker]:
    """Return all restores of a sequence, in a drawn order."""
    dealt = [*(maker for _step, maker in step_cases()), *OTHERS]
    rng.shuffle(dealt)
    return dealt
