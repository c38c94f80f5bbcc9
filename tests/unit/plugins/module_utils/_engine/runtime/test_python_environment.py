# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment: made where there is none that runs, mended where something is missing, else left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime import python_environment
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.runtime.python_environment import (
    PythonEnvironment,
    lacking,
)


def wheel(folder: Path, name: str, version: str) -> None:
    """A library with nothing in it."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_from_nothing_to_an_upgrade(tmp_path: Path) -> None:
    environment, wheels = PythonEnvironment(tmp_path / "venv"), tmp_path / "wheels"
    assert environment.versions() is None and lacking(None) == ["pyVmomi>=8.0.3", "cryptography>=3.4"]

    wheel(wheels, "pyvmomi", "7.0.3")
    wheel(wheels, "cryptography", "3.4.8")
    with pytest.raises(
        DependencyError,
        match=r"pip' failed: ERROR: .*pyVmomi>=8\.0\.3.* set runtime_wheels to a directory of wheels\.$",
    ):
        environment.build(sys.executable, wheels)
    found = environment.versions()
    assert found == {"pyVmomi": None, "cryptography": None}

    wheel(wheels, "pyvmomi", "8.0.3.0.1")
    environment.build(sys.executable, wheels)
    found = environment.versions()
    assert found == {"pyVmomi": "8.0.3.0.1", "cryptography": "3.4.8"} and lacking(found) == []

    works = environment.python.readlink()
    environment.python.unlink()  # an upgrade of the system took the interpreter away
    environment.python.symlink_to("/nonexistent/python3")
    assert environment.versions() is None
    wheel(wheels, "pyvmomi", "9.1.1.0")  # refuses Python 3.9, without telling pip
    another = tmp_path / "another-python"  # stands in for the real one, which takes seconds to bring pip again
    another.write_text(
        f'#!/bin/sh\n[ "$*" = "-m venv --clear {environment.folder}" ] || exit 1\n'
        f"ln -sfn {works} {environment.python}; rm -r {environment.folder}/lib/*/site-packages/pyvmomi*\n"
    )
    another.chmod(0o755)
    environment.build(str(another), wheels)
    found = environment.versions() or {}
    assert found["pyVmomi"] == ("9.1.1.0" if sys.version_info >= (3, 10) else "8.0.3.0.1")
    environment.remove()
    environment.remove()
    assert not environment.folder.exists()


@pytest.mark.parametrize(
    ("version", "enough"), [("8.0.2.0.1", False), ("8.0.3", True), ("8.0.10", True), ("9.1.1.0", True), (None, False)]
)
def test_versions_are_compared_as_numbers(version: str | None, enough: bool) -> None:
    assert (lacking({"pyVmomi": version, "cryptography": "42.0.5"}) == []) is enough


def test_a_folder_of_wheels_that_is_not_there_is_named_before_anything_is_made(tmp_path: Path) -> None:
    environment = PythonEnvironment(tmp_path / "venv")
    with pytest.raises(InputError, match="nowhere does not exist on this host"):
        environment.build(sys.executable, tmp_path / "nowhere")
    assert not environment.folder.exists()


@pytest.mark.parametrize("failure", [None, FileNotFoundError("sync"), subprocess.TimeoutExpired("sync", 1.0)])
def test_only_its_own_file_system_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    """sync(2) waits for all of them: on a host with a suspended pool it never returns."""
    asked: list[tuple[list[str], float]] = []

    def run(command: Any, seconds: float) -> "subprocess.CompletedProcess[str]":
        asked.append((list(command), seconds))
        if command[0] == "sync" and failure is not None:
            raise failure
        return subprocess.CompletedProcess(command, 0, '{"pyVmomi": "8.0.3", "cryptography": "42"}', "")

    monkeypatch.setattr(python_environment, "run", run)
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("that waits for every file system"))
    PythonEnvironment(tmp_path / "venv").build(sys.executable, None)
    assert asked[-1] == (["sync", "-f", str(tmp_path / "venv")], 120.0)


def test_the_role_waits_for_the_file_system_of_its_units_alone() -> None:
    tasks = Path(python_environment.__file__).parents[4] / "roles" / "runtime" / "tasks" / "configure.yml"
    assert [line.split("#")[0].strip() for line in tasks.read_text().splitlines() if "sync" in line] == [
        "argv: [sync, -f, /etc/systemd/system]"
    ]
