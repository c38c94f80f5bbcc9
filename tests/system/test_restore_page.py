# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script in docs/howto/restore.md reads the record of a real ZFS snapshot."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.lab.places import ROOT
from tests.lab.simulator import Simulator

from .scene import Scene


def test_the_script_of_the_restore_page_reads_the_record(
    scene: Scene, vcenter: Simulator, tree: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "howto" / "restore.md").read_text()
    (script,) = re.findall(r"```shell\n(# The consistency record.*?)```", page, re.DOTALL)
    (tmp_path / "record").write_text(script)
    vcenter.vm("app", power="off")

    def record(snapshot: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["sh", "record", snapshot], cwd=tmp_path, check=False, capture_output=True, text=True)

    taken = scene.take()
    said = record(taken["zfs_snapshot"])
    lines = said.stdout.splitlines()
    assert lines[0] == "Consistency: filesystem, complete"
    assert lines[1] == f"VMware snapshot to revert to: vmware-zfs {taken['run_id']}"
    assert [line.split("\t")[:3] for line in lines[2:]] == [
        ["app", "still", "nothing to revert"],
        ["db", "application", "revert first"],
        ["web", "filesystem", "revert first"],
    ]
    assert {line.split("\t")[4] for line in lines[2:]} == {tree}
    assert lines[2].endswith("it is powered off") and said.stderr == ""

    scene.engine.zfs.run("set", "quiesce.vmware_zfs:complete=no", taken["zfs_snapshot"])
    said = record(taken["zfs_snapshot"])
    assert said.returncode == 1 and said.stdout == "" and "no sealed record" in said.stderr
