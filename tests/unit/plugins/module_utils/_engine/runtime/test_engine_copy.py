# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage host's copy of the engine: whole, replaced in one step, never taken from who runs from it."""

from __future__ import annotations

import ast
import importlib.resources
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime.engine_copy import (
    EngineCopy,
    digest,
    sources,
)

PACKAGE = "ansible_collections/quiesce/vmware_zfs/plugins/module_utils/_engine"

# An engine that says who it is when its input ends, by a file that it has not read before.
SLOW = b"""
import sys
def main():
    print("ready", flush=True)
    sys.stdin.read()
    from ..late import NAME
    print(NAME, flush=True)
    return 0
"""


def engine(name: str) -> dict[str, bytes]:
    return {"__init__.py": b"", "cli/main.py": SLOW, "late.py": f"NAME = {name!r}\n".encode()}


@pytest.fixture
def copy(tmp_path: Path) -> EngineCopy:
    return EngineCopy(tmp_path / "engine", tmp_path / "bin" / "vmware-zfs", Path(sys.executable))


@pytest.fixture
def command(tmp_path: Path) -> Path:
    return tmp_path / "bin" / "vmware-zfs"


def start(command: Path) -> "subprocess.Popen[str]":
    """Start the command and return when it runs."""
    process = subprocess.Popen([str(command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def finish(process: "subprocess.Popen[str]") -> str:
    """Which engine the process was, to its end."""
    said, _unused = process.communicate(timeout=60)
    return said.strip()


def copies(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if not entry.is_symlink()}


def test_the_engine_goes_without_what_knows_ansible() -> None:
    found = sources()
    assert {"__init__.py", "cli/main.py", "recovery/__init__.py", "recovery/recover.py"} <= found.keys()
    for name, content in found.items():
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                assert (node.module or "").partition(".")[0] not in ("ansible", "ansible_collections"), name
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("ansible") for alias in node.names), name


def test_out_of_ansibles_zip_come_the_same_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "payload.zip", "w") as archive:
        parts = PACKAGE.split("/")
        for depth in range(1, len(parts)):
            archive.writestr("/".join([*parts[:depth], "__init__.py"]), "")
        root = Path(sys.modules[sources.__module__].__file__ or "").parents[1]
        for path in root.rglob("*.py"):
            archive.write(path, f"{PACKAGE}/{path.relative_to(root)}")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'payload.zip')!r})\n"
        f"from {PACKAGE.replace('/', '.')}.runtime import engine_copy\n"
        "assert '.zip' in engine_copy.__file__\n"
        "print(engine_copy.digest(engine_copy.sources()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(sources())


def test_the_command_runs_the_copy_whatever_the_environment_says(
    copy: EngineCopy, command: Path, tmp_path: Path
) -> None:
    assert copy.digest() is None and not copy.has_command()
    copy.install(sources())
    copy.install_command()
    assert copy.digest() == digest(sources()) and copy.has_command()
    for name in ("json.py", "vmware_zfs_engine.py"):
        (tmp_path / name).write_text("raise SystemExit('redirected')\n")
    done = subprocess.run(
        [str(command), "status", "--json"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "VMWARE_ZFS_STATE_DIR": str(tmp_path / "none")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "") and '"left": []' in done.stdout
    compiled = [path.name for path in (tmp_path / "engine" / "current").rglob("main.*.pyc")]
    assert len(compiled) == 1  # the services cannot write it


def test_who_runs_stays_with_the_engine_that_it_began_with(copy: EngineCopy, command: Path, tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    copy.install_command()
    copy.install(engine("first"))
    first = copies(folder)
    running = start(command)
    for name in ("second", "third", "fourth"):
        copy.install(engine(name))
        assert copy.digest() == digest(engine(name))
    kept = copies(folder)
    assert first < kept and len(kept) == 3  # the one in use, the one before, the current one
    assert finish(running) == "first"
    assert finish(start(command)) == "fourth"
    copy.install(engine("fifth"))
    assert not first & copies(folder) and len(copies(folder)) == 2
    copy.remove()
    assert not folder.exists() and not command.exists()


def test_a_damaged_copy_is_another_one(copy: EngineCopy, tmp_path: Path) -> None:
    copy.install(engine("whole"))
    (tmp_path / "engine" / "current" / "vmware_zfs_engine" / "late.py").write_text("")  # a power cut does that
    assert copy.digest() != digest(engine("whole"))
    copy.install(engine("whole"))
    assert copy.digest() == digest(engine("whole"))


def test_an_engine_that_cannot_be_brought_leaves_the_old_one(copy: EngineCopy, tmp_path: Path) -> None:
    copy.install(engine("old"))
    before = copies(tmp_path / "engine")
    with pytest.raises(DependencyError, match=r"cannot compile the engine: .*main\.py"):
        copy.install({**engine("new"), "cli/main.py": b"def main(:\n"})
    assert copy.digest() == digest(engine("old")) and copies(tmp_path / "engine") == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    copy = EngineCopy(tmp_path / "file" / "engine", tmp_path / "command", Path(sys.executable))
    with pytest.raises(DependencyError, match="file/engine cannot be written: Not a directory; run as root"):
        copy.install(engine("any"))


def test_where_the_files_cannot_be_read_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under Mitogen, whose loader has no files to list."""
    monkeypatch.setattr(importlib.resources, "files", lambda package: Path("/no/such/folder"))
    with pytest.raises(
        DependencyError, match=r"cannot be read .*; if the play uses Mitogen, set 'strategy: linear' in the play"
    ):
        sources()
