# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks between processes: a dataset excludes itself, its parents and its children, but not other datasets."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import LockTimeout, RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import RESTORE, RUN, Locks

HOLDER = """
import sys
from pathlib import Path
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
with Locks(Path(sys.argv[1])).run(sys.argv[2], sys.argv[3], 5.0):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, run: str, dataset: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a dataset until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), run, dataset],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process


@pytest.mark.parametrize("dataset", ["tank/vm", "tank", "tank/vm/a", "tank/vm/a/b"])
def test_the_same_and_nested_datasets_wait_and_are_told_for_whom(tmp_path: Path, dataset: str) -> None:
    locks = Locks(tmp_path)
    with holder(tmp_path, "run-1", "tank/vm") as process:
        with pytest.raises(LockTimeout) as caught, locks.run("run-2", dataset, 0.1):
            pass
        assert f"The run run-1 (process {process.pid}) has locked tank/vm since 20" in str(caught.value)
        assert locks.is_alive("run-1") and not locks.is_alive("run-2")
        (one,) = locks.holders()
        assert datetime.fromisoformat(one.since).tzinfo, "an hour comes twice when clocks go back"
        assert [(found.run, found.dataset, found.pid) for found in locks.holders()] == [
            ("run-1", "tank/vm", process.pid)
        ]


@pytest.mark.parametrize("dataset", ["tank/vm10", "tank/v", "tank/other", "dozer/vm", "dozer"])
def test_unrelated_datasets_do_not_wait(tmp_path: Path, dataset: str) -> None:
    locks = Locks(tmp_path)
    with holder(tmp_path, "run-1", "tank/vm"), locks.run("run-2", dataset, 0.0):
        assert locks.is_alive("run-1") and locks.is_alive("run-2")
        assert {found.run for found in locks.holders()} == {"run-1", "run-2"}


def test_a_wave_lives_as_long_as_its_run(tmp_path: Path) -> None:
    locks, whole = Locks(tmp_path), "20261122T020000-1f2e3d4c"
    with holder(tmp_path, whole, "tank/vm"):
        assert locks.is_alive(f"{whole}-2") and not locks.is_alive("20261122T020000-1f2e3d4d-2")
        assert [found.run for found in locks.holders()] == [whole]
    assert not locks.is_alive(f"{whole}-2")
    with locks.alive(f"{whole}-2", "tank/vm"):  # as of release 1.0.0
        assert locks.is_alive(f"{whole}-2") and not locks.is_alive(whole)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with holder(tmp_path, "run-1", "tank/vm") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not locks.is_alive("run-1") and locks.holders() == []
        with locks.run("run-2", "tank/vm", 0.0):
            assert locks.is_alive("run-2")
    assert not locks.is_alive("run-2")


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    with holder(tmp_path, "run-1", "tank/vm") as first:
        second = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path), "run-2", "tank"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with second:
            assert first.stdin is not None and second.stdout is not None and second.stdin is not None
            first.stdin.close()
            assert second.stdout.readline() == "held\n"


def test_one_recovery_at_a_time(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with locks.recovery() as free:
        assert free
        with Locks(tmp_path).recovery() as second:
            assert not second
        with pytest.raises(LockTimeout), Locks(tmp_path).recovery(timeout=0.1):
            pass
    with locks.recovery(timeout=0.0) as free:
        assert free


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RegistryError, match="cannot be opened: Not a directory"),
        Locks(tmp_path / "file").run("r", "tank", 0),
    ):
        pass


def test_a_full_file_system_is_one_sentence_and_lets_everything_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    locks = Locks(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(RegistryError) as caught, locks.run("one", "tank/vm", 0):
            raise AssertionError("nobody would know of it")
        assert str(caught.value) == (
            f"The lock file {tmp_path}/runs/one cannot be written: No space left on device; "
            "free space on its file system, or set another lock folder."
        )
    assert not locks.is_alive("one")
    with locks.run("two", "tank/vm", 0):
        assert [found.run for found in locks.holders()] == ["two"]


def test_a_file_system_that_knows_no_locks_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = len(os.listdir("/proc/self/fd"))

    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    for attempt in (lambda: Locks(tmp_path).run("r", "tank", 0), lambda: Locks(tmp_path).recovery(timeout=0)):
        with pytest.raises(RegistryError, match="cannot be locked: No locks available; set a lock folder"), attempt():
            raise AssertionError("it is not locked")
    assert len(os.listdir("/proc/self/fd")) == opened


def test_an_error_within_a_run_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="the disk is on fire"), Locks(tmp_path).run("r", "tank", 0):
        raise OSError("the disk is on fire")


def test_a_lock_folder_that_is_gone_does_not_end_a_run_with_an_error(tmp_path: Path) -> None:
    with Locks(tmp_path).run("r", "tank", 0):
        (tmp_path / "runs" / "r").unlink()


def test_a_live_restore_is_visible_and_hinders_no_run(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with locks.alive("restore-1", "tank/vm", RESTORE):
        assert locks.is_alive("restore-1") and locks.living()("restore-1")
        with locks.run("run-1", "tank/vm", 0.0):
            kinds = {(one.run, one.kind) for one in locks.holders()}
            assert kinds == {("restore-1", RESTORE), ("run-1", RUN)}
            with pytest.raises(LockTimeout, match="The run run-1 "), locks.run("run-2", "tank", 0.0):
                pass
    assert not locks.is_alive("restore-1")


def test_the_lock_file_of_an_older_release_describes_a_run(tmp_path: Path) -> None:
    locks = Locks(tmp_path)
    with locks.alive("run-1", "tank/vm"):
        (tmp_path / "runs" / "run-1").write_text('{"run": "run-1", "dataset": "tank/vm", "pid": 7, "since": "s"}')
        assert [(one.pid, one.kind) for one in locks.holders()] == [(7, RUN)]
