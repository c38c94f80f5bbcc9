# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `vmware-zfs drill`: what it asks for, what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import drill as commands
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.plan import DrillPlan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.recent import recent
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import DrillResult, VmDrilled
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.engine import open_engine
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import DRILL, RestoreRecord
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import (
    SnapshotTask,
    SnapshotTasks,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName

SNAPSHOT = SnapshotName("tank/vmware", "auto-2026-01-31_02-00")
MAIL = VmDrilled("mail", "tank/vmware", "mail/mail.vmx", verdict="verified", level="filesystem", heartbeat="green")


class Nothing:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class Shell:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.asked: list[DrillRequest] = []
        self.vms = [MAIL]
        self.more: dict[str, Any] = {}
        self.failure: RestoreFailed | None = None

    def drill(self, *options: str) -> tuple[int, str, str]:
        code = cli.main(["drill", "1", *options])
        shown = self.capsys.readouterr()
        return code, shown.out, shown.err


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for name, path in (("STATE_DIR", "state"), ("KEY_FILE", "key"), ("LOCK_DIR", "locks")):
        monkeypatch.setenv(f"VMWARE_ZFS_{name}", str(tmp_path / path))
    with SnapshotTasks.open(Paths.from_environment()) as tasks:
        tasks.insert(SnapshotTask("tank/vmware", aliases=("10.0.0.1",)))
    made = Shell(capsys)

    def execute(_engine: Any, _session: Any, request: DrillRequest) -> DrillResult:
        made.asked.append(request)
        if made.failure is not None:
            raise made.failure
        return DrillResult("d1", str(request.snapshot), "esx1", made.vms, **made.more)

    def make_plan(_engine: Any, _session: Any, request: DrillRequest) -> DrillPlan:
        made.asked.append(request)
        return DrillPlan(request, judged=tuple(made.vms), **made.more)

    monkeypatch.setattr(commands, "account_of", lambda *_given: None)
    monkeypatch.setattr(commands, "open_session", lambda *_given: Nothing())
    monkeypatch.setattr(commands, "snapshot_of", lambda _zfs, _task, named: SNAPSHOT._replace(name=named or "newest"))
    monkeypatch.setattr(commands, "execute", execute)
    monkeypatch.setattr(commands, "make_plan", make_plan)
    return made


def test_the_options_become_the_request(shell: Shell) -> None:
    shell.drill(
        "--snapshot", "auto-1", "--vm", "mail", "--vm", "db", "--sample", "3", "--on", "esx1", "--network", "drills",
        "--at-a-time", "4", "--memory", "8192", "--boot-timeout", "60", "--command", "/usr/local/sbin/look",
        "--command-timeout", "30", "--nfs-server", "nfs.lab", "--nfs-client", "10.0.0.7", "--alias", "10.0.0.2",
    )  # fmt: skip
    assert shell.asked == [
        DrillRequest(
            SnapshotName("tank/vmware", "auto-1"), ("mail", "db"), sample=3, host="esx1", network="drills",
            at_a_time=4, memory=8192, boot_timeout=60.0, command="/usr/local/sbin/look", command_timeout=30.0,
            server="nfs.lab", clients=("10.0.0.7",), aliases=("10.0.0.1", "10.0.0.2"),
        )
    ]  # fmt: skip


def test_without_options_the_defaults_of_a_request_are_used(shell: Shell) -> None:
    code, out, _error = shell.drill()
    assert code == 0 and shell.asked == [DrillRequest(SnapshotName("tank/vmware", "newest"), aliases=("10.0.0.1",))]
    assert out.splitlines()[-1] == "tank/vmware@newest: verified" and "heartbeat green" in out


@pytest.mark.parametrize(
    ("verdict", "more", "code"),
    [
        ("verified", {}, 0),
        ("booted", {}, 0),
        ("failed", {}, 1),
        ("inconclusive", {}, 3),
        ("not tried", {}, 3),
        ("verified", {"left": ["The datastore is still mounted"]}, 1),
        ("verified", {"problems": ["The folder x cannot be read."]}, 3),
    ],
)
def test_the_exit_status_says_what_was_found(shell: Shell, verdict: str, more: dict[str, Any], code: int) -> None:
    shell.vms = [VmDrilled("mail", "tank/vmware", "mail/mail.vmx", verdict=verdict, reason="It had no luck.")]
    shell.more = more
    assert shell.drill()[0] == code
    found = shell.drill("--json")
    assert found[0] == code and json.loads(found[1])["vms"][0]["verdict"] == verdict


def test_a_dry_run_shows_the_plan(shell: Shell) -> None:
    shell.vms = [VmDrilled("golden", "tank/vmware", "g/g.vmx", reason="It is a template, which cannot be powered on.")]
    assert shell.drill("--dry-run") == (
        0, "'golden': not tried (It is a template, which cannot be powered on.)\n", ""
    )  # fmt: skip
    shell.more = {"refusals": ("No ESXi host can take the VMs.",)}
    code, out, _error = shell.drill("--dry-run")
    assert code == 1 and out.splitlines()[-1] == "not possible: No ESXi host can take the VMs."


def test_a_drill_that_could_not_begin_is_one_line(shell: Shell) -> None:
    shell.failure = RestoreFailed("No VM was tried: no host", "Nothing was changed", vms=[])
    code, out, error = shell.drill("--json")
    assert code == 1 and error.strip() == "vmware-zfs: No VM was tried: no host; nothing was changed."
    assert json.loads(out)["error"].startswith("No VM was tried")


@pytest.mark.parametrize(
    ("options", "said"), [(("--sample", "-1"), "sample is -1"), (("--network", "keep"), "cannot keep their networks")]
)
def test_bad_input_is_refused_before_a_login(shell: Shell, options: tuple[str, ...], said: str) -> None:
    code, _out, error = shell.drill(*options)
    assert code == 1 and said in error and shell.asked == []


def test_status_shows_the_last_drills(shell: Shell) -> None:
    with open_engine(Paths.from_environment()) as engine:
        for number in range(3):
            record = RestoreRecord(f"d{number}", str(SNAPSHOT), DRILL, "mail", "", "vc", 443, "u")
            engine.restores.open(record)
        engine.restores.open(RestoreRecord("r1", str(SNAPSHOT), "clone", "mail", "", "vc", 443, "u"))
        bad = VmDrilled("mail", "tank/vmware", "mail/mail.vmx", verdict="failed")
        engine.restores.keep_result("d1", DrillResult("d1", str(SNAPSHOT), vms=[bad]).as_dict())
        engine.restores.set_state("d1", "undone")
        shown = recent(engine, 2)
    assert [one["drill_id"] for one in shown] == ["d2", "d1"]
    assert shown[0]["state"] == "interrupted" and shown[0]["verdict"] is None
    assert (shown[1]["state"], shown[1]["verdict"], shown[1]["failed"]) == ("ended", "failed", ["mail"])
    commands.show_recent(shown)
    lines = shell.capsys.readouterr().out.splitlines()
    assert lines[0].endswith(": interrupted") and lines[1].endswith(": failed (mail)")
