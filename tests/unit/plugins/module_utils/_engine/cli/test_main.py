# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `vmware-zfs run` says of a turn, and what it ends with."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import output
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RunFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe.lifetimes import RECEIVED
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.schedule.retention import ALIVE
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import journal_entries as journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.retire import Kept, Retirement
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.turn_result import TurnResult

Command = Callable[..., "tuple[int, list[str]]"]  # (what it ends with, its lines)

VM = {"name": "db", "server": "vc.lab", "level": "crash", "reason": "VMware Tools are not running"}
PLAN = {"vms": [VM], "problems": [], "refusals": [], "zfs_snapshots": ["tank/a@1"], "consistency": "crash"}
RETIRED = Retirement(["tank/a@0"], [Kept("tank/a@old", "it is held"), Kept("tank/a@1", ALIVE), Kept("tank/a@2", ALIVE)])
PROBLEM = "vc2.lab cannot be reached."
REFUSED: dict[str, Any] = {**PLAN, "refusals": ["The VM 'db' on vc.lab: VMware Tools are not running"]}
NOT_ALLOWED = (
    "no snapshot would be taken, because the policy does not allow it; fix the cause, exclude the VM with exclude_vms, "
    "or relax on_vm_failure, on_quiesce_failure or the policy of the VM"
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command, with this turn in the place of a real one."""

    def run(snapshot: dict[str, Any], *options: str) -> tuple[int, list[str]]:
        engine = SimpleNamespace(tasks=SimpleNamespace(get=lambda number: None))
        turn = TurnResult(1, tolerated=False, snapshot=snapshot, retired=RETIRED)
        monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
        monkeypatch.setattr(cli, "take_turn", lambda *_arguments: turn)
        code = cli.main(["run", "1", *options])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_a_dry_run_that_the_policy_forbids_says_so_and_fails(run: Command) -> None:
    code, said = run({**REFUSED, "problems": [PROBLEM]}, "--dry-run")
    assert code == 1 and said[-3:] == [PROBLEM, *REFUSED["refusals"], NOT_ALLOWED]
    assert not [line for line in said if "would take" in line]
    assert "would destroy tank/a@0" in said, "retention does not wait for a snapshot"


def test_what_is_a_problem_and_a_refusal_is_said_once(run: Command) -> None:
    _code, said = run({**PLAN, "problems": [PROBLEM], "refusals": [PROBLEM]}, "--dry-run")
    assert said[-2:] == [PROBLEM, NOT_ALLOWED] and said.count(PROBLEM) == 1


def test_a_dry_run_that_is_refused_has_retention_in_its_data_as_well(run: Command) -> None:
    code, said = run(REFUSED, "--dry-run", "--json")
    told = json.loads("\n".join(said))
    assert code == 1 and told["retired"] == asdict(RETIRED) and told["snapshot"]["refusals"] == REFUSED["refusals"]


def test_a_dry_run_that_nothing_forbids_says_what_it_would_do(run: Command) -> None:
    assert run(PLAN, "--dry-run") == (
        0,
        [
            "the VM 'db' on vc.lab: crash (VMware Tools are not running)",
            "would take tank/a@1",
            "would destroy tank/a@0",
            "would keep 2 ZFS snapshots whose lifetime has not expired",
            "would keep tank/a@old: it is held",
        ],
    )


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_warning_is_said_in_both_and_fails_neither(run: Command, options: list[str]) -> None:
    code, said = run({**PLAN, "created": True, "warnings": ["exclude_vms has 'x'."]}, *options)
    assert code == 0 and said[0] == "warning: exclude_vms has 'x'."


LEFT = "1 VMware snapshot could not be removed: 'vmware-zfs 1' of the VM 'db' on vc.lab: FileLocked"


def test_a_run_that_could_not_release_a_vm_says_first_what_it_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = {**PLAN, "refusals": [], "created": True, "consistency": "filesystem", "problems": [LEFT]}
    failure = RunFailed(LEFT, "Run 'vmware-zfs recover'")
    turn = TurnResult(1, tolerated=False, snapshot=taken, retired=RETIRED, failure=failure)
    engine = SimpleNamespace(tasks=SimpleNamespace(get=lambda number: None))
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    monkeypatch.setattr(cli, "take_turn", lambda *_arguments: turn)
    assert cli.main(["run", "1"]) == 1
    told = capsys.readouterr()
    assert "took tank/a@1 (level filesystem)" in told.out.splitlines()
    assert told.err == f"vmware-zfs: {LEFT}; run 'vmware-zfs recover'.\n"


def test_show_marks_the_vm_that_was_not_released_and_cuts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "its VMware snapshot is left: " + "vc.lab could not remove a snapshot " * 6 + "(FileLocked)"
    vm = {**VM, "level": "filesystem", "hold_seconds": None, "reason": why}
    result = {"consistency": "filesystem", "problems": [LEFT + "x" * 5000], "warnings": ["exclude_vms"], "vms": [vm]}
    shown = journal.RunRecord("r1", "key", "tank/a", ("tank/a@1",), journal.ENDED, "2026-01-31", "", result)
    engine = SimpleNamespace(zfs=None, journal=SimpleNamespace(run=lambda name: shown))
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    monkeypatch.setattr(cli, "destroyed", lambda zfs, runs: {"r1": []})
    assert cli.main(["show", "r1"]) == 0
    said = capsys.readouterr().out
    assert why in said and LEFT + "x" * 5000 in said and "warning: exclude_vms" in said

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["show", "r1"]) == 0
    rows = terminal.getvalue().partition("reason\n")[2].splitlines()
    assert len(rows) > 3 and max(map(len, rows)) <= 60
    assert " ".join(row[row.index("filesystem") + 18 :] if "filesystem" in row else row.strip() for row in rows) == why


def test_the_last_lines_of_a_run_with_problems_are_the_problems(run: Command) -> None:
    taken = {key: value for key, value in PLAN.items() if key != "refusals"}  # which a run raises
    code, said = run({**taken, "problems": [PROBLEM, "Another."]})
    assert code == 1 and said[-2:] == [PROBLEM, "Another."]
    assert "took tank/a@1 (level crash)" in said and "destroyed tank/a@0" in said
    assert run(taken)[0] == 0


def test_what_was_not_created_is_not_called_taken(run: Command) -> None:
    _code, said = run({**PLAN, "created": False})
    assert not [line for line in said if line.startswith("took")]
    waves = [{**PLAN, "run_id": "1", "created": True}, {**PLAN, "run_id": "1-2", "created": False}]
    _code, said = run(
        {**PLAN, "run_id": "1", "created": True, "zfs_snapshots": ["tank/a@1", "tank/b@1"], "waves": waves}
    )
    assert [line for line in said if line.startswith("took")] == ["took tank/a@1 (level crash)"]


def test_thousands_that_stay_for_one_reason_are_one_line(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    received = [Kept(f"tank/a@{number}", RECEIVED) for number in range(1000)]
    monkeypatch.setitem(globals(), "RETIRED", Retirement(RETIRED.destroyed, received))
    _code, said = run(PLAN)
    assert f"kept 1000 ZFS snapshots, for example tank/a@0: {RECEIVED}" in said and len(said) < 9


@pytest.mark.parametrize("read_by_journal", [True, False])
def test_priorities_are_for_the_journal_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_by_journal: bool
) -> None:
    """systemd names its stream to whom it starts; a terminal or a pipe of cron would show the marks."""
    with (tmp_path / "log").open("w") as stream:
        inode = os.fstat(stream.fileno()).st_ino + (0 if read_by_journal else 1)
        monkeypatch.setenv("JOURNAL_STREAM", f"{os.fstat(stream.fileno()).st_dev}:{inode}")
        assert output.marked(stream, 4) == ("<4>" if read_by_journal else "")
        assert output.marked(stream, 0) == ""


RUN = {
    "started": "2026-01-31T02:00:00.412+00:00", "zfs_snapshot": "tank/a@1", "state": "ended",
    "consistency": "filesystem", "consistency_text": "filesystem (1 excluded)", "complete": True,
    "hold_window_seconds": 4.2, "run_id": "r1", "destroyed": [],
}  # fmt: skip


NONE: dict[str, Any] = {"consistency": None, "consistency_text": None}


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("changes", "level", "state"),
    [
        ({}, "filesystem (1 excluded)", "complete"),
        ({"complete": False}, "filesystem (1 excluded)", "not complete"),
        ({"destroyed": ["tank/a@1"]}, "filesystem (1 excluded)", "destroyed"),
        ({"destroyed": None}, "filesystem (1 excluded)", "complete"),
        ({**NONE, "complete": False}, "-", "no snapshot"),
        ({**NONE, "state": "alive", "complete": None}, "-", "active"),
        ({**NONE, "state": "releasing", "complete": None}, "-", "interrupted (releasing)"),
    ],
)
@pytest.mark.usefixtures("berlin")
def test_status_shows_runs_in_local_time_with_a_heading_on_every_column(
    capsys: pytest.CaptureFixture[str], changes: dict[str, Any], level: str, state: str
) -> None:
    cli._print_status({"alive": [], "runs": [{**RUN, **changes}], "left": [], "watched": [], "problems": []})
    head, row = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())
    assert head == ["started", "ZFS snapshot", "level", "state", "held", "run"]
    assert row == ["2026-01-31 03:00:00+01:00", "tank/a@1", level, state, "4.2 s", "r1"]


TASK = {
    "id": 1, "dataset": "tank/a", "recursive": True, "next_run": "2026-07-01T00:00+02:00", "vmware_sync": False,
    "schedule": {"minute": "0", "hour": "0", "dom": "*", "month": "*", "dow": "*"},
    "lifetime_value": 2, "lifetime_unit": "WEEK", "last_run": {"consistency_text": "filesystem (1 excluded)"},
}  # fmt: skip


def test_status_names_what_is_active(capsys: pytest.CaptureFixture[str]) -> None:
    holder = {"run": "r1", "dataset": "tank", "pid": 7, "since": "2026-11-20T02:00:00+00:00", "kind": "restore"}
    cli._print_status({"alive": [holder], "runs": [], "left": [], "watched": [], "problems": []})
    assert capsys.readouterr().out.startswith("restore r1 has been active on tank since ")


@pytest.mark.usefixtures("berlin")
def test_tasks_have_a_heading_on_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = SimpleNamespace(
        tasks=SimpleNamespace(list_all=lambda: [TASK, {**TASK, "next_run": None, "last_run": None}])
    )
    monkeypatch.setattr(cli, "open_engine", lambda *_arguments, **_options: nullcontext(engine))
    monkeypatch.setattr(cli, "overview", lambda engine, task: task)
    assert cli.main(["tasks"]) == 0
    head, row, disabled = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())
    assert head == ["ID", "dataset", "recursive", "min hour dom mon dow", "next run", "lifetime", "VMs", "last level"]
    assert row[:5] == ["1", "tank/a", "yes", "0 0 * * *", "2026-07-01 00:00:00+02:00"]
    assert row[5:] == ["2 weeks", "not quiesced", "filesystem (1 excluded)"]
    assert (disabled[4], disabled[-1]) == ("disabled", "-")
