# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One restore with its faults, the recovery from it, its end if it was handed over, and the verdict."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from . import judge
from .disks import OFF
from .episode import Episode, Verdict
from .faults import Fault
from .restore_judge import Delivered, Found, Picture, compare
from .restore_stage import LIVING, RestoreStage
from .stage import Process

ASKS_FOR_POWER = "was shut down and is off; power it on"


@dataclass
class Case:
    """A restore in a `way` (also "replace" and "drill") of `vms`, with its faults. `kill_end_at` kills its end."""

    way: str
    faults: list[Fault]
    vms: tuple[str, ...] = (LIVING,)
    power_on: bool = False
    kill_end_at: str = ""
    beside: list[Process] = field(default_factory=list)  # what a fault has started, and must end

    def __str__(self) -> str:
        vms = f" of {', '.join(self.vms)}" if self.way in ("folder", "clone", "drill") else ""
        ending = f"; end killed @{self.kill_end_at}" if self.kill_end_at else ""
        return f"restore {self.way}{vms}: {', '.join(map(str, self.faults)) or 'nothing'}{ending}"


class RestoreEpisode(Episode):
    """Faults, a restore, recoveries until all is settled, the end of the restore, and a look at what remains."""

    patience = 300.0
    _stage: RestoreStage

    def __init__(self, stage: RestoreStage, case: Case, rng: random.Random) -> None:
        self._case = case
        self.called = "drill" if case.way == "drill" else "restore"
        self._first = Picture({})
        super().__init__(stage, case.faults, rng)

    def _drawn(self) -> dict[str, Any]:
        stage, case = self._stage, self._case
        more = {"power_on": True} if case.power_on else {}
        return {"request": stage.request(case.way, case.vms, **more), "policy": {}}

    def play(self) -> Verdict:
        verdict = super().play()
        killed = any(one.startswith(self.called) for one in verdict.steps_killed)
        verdict.restores.update(played=1, killed=int(killed))
        verdict.restore_steps_killed += verdict.steps_killed
        verdict.steps_killed.clear()
        return verdict

    def _run(self) -> None:
        self._first = self._stage.picture()
        super()._run()

    def _mend(self) -> None:
        super()._mend()
        while self._case.beside:
            self._stage.wait_ended(self._case.beside.pop())

    def _obey(self) -> None:
        """Power VMs on that recovery has reported."""
        notes = [step for step in self._stage.steps() if step["state"] != "undone" and ASKS_FOR_POWER in step["note"]]
        for step in notes:
            for moid, machine in self._stage.picture().machines.items():
                if moid == step["data"]["vm_moid"]:
                    self._stage.switch_as_person(machine.name, True)

    # ---- The verdict

    def _judge(self) -> None:
        self._stage.let_tasks_end()
        now, delivered = self._stage.picture(), self._stage.delivered()
        self._note(compare(self._first, now, delivered), "")
        if delivered:
            for one in delivered:
                self._end(one)
            self._note(compare(self._first, self._stage.picture()), " after its end")
        machines = self._stage.machines()
        self._verdict.left_behind += judge.left_behind(machines, self._stage.our_hosts)
        if self._verdict.violated():
            self._tidy(now)

    def _end(self, given: Delivered) -> None:
        """End a restore, as the person to whom it belongs. The person deletes a copied VM."""
        for name in given.vms:
            self._stage.switch_as_person(name, False)
        killed = self._ended(given, self._case.kill_end_at)
        if killed:
            self._verdict.restore_steps_killed["end " + killed.rsplit(":", 1)[0]] += 1
            self._ended(given, "")
        for name, folder in given.vms.items():
            if folder:
                self._stage.delete(name, folder)
        for name in given.replaced:
            self._stage.take_back(name)

    def _ended(self, given: Delivered, kill_at: str) -> str:
        """End a restore once. Returns where it was killed."""
        process = self._stage.end(given.restore, kill_at=kill_at)
        self._stage.wait_ended(process)
        if not process.killed_at and "result" not in process.answer:
            self._verdict.other.append(f"the end of the restore {given.restore} said: {process.answer}")
        return process.killed_at

    def _note(self, found: Found, when: str) -> None:
        self._verdict.restore_left_behind += [text + when for text in found.words()]
        self._verdict.restore_left.update({kind: len(texts) for kind, texts in found.left.items()})
        self._verdict.living_touched += [text + when for text in found.touched]
        self._verdict.other += [text + when for text in found.missing]

    def _tidy(self, now: Picture) -> None:
        """What a broken engine left behind is not cleared up: the stage is not to be trusted any more."""
        self._verdict.evidence["before"], self._verdict.evidence["after"] = repr(self._first), repr(now)
        self._verdict.broke = True


def vms_of(rng: random.Random) -> tuple[str, ...]:
    """Draw one VM, or two."""
    return rng.choice(((LIVING,), (LIVING,), (LIVING, OFF)))
