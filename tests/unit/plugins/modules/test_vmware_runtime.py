# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_runtime: what it would do, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime.python_environment import (
    PythonEnvironment,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_runtime
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    paths = Paths(tmp_path / "state", tmp_path / "etc" / "secret.key", tmp_path / "run")
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(paths.state_dir))
    monkeypatch.setenv("VMWARE_ZFS_LOCK_DIR", str(paths.lock_dir))
    return paths


@pytest.fixture
def run(paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs vmware_runtime below tmp_path, where the environment's Python is the one that runs this."""
    monkeypatch.setattr(vmware_runtime, "ENVIRONMENT", tmp_path / "opt" / "venv")
    monkeypatch.setattr(vmware_runtime, "ENGINE", tmp_path / "opt" / "engine")
    monkeypatch.setattr(vmware_runtime, "COMMAND", tmp_path / "bin" / "vmware-zfs")

    def run(check: bool = False, **options: Any) -> dict[str, Any]:
        with patch_module_args({**options, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            vmware_runtime.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert "exception" not in result, result
        return result

    return run


@pytest.fixture
def with_libraries(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that lacks nothing."""
    python = tmp_path / "opt" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    versions = {"pyVmomi": "8.0.3", "cryptography": "42.0"}
    monkeypatch.setattr(PythonEnvironment, "versions", lambda environment: versions)


@pytest.mark.usefixtures("with_libraries")
def test_it_does_what_check_mode_said_and_then_nothing(run: Run, tmp_path: Path) -> None:
    checked = run(check=True)
    assert checked["changed"] and not (tmp_path / "opt" / "engine").exists() and not (tmp_path / "bin").exists()
    first = run()
    assert first == checked
    again = run()
    assert not again["changed"] and again["diff"]["before"] == again["diff"]["after"] == first["diff"]["after"]
    (tmp_path / "bin" / "vmware-zfs").chmod(0o644)
    assert run()["changed"] and not run()["changed"]
    assert run(check=True, state="absent")["changed"] and (tmp_path / "opt" / "engine").exists()
    assert run(state="absent")["changed"] and not run(state="absent")["changed"]
    assert not any((tmp_path / "opt").iterdir()) and not any((tmp_path / "bin").iterdir())


def test_check_mode_tells_what_is_missing_on_a_host_that_has_nothing(run: Run, tmp_path: Path) -> None:
    checked = run(check=True, wheels="/nowhere/yet")
    assert checked["changed"] and checked["missing"] == ["pyVmomi>=8.0.3", "cryptography>=3.4"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("with_libraries")
def test_it_stays_while_a_vmware_snapshot_may_be_left(run: Run, paths: Paths, tmp_path: Path) -> None:
    run()
    with Database.open(paths) as database:
        journal = Journal(database)
        journal.open_run("r1", "", "tank", ["tank@a"])
        (entry,) = journal.intend([Entry("r1", "vc.lab", 443, "vm-1", "uuid", "web", "vmware-zfs r1")])
        for check in (True, False):
            refused = run(check=check, state="absent")
            assert refused["failed"] and refused["msg"] == (
                "1 VMware snapshot may exist or may still appear, for example 'vmware-zfs r1' of the VM 'web' on "
                "vc.lab, and only the runtime on this host can remove them; run 'vmware-zfs recover' until 'vmware-zfs "
                "status' lists none, or set force."
            )
            assert (tmp_path / "bin" / "vmware-zfs").exists()
        assert run(check=True, state="absent", force=True)["changed"]
        journal.gone({entry: ""})
    assert run(state="absent")["changed"] and paths.database.exists()


@pytest.mark.usefixtures("with_libraries")
def test_it_stays_while_a_run_is_alive(run: Run, paths: Paths, tmp_path: Path) -> None:
    run()
    with Locks(paths.lock_dir).run("r1", "tank/a", timeout=0):
        for check in (True, False):  # in check mode the role asks, before it stops the first timer
            refused = run(check=check, state="absent", force=True)
            assert refused["failed"] and "The run r1" in refused["msg"] and "active on tank/a" in refused["msg"]
    assert (tmp_path / "bin" / "vmware-zfs").exists()
    assert run(check=True, state="absent")["changed"]


@pytest.mark.usefixtures("with_libraries")
def test_a_run_that_is_alive_is_told_of_before_what_it_holds(run: Run, paths: Paths) -> None:
    run()
    with Database.open(paths) as database, Locks(paths.lock_dir).run("r1", "tank", timeout=0):
        journal = Journal(database)
        journal.open_run("r1", "", "tank", ["tank@a"])
        journal.intend([Entry("r1", "vc.lab", 443, "vm-1", "uuid", "web", "vmware-zfs r1")])
        assert "active on tank since" in run(state="absent")["msg"]
