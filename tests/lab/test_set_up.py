# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the parts of the setup that need no virtual machine: the apt configuration, the cache, and parallel steps."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from . import sources
from .cache import UNUSED_DAYS, product, product_path, remove_unused
from .commands import run
from .places import LabError, check_lab_name
from .steps import Runner, Say, Step

STANZAS = """\
Types: deb
# a comment
URIs: http://archive.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/a.gpg

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""
LINES = """\
# deb http://off.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://security.example/debian-security bookworm-security main contrib # why
deb http://other.example/apt stable main
"""


def test_sources_of_the_release_are_read_from_both_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(LINES)
    (tmp_path / "sources.list.d" / "debian.sources").write_text(STANZAS)
    monkeypatch.setattr(sources, "APT", tmp_path)
    assert [source.line("main contrib") for source in sources.archive_sources("bookworm")] == [
        "deb [signed-by=/usr/share/keyrings/a.gpg] http://archive.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/a.gpg] http://archive.example/debian bookworm-updates main contrib",
        "deb [arch=amd64 signed-by=/k.gpg] http://security.example/debian-security bookworm-security main contrib",
    ]
    with pytest.raises(LabError, match="no source for Debian trixie"):
        sources.archive_sources("trixie")


def test_product_is_built_once_and_a_dead_builders_remains_go(tmp_path: Path) -> None:
    path = tmp_path / "thing-1"
    remains = tmp_path / "thing-1.partial" / "half"
    remains.parent.mkdir()
    remains.write_text("half")
    builds = []

    def build(folder: Path) -> None:
        builds.append([file.name for file in folder.iterdir()])
        (folder / "whole").write_text("whole")

    builders = [threading.Thread(target=product, args=(path, build)) for _unused in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert builds == [[]]
    assert [file.name for file in path.iterdir()] == ["whole"]


def test_products_that_nobody_asks_for_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    used, unused, fresh = (product(product_path("thing", recipe), lambda folder: None) for recipe in "abc")
    for beside in (used, unused):
        beside.with_name(beside.name + ".place").mkdir()
    downloads = used.with_name("debs")
    downloads.mkdir()
    long_ago = time.time() - (UNUSED_DAYS + 1) * 86400
    for path in (*used.parent.iterdir(), downloads):
        os.utime(path, (long_ago, long_ago))
    os.utime(fresh)
    assert product_path("thing", "a") == used
    assert remove_unused() == [unused.name]
    assert sorted(path.name for path in used.parent.iterdir() if path.is_dir()) == sorted(
        [used.name, f"{used.name}.place", fresh.name, "debs"]
    )


def test_product_of_a_failed_build_is_not_there(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise LabError("No")

    with pytest.raises(LabError):
        product(tmp_path / "thing-2", build)
    assert not (tmp_path / "thing-2").exists()


def test_failed_command_is_one_sentence_with_its_words_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"ended with status 3 \(out \| err\); the whole output is in .*/log"):
        run(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path / "log")


def test_steps_run_when_what_they_need_is_there_and_hand_on_their_results(capsys: pytest.CaptureFixture[str]) -> None:
    together = threading.Barrier(2, timeout=30)  # fails unless both run at the same time

    def left(say: Say, done: dict[str, Any]) -> int:
        say("meeting")
        together.wait()
        return 1

    def right(say: Say, done: dict[str, Any]) -> int:
        together.wait()
        return 2

    def both(say: Say, done: dict[str, Any]) -> int:
        return int(done["left"]) + int(done["right"])

    runner = Runner([Step("sum", both, ["left", "right"]), Step("left", left), Step("right", right, patience=1)])
    assert runner.run() == {"left": 1, "right": 2, "sum": 3}
    assert "left: meeting" in capsys.readouterr().out
    assert runner.table().splitlines()[-1].startswith("all")


def test_first_failing_step_ends_the_commands_of_the_others() -> None:
    # Use a separate process, because no command can start after a failure.
    script = """
from pathlib import Path
from tests.lab.commands import run
from tests.lab.places import LabError
from tests.lab.steps import Runner, Step
import sys, threading
log = Path(sys.argv[1])
def long(say, done):
    run(["sh", "-c", "echo begun; exec sleep 600"], log)
def fail(say, done):
    while not (log.exists() and "begun\\n" in log.read_text()):
        threading.Event().wait(0.01)
    raise LabError("The reason")
try:
    Runner([Step("long", long), Step("fail", fail)]).run()
except LabError as error:
    print("raised:", error)
"""
    root = Path(__file__).resolve().parents[2]
    log = root / "build" / "logs" / "test-steps.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["python3", "-c", script, str(log)], cwd=root, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines()[-1] == "raised: The reason", done.stderr


@pytest.mark.parametrize("name", ["", "-x", "A", "a/b", "a b", "x" * 33])
def test_name_that_cannot_be_a_labs_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="cannot be a lab's name"):
        check_lab_name(name)
