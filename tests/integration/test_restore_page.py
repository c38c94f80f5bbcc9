# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/howto/restore.md has a person run to read the record of a ZFS snapshot works on a real one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.lab.places import ROOT
from tests.lab.simulator import Simulator

from .scene import Scene


def test_the_script_of_the_restore_page_reads_the_record(scene: Scene, vcenter: Simulator, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "restore.md").read_text()
    (script,) = re.findall(r"```shell\n(# The consistency record.*?)```", page, re.DOTALL)
    (tmp_path / "record").write_text(script)
    vcenter.vm("app", power="off")
    taken = scene.take()
    said = subprocess.run(
        ["sh", "record", taken["zfs_snapshot"]], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    lines = said.stdout.splitlines()
    assert lines[0] == f"VMware snapshot to revert to: vmware-zfs {taken['run_id']}"
    assert [line.split("\t")[:3] for line in lines[1:]] == [
        ["app", "still", "nothing to revert"],
        ["db", "application", "revert first"],
        ["web", "filesystem", "revert first"],
    ]
    assert lines[1].endswith("it is powered off") and said.stderr == ""
