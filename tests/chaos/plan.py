# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which faults come in which order: everything at least once, then at random; and what came of it."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import faults, restore_plan
from .episode import VIOLATIONS, Verdict
from .faults import Fault, Maker
from .restore_judge import KINDS

Hand = list[Maker]
_UNDISTURBED = 3  # hands before one without faults


def step_hands() -> list[tuple[str, Hand]]:
    """A kill at every step of the journal, by what `steps_killed` will call it."""
    return [
        *((f"run {step}", [faults.kill_at_step(step)]) for step in faults.RUN_STEPS),
        *((f"run {step}", [faults.kill_at_rare_step(step)]) for step in faults.RARE_RUN_STEPS),
        *((f"recovery {step}", [faults.kill_recovery_at_step(step)]) for step in faults.RECOVERY_STEPS),
    ]


def hands(rng: random.Random, short: bool = False) -> Iterator[Hand]:
    """Endless: which faults are dealt to each run. First every journal step, then every kind, then whatever comes.

    Unless it is `short`, each third hand is followed by an empty one: a run that nothing disturbs is the next one after
    a recovery, and states the highest levels about the real disks.
    """
    for number, hand in enumerate(_hands_with_faults(rng, short), 1):
        yield hand
        if not short and number % _UNDISTURBED == 0:
            yield []


def _hands_with_faults(rng: random.Random, short: bool) -> Iterator[Hand]:
    steps = [hand for _step, hand in step_hands()]
    rng.shuffle(steps)
    kinds: list[Hand] = [[maker] for maker in (*faults.ENVIRONMENT, *faults.PER_VM, *faults.PEOPLE)]
    between = [
        [rng.choice((faults.kill_any_time, faults.kill_at_step("create:after"))), maker] for maker in faults.BETWEEN
    ]
    rest = [*kinds, *between]
    rng.shuffle(rest)
    yield from steps
    if not short:
        # A second fault beside the first finds what neither does alone.
        yield from ([*hand, rng.choice(faults.PER_VM)] for hand in rest)
    while True:
        hand = [rng.choice(faults.ENVIRONMENT), *rng.sample(faults.PER_VM, 2)]
        if rng.random() < 0.5:
            hand.append(rng.choice(faults.PEOPLE))
        if rng.random() < 0.5:
            hand.append(rng.choice(faults.BETWEEN))
        if rng.random() < 0.3:
            hand.append(faults.kill_at_step(rng.choice(faults.RUN_STEPS)))
        yield hand


# A ZFS snapshot that bears all properties of the run's is known as another by its createtxg alone.
_NOT_PROMISED = {"zfs: recreated after the release", "zfs: createtxg cannot be read"}


def deal(rng: random.Random, hand: Hand) -> list[Fault]:
    """The faults of a hand; one of a kind, and no more than one that changes how the run is killed."""
    dealt: list[Fault] = []
    for maker in hand:
        fault = maker(rng)
        if any(fault.kind == other.kind for other in dealt):
            continue
        if (fault.kill_at or fault.kill_after is not None) and any(
            o.kill_at or o.kill_after is not None for o in dealt
        ):
            continue
        if fault.kill_recovery_at and any(other.recovery for other in dealt):
            continue
        if {fault.kind, *(other.kind for other in dealt)} >= _NOT_PROMISED:
            continue
        dealt.append(fault)
    return dealt


@dataclass
class Tally:
    """What came of all runs so far. `problems` are the violations in words, each with how to repeat it."""

    seed: int
    begun: float = field(default_factory=time.monotonic)
    runs: int = 0
    run_faults: int = 0  # that struck runs, and not restores
    faults: Counter[str] = field(default_factory=Counter)
    steps_killed: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)
    left_behind: int = 0
    foreign_lost: int = 0
    records_too_good: int = 0
    disks_disagree: int = 0
    restores: Counter[str] = field(default_factory=Counter)
    restore_steps_killed: Counter[str] = field(default_factory=Counter)
    restore_left: Counter[str] = field(default_factory=Counter)
    restore_left_behind: int = 0
    living_touched: int = 0
    other: int = 0
    recover_seconds_max: float = 0.0
    problems: list[str] = field(default_factory=list)
    lab_hangs: list[str] = field(default_factory=list)  # episodes that say nothing about the engine, in words

    def add(self, verdict: Verdict, what: str) -> None:
        self.runs += not verdict.restores
        self.run_faults += 0 if verdict.restores else sum(verdict.faults.values())
        self.faults += verdict.faults
        self.steps_killed += verdict.steps_killed
        self.judged += verdict.judged
        self.restores += verdict.restores
        self.restore_steps_killed += verdict.restore_steps_killed
        self.restore_left += verdict.restore_left
        self.recover_seconds_max = max(self.recover_seconds_max, verdict.recover_seconds)
        for name in VIOLATIONS:
            found = getattr(verdict, name)
            setattr(self, name, getattr(self, name) + len(found))
            self.problems += [f"{what}: {name}: {text}" for text in found]

    def missing_steps(self) -> list[str]:
        return [step for step, _unused in step_hands() if not self.steps_killed[step]]

    def missing_restore_steps(self) -> list[str]:
        return [step for step, _unused in restore_plan.step_cases() if not self.restore_steps_killed[step]]

    def _restores(self) -> dict[str, Any]:
        missing, steps = self.missing_restore_steps(), len(restore_plan.step_cases())
        return {
            "restores": self.restores["played"],
            "restores_killed": self.restores["killed"],
            "restore_steps_killed": {"covered": steps - len(missing), "all": steps, "missing": missing},
            "restore_left_behind": {kind: self.restore_left[kind] for kind in KINDS},
            "living_touched": self.living_touched,
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "runs": self.runs,
            "faults": dict(sorted(self.faults.items())),
            "steps_killed": dict(sorted(self.steps_killed.items())),
            "left_behind": self.left_behind,
            "foreign_lost": self.foreign_lost,
            "records_too_good": self.records_too_good,
            "disks_checked": self.judged["disks"],
            "disks_disagree": self.disks_disagree,
            **self._restores(),
            "recover_seconds_max": round(self.recover_seconds_max, 2),
            "other_problems": self.other,
            "problems": self.problems,
            "lab_hangs": self.lab_hangs,
            "seconds": round(time.monotonic() - self.begun, 1),
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n")

    def line(self) -> str:
        return (
            f"{time.monotonic() - self.begun:5.0f} s  {self.runs} runs, {self.restores['played']} restores, "
            f"{sum(self.faults.values())} faults  "
            f"left behind {self.left_behind}, foreign lost {self.foreign_lost}, "
            f"records too good {self.records_too_good}, disks disagree {self.disks_disagree}, "
            f"left by restores {self.restore_left_behind}, living touched {self.living_touched}, other {self.other}"
        )

    def table(self, whole: bool = True) -> str:
        """How often each kind of fault struck; of a `whole` sequence also whether it killed at every step."""
        rows = sorted((kind, str(count)) for kind, count in self.faults.items())
        width = max((len(kind) for kind, _unused in rows), default=0)
        steps = f"every one of the journal's {len(step_hands())} steps killed at"
        missing = self.missing_steps()
        return "\n".join(
            [
                *(f"  {kind.ljust(width)}  {count}" for kind, count in rows),
                *([f"  {steps if not missing else 'steps never killed at: ' + ', '.join(missing)}"] if whole else []),
                f"  {self.judged['records']} records judged, {self.judged['sealed']} of them sealed",
                f"  {self.judged['disks']} real disks compared with their records",
                *self._restore_rows(),
                *(f"  hang of the lab, which says nothing about the engine: {hang}" for hang in self.lab_hangs),
                f"  longest recovery {self.recover_seconds_max:.1f} s",
            ]
        )

    def _restore_rows(self) -> list[str]:
        """What came of the restores, unless none was played."""
        if not self.restores["played"]:
            return []
        missing = self.missing_restore_steps()
        left = ", ".join(f"{kind} {self.restore_left[kind]}" for kind in KINDS)
        return [
            f"  {self.restores['played']} restores, {self.restores['killed']} of them killed",
            f"  steps of restores never killed at: {', '.join(missing)}"
            if missing
            else f"  every one of the {len(restore_plan.step_cases())} steps of restores killed at",
            f"  left behind by restores: {left}; living VMs and other storage touched {self.living_touched}",
        ]
