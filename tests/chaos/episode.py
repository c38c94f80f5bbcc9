# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run with its faults, the recovery from it, and the verdict."""

from __future__ import annotations

import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError

from . import judge
from .disks import THE_END
from .faults import Fault
from .stage import PATIENCE, Hung, Process, Stage
from .truth import read_trace

_RECOVERIES = 6  # until one finds nothing more to do
_Policies = tuple[list[dict[str, Any]], dict[str, str]]
_NONE: _Policies = ([], {})
# Policies, and what they ask of which VM (see Truth), written down by hand: the judge must not learn it from a record.
_POLICIES: tuple[_Policies, ...] = (
    _NONE,
    _NONE,
    _NONE,
    ([{"match": {"name": "web-*"}, "accept": "crash"}], dict.fromkeys(("web-1", "web-2", "web-3"), "crash")),
    ([{"match": {"name": "mail"}, "quiesce": "never"}], {"mail": "crash"}),
    ([{"match": {"name": "web-2"}, "quiesce": "required", "on_failure": "fail"}], {}),
    (
        [{"match": {"name": "ledger"}, "exclude": True}, {"match": {"name": "*"}, "accept": "application"}],
        {"ledger": "crash", "*": "application"},
    ),
)


VIOLATIONS = (
    "left_behind", "foreign_lost", "records_too_good", "disks_disagree", "restore_left_behind", "living_touched",
    "other",
)  # fmt: skip


@dataclass
class Verdict:
    """What became of a run. The lists are in words; all empty: the promise was kept."""

    left_behind: list[str] = field(default_factory=list)
    foreign_lost: list[str] = field(default_factory=list)
    records_too_good: list[str] = field(default_factory=list)
    disks_disagree: list[str] = field(default_factory=list)
    restore_left_behind: list[str] = field(default_factory=list)
    living_touched: list[str] = field(default_factory=list)  # and other datastores and ZFS snapshots
    other: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    steps_killed: Counter[str] = field(default_factory=Counter)
    judged: Counter[str] = field(default_factory=Counter)  # records in dumps, those of them that were sealed, and disks
    restores: Counter[str] = field(default_factory=Counter)  # that were played, and those of them that were killed
    restore_steps_killed: Counter[str] = field(default_factory=Counter)
    restore_left: Counter[str] = field(default_factory=Counter)  # of restore_left_behind, by kind
    recover_seconds: float = 0.0
    evidence: dict[str, Any] = field(default_factory=dict)  # of a violation, for whoever looks into it
    broke: bool = False  # something unforeseen came in between: the stage is not to be trusted any more
    played: str = ""  # the faults that were dealt, in words
    lab_hang: str = ""  # how the lab itself hung: then the rest says nothing about the engine

    def harness_broke(self, error: Exception) -> None:
        """It counts as a violation, for nothing was proved; the runs after it go on."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{where.name} ({where.filename.rpartition('/')[2]}:{where.lineno})"
        self.other.append(str(error) if isinstance(error, Hung) else f"{place}: {type(error).__name__}: {error}")
        self.broke = True

    def judge_records(self, stage: Stage, seen: list[judge.Seen]) -> None:
        """Compare the records with what happened, and with the real disks in their ZFS snapshots."""
        self.records_too_good += judge.judge_dumps(seen, stage.truth())
        self.judged += Counter(records=len(seen), sealed=sum(judge.is_sealed(one.values) for one in seen))
        checked = stage.check_disks(seen)
        self.disks_disagree += checked.disagree
        self.judged += Counter(disks=checked.count)

    def suspect(self, stage: Stage) -> None:
        """Ask whether a hang of the lab is behind the violations."""
        self.lab_hang = stage.hang()
        self.broke = self.broke or bool(self.lab_hang)

    def count(self) -> int:
        """How many violations there are."""
        return sum(len(getattr(self, name)) for name in VIOLATIONS)

    def violated(self) -> bool:
        return self.count() > 0


class Episode:
    """Faults, a run, recoveries until all is settled, and a look at what remains."""

    called = "run"
    patience = PATIENCE

    def __init__(self, stage: Stage, faults: list[Fault], rng: random.Random) -> None:
        self._stage, self._faults, self._rng = stage, faults, rng
        self._verdict = Verdict()
        for vcenter in (stage.vcenter, stage.second):
            vcenter.clear_trace()  # the file keeps it
        self._begun = time.time()
        self._before = judge.foreign(stage.machines(), stage.our_hosts)
        self._task: dict[str, Any] = self._drawn()

    def _drawn(self) -> dict[str, Any]:
        """Draw what the run is asked for."""
        rng = self._rng
        policy: dict[str, Any] = {"vm_timeout": 8.0, "max_hold": 20.0}
        policy["limits"] = rng.choice(((32, 8), (2, 8), (32, 1), (1, 1)))
        policy["on_quiesce_failure"] = rng.choice(("crash_consistent", "crash_consistent", "skip"))
        policy["on_vm_failure"] = rng.choice(("continue", "continue", "continue", "fail"))
        policy["wave_size"] = rng.choice((0, 0, 0, 2))
        policy["policies"], self._stage.asked = rng.choice(_POLICIES)
        return {"policy": policy}

    def play(self) -> Verdict:
        self._guarded(self._run_and_recover)
        if self._verdict.broke:  # whatever came in between, a recovery has to clear up behind it
            self._guarded(self._mend)
            self._guarded(self._recover_until_settled)
        self._guarded(self._judge)
        if self._verdict.violated():
            self._verdict.suspect(self._stage)
            self._guarded(self._gather_evidence)
        for fault in self._faults:
            self._verdict.faults[fault.kind] += fault.hit
        return self._verdict

    def _guarded(self, part: Callable[[], None]) -> None:
        try:
            part()
        except Exception as error:
            self._verdict.harness_broke(error)

    def _run_and_recover(self) -> None:
        self._run()
        self._strike("between", None)
        self._recover_while_broken()
        self._mend()
        self._recover_until_settled()

    # ---- The run

    def _run(self) -> None:
        task = dict(self._task)
        for fault in self._faults:
            task |= {**fault.task, "policy": {**task["policy"], **fault.task.get("policy", {})}}
            if fault.rule:
                fault.rule_id = self._stage.vcenter.rule(**fault.rule)
        self._strike("", None)
        kills = [fault for fault in self._faults if fault.kill_at or fault.kill_after is not None]
        process = self._stage.run(
            **task,
            kill_at=next((fault.kill_at for fault in kills if fault.kill_at), ""),
            wait_at=[fault.at for fault in self._faults if fault.at not in ("", "between")],
        )
        self._watch(process, next((fault.kill_after for fault in kills if fault.kill_after is not None), None))
        for fault in kills:
            if fault.kill_at and process.killed_at:
                fault.hit = not fault.kill_recovery_at
                self._verdict.steps_killed[f"{self.called} " + process.killed_at.rsplit(":", 1)[0]] += 1
            elif fault.kill_after is not None:
                fault.hit = not process.answer
        for fault in self._faults:
            if fault.strike and not fault.at:  # a trap for the zfs command, if the run came that far
                fault.hit = self._stage.was_trapped(fault.trap) if fault.trap else self._stage.came_to_zfs()
        self._note_rules()
        self._look_at(process, self.called)

    def _watch(self, process: Process, kill_after: float | None) -> None:
        """Strike at each instant that the run waits at, until it ends."""
        try:
            self._watch_until_ended(process, kill_after)
        except Exception:
            process.kill()
            raise

    def _watch_until_ended(self, process: Process, kill_after: float | None) -> None:
        deadline = process.begun + self.patience
        while True:
            limit = deadline if kill_after is None else min(deadline, process.begun + kill_after)
            event = process.event(max(0.0, limit - time.monotonic()))
            if event == "ended":
                process.process.join()
                if process.process.exitcode == -signal.SIGKILL:  # what it left is noted before anything else is done
                    self._stage.dump(f"killed {process.killed_at}".rstrip())
                return
            if event:
                self._strike(event, process)
                process.go_on()
            elif kill_after is not None:
                process.kill()
                kill_after = None
            else:
                raise Hung(f"the {self.called} did not end within {self.patience:g} s")

    def _strike(self, instant: str, process: Process | None) -> None:
        for fault in self._faults:
            if fault.at != instant or not fault.strike or fault.hit:
                continue
            with self._stage.vcenter_steady:
                if fault.in_vcenter and not self._stage.vcenter.running:
                    continue  # others cannot reach it either
                fault.hit = True  # should it fail half-way, it is to be mended
                fault.hit = fault.strike(self._stage, process) is not False
                if self._stage.vcenter.running:  # somebody may have taken a snapshot of theirs
                    now = judge.foreign(self._stage.machines(), self._stage.our_hosts)
                    self._before = {**now, **self._before}

    def _note_rules(self) -> None:
        with self._stage.vcenter_steady:
            if not self._stage.vcenter.running:
                return
            hits = {rule["id"]: rule["hits"] for rule in self._stage.vcenter.rules()}
        for fault in self._faults:
            if fault.rule:
                fault.hit = fault.hit or hits.get(fault.rule_id, 0) > 0

    def _look_at(self, process: Process, what: str) -> None:
        """A process that nobody killed has to answer in a sentence."""
        struck_dead = process.killed_at or process.process.exitcode in (-9, -15, -2, -1)
        if not process.answer and not struck_dead:
            self._verdict.other.append(f"the {what} ended with {process.process.exitcode} and said nothing")
        if "unexpected" in process.answer:
            self._verdict.other.append(f"the {what} broke: {process.answer['unexpected']}")

    # ---- The recovery

    def _options(self) -> dict[str, Any]:
        """What the recoveries are asked for."""
        options: dict[str, Any] = {}
        for fault in self._faults:
            options |= fault.recovery
        return options

    def _recover_while_broken(self) -> None:
        """The first one meets what is still broken, as at boot or in the next hour."""
        kill_at = next((fault.kill_recovery_at for fault in self._faults if fault.kill_recovery_at), "")
        if kill_at or not self._quiet():
            first = self._stage.recover(**self._options(), kill_at=kill_at)
            self._watch(first, None)
            if first.killed_at:
                self._verdict.steps_killed["recovery " + first.killed_at.rsplit(":", 1)[0]] += 1
                next(fault for fault in self._faults if fault.kill_recovery_at).hit = True
            self._look_at(first, "recovery")
        self._note_rules()

    def _recover_until_settled(self) -> None:
        for number in range(_RECOVERIES):
            process = self._stage.recover(**self._options(), later=number > 0)
            self._watch(process, None)
            self._verdict.recover_seconds = max(self._verdict.recover_seconds, time.monotonic() - process.begun)
            self._look_at(process, "recovery")
            self._obey()
            if number and self._stage.open_entries() == 0 and self._stage.unsettled_runs() == 0:
                return
            if not number and self._quiet():
                return
        self._verdict.other.append(f"{_RECOVERIES} recoveries did not settle it: {self._stage.journal(open_only=True)}")

    def _obey(self) -> None:
        """Do what the recovery has asked a person to do."""

    def _quiet(self) -> bool:
        """Whether there is nothing that a recovery would have to do."""
        if any("scan" in fault.recovery or fault.kind.startswith(("zfs", "clock")) for fault in self._faults):
            return False
        try:
            return self._stage.open_entries() == 0 and self._stage.unsettled_runs() == 0
        except QuiesceError:  # the database cannot be read while its disk is full
            return False

    def _mend(self) -> None:
        """The vCenter first: most of what is to be mended is mended there."""
        vcenter = self._stage.vcenter
        with self._stage.vcenter_steady:
            if not vcenter.running:
                vcenter.restart()
            vcenter.network("up")
        self._stage.second.network("up")
        # A VM is moved back by its name, which another fault may have changed after the move.
        for fault in sorted(self._faults, key=lambda fault: fault.kind != "VM renamed"):
            if fault.mend and (fault.hit or not fault.at):
                fault.mend(self._stage)
        vcenter.clear_rules()
        vcenter.release()
        self._stage.wait_zfs()
        self._stage.wait_idle()

    # ---- The verdict

    def _judge(self) -> None:
        stage = self._stage
        stage.dump(THE_END)
        machines = stage.machines()
        self._verdict.left_behind += judge.left_behind(machines, stage.our_hosts)
        self._verdict.foreign_lost += judge.foreign_lost(self._before, judge.foreign(machines, stage.our_hosts))
        diary, dumps = stage.diary(), stage.dumps()
        self._verdict.evidence |= {"diary": diary, "dumps": dumps}
        self._verdict.judge_records(stage, judge.observe(diary, dumps))
        stage.destroy_snapshots()

    def _gather_evidence(self) -> None:
        evidence, stage = self._verdict.evidence, self._stage
        evidence["journal"] = stage.journal()
        evidence["trace"] = [
            read_trace(one.trace_path, ("task", "call"), self._begun) for one in (stage.vcenter, stage.second)
        ]
        evidence["inventory"] = stage.machines()
        evidence["places"] = [asdict(place) for place in stage.places]
