# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs are found in the system folders, even with the PATH of cron, and their output is in English."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine import process
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.exportfs import exportfs
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.view import local_addresses
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks.timers import Timers
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

CRON = "/usr/bin:/bin"


@pytest.fixture(params=[CRON, "", None], ids=["cron", "empty", "none"])
def sbin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder with system commands that is not on PATH."""
    monkeypatch.setattr(process, "SYSTEM_FOLDERS", (str(tmp_path),))
    monkeypatch.delenv("PATH") if request.param is None else monkeypatch.setenv("PATH", request.param)
    return tmp_path


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_every_command_is_found(sbin: Path) -> None:
    install(sbin, "zfs", 'helper "$LC_ALL"')
    install(sbin, "helper", 'echo "$1"')
    assert Zfs().run("list") == "C\n", "and what it calls itself is found as well"
    install(sbin, "exportfs", "exec zfs")
    assert exportfs(LocalHost(), "-u").output == "C\n"
    install(sbin, "test-systemctl", "exec zfs")
    assert Timers(sbin, "test-systemctl")._run("show") == "C\n"
    install(sbin, "ip", "echo '    inet 198.51.100.7/24'")
    if shutil.which("ip", path=process.environment()["PATH"]) == str(sbin / "ip"):  # this machine has no such command
        assert {str(each) for each in local_addresses(LocalHost())} == {"198.51.100.7"}


def test_the_systems_folders_are_those_of_every_distribution_and_come_last() -> None:
    path = process.environment()["PATH"].split(os.pathsep)
    assert path[-3:] == ["/usr/local/sbin", "/usr/sbin", "/sbin"]
