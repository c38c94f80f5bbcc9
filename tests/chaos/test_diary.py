# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The zfs command with a diary, in front of a zfs that is none: what it notes, and whom it keeps waiting."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WRAPPER = Path(__file__).with_name("zfs")
PREFIX = "quiesce.vmware_zfs:"
# Snapshots are lines of a file; a `get` of all takes as long as the file `slow` says; a program appends its script.
FAKE = """#!/usr/bin/env bash
cd "$(dirname "$0")" || exit 9
case $1 in
snapshot) printf '%s\\n' "${@:2}" | grep @ | grep -v = >>snapshots ;;
list) cat snapshots ;;
get)
    case "$*" in *" all "*) [ ! -e slow ] || sleep "$(cat slow)" ;; esac
    for name in $(cat snapshots); do
        row() { printf '%s\\t%s\\t%s\\t%s\\n' "$name" "$@"; }
        row createtxg 7 - && row used 1 -
        row quiesce.vmware_zfs:run r1 local && row quiesce.vmware_zfs:task x 'inherited from tank'
        row quiesce.vmware_zfs:ran "$(cat ran 2>/dev/null | wc -l)" local
    done
    ;;
program) cat >>ran; echo "$*" ;;
esac
"""


class Diary:
    """A wrapper in front of a zfs that is none."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder / "zfs", folder / "bin"
        for path in (self.folder, self.place):
            path.mkdir()
        self.real = self.place / "real"
        self.real.write_text(FAKE)
        self.real.chmod(0o755)
        (self.place / "snapshots").touch()
        self.command = self.place / "zfs"
        shutil.copy2(WRAPPER, self.command)

    def run(self, *arguments: str, script: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.command), *arguments],
            input=script,
            env={**os.environ, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {"CHAOS_ZFS": str(self.folder), "CHAOS_REAL_ZFS": str(self.real), "CHAOS_ROOTS": "tank/a failing"}

    def log(self) -> list[str]:
        """The diary without its times, once what goes on in the background has ended."""
        while subprocess.run(["pgrep", "-f", str(self.command)], capture_output=True, check=False).returncode == 0:
            time.sleep(0.02)
        lines = (line.split(" ", 2) for line in (self.folder / "log").read_text().splitlines())
        return [f"{what} {rest.strip()}" for what, _when, rest in lines]

    def dump(self, number: int) -> list[str]:
        return (self.folder / "dumps" / f"{number:05}").read_text().replace(PREFIX, "").replace("\t", " ").splitlines()


@pytest.fixture
def diary(tmp_path: Path) -> Iterator[Diary]:
    yield Diary(tmp_path)


def test_a_snapshot_command_is_noted_and_what_it_left_is_dumped(diary: Diary) -> None:
    done = diary.run("snapshot", "-o", f"{PREFIX}run=r1@x", "tank/a@1", "tank/a/b@1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert diary.log() == ["begin tank/a@1 tank/a/b@1", "end 0 tank/a@1 tank/a/b@1", "dump 00001 snapshot"]
    of_each = [["createtxg 7 -", "run r1 local", "ran 0 local"]] * 2
    assert diary.dump(1) == [f"{name}@1 {row}" for name, rows in zip(("tank/a", "tank/a/b"), of_each) for row in rows]


def test_the_dump_of_a_snapshot_keeps_nobody_on_hold_but_comes_before_the_next_change(diary: Diary) -> None:
    (diary.place / "slow").write_text("1.5")
    begun = time.monotonic()
    diary.run("snapshot", "tank/a@1")
    assert time.monotonic() - begun < 1.0
    diary.run("list", "-t", "snapshot", "tank/a@1")
    assert time.monotonic() - begun < 1.0
    assert diary.run("program", "-j", "tank", "-", script="-- zfs.sync.set_prop").stdout == "program -j tank -\n"
    assert diary.log()[2:] == ["seen tank/a@1", "dump 00001 snapshot", "dump 00002 program 0"]
    assert "tank/a@1 ran 0 local" in diary.dump(1) and "tank/a@1 ran 1 local" in diary.dump(2)


def test_what_a_listing_shows_was_there(diary: Diary) -> None:
    diary.run("snapshot", "tank/a@1")
    assert diary.run("get", "-H", "createtxg", "tank/a@1").stdout.endswith("ran\t0\tlocal\n")
    assert diary.run("list", "-H", "tank/a").stdout == "tank/a@1\n"
    assert diary.log()[2:] in (["seen tank/a@1", "dump 00001 snapshot"], ["dump 00001 snapshot", "seen tank/a@1"])


def test_only_what_a_command_concerns_is_dumped(diary: Diary) -> None:
    diary.run("destroy", "other/a@1")
    assert (diary.folder / "dumps" / "00001").exists() is False
    diary.run("destroy", "failing@1")
    diary.run("chaos-dump", "the end")
    diary.run("chaos-dump", "some of it", "tank/a")
    assert diary.log() == ["dump 00001 destroy 0", "dump 00002 the end", "dump 00003 some of it"]


@pytest.mark.parametrize(
    ("trap", "status", "runs"), [("room", 1, 0), ("killed-before", -9, 0), ("killed-after", -9, 1), ("half-way", 0, 1)]
)
def test_a_trap_is_for_the_next_seal_only(diary: Diary, trap: str, status: int, runs: int) -> None:
    (diary.folder / "seal-trap").write_text(trap)
    diary.run("program", "-j", "tank", "-", script="-- zfs.sync.destroy")
    (diary.place / "ran").unlink()
    done = diary.run("program", "-j", "tank", "-", script="-- zfs.sync.set_prop")
    assert done.returncode == status
    assert diary.log() == [
        "dump 00001 program 0",
        f"trap {trap}",
        f"dump 00002 program {int(trap in ('room', 'killed-before'))}",
    ]
    assert diary.run("program", "-j", "tank", "-", script="-- zfs.sync.set_prop").returncode == 0
    assert (diary.place / "ran").read_text().count("set_prop") == runs + 1
    if trap == "half-way":
        assert done.stdout == "program -t 100 -j tank -\n"


def test_a_look_that_is_trapped_shows_nothing(diary: Diary) -> None:
    diary.run("snapshot", "tank/a@1")
    (diary.folder / "look-trap").touch()
    asked = ("get", "-H", "-o", "name,property,value", f"createtxg,{PREFIX}run,creation", "tank/a@1")
    assert diary.run(*asked).returncode == 1
    (diary.folder / "look-trap").unlink()
    assert diary.run(*asked).returncode == 0
    assert "trap look" in diary.log()


def test_a_command_that_is_killed_goes_on(diary: Diary) -> None:
    (diary.folder / "hold").touch()
    process = subprocess.Popen([str(diary.command), "snapshot", "tank/a@1"], env={**os.environ, **diary.environment})
    time.sleep(0.2)
    process.kill()
    process.wait()
    assert not (diary.folder / "log").exists()
    (diary.folder / "hold").unlink()
    assert diary.log() == ["begin tank/a@1", "end 0 tank/a@1", "dump 00001 snapshot"]


def test_a_dump_that_cannot_be_taken_says_so(diary: Diary) -> None:
    diary.run("chaos-dump", "the end", CHAOS_REAL_ZFS="/bin/false")
    assert diary.log() == ["dump 00001 the end (incomplete)"]
