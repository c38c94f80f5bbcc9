# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the commands of the README as they are written, including the demo."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..lab.installed import LOWEST_CORE
from .tools import BUILD, ROOT, TOOLS, run

README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```shell\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PLAYBOOKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
OTHERS = [command for command in COMMANDS if command not in ("make demo", "make test")]


def test_the_two_commands_are_in_the_readme_and_ci_runs_the_tests_by_one_of_them() -> None:
    assert "make demo" in COMMANDS and "make test" in COMMANDS
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_of_the_readme_works(command: str, tmp_path: Path) -> None:
    """The commands run in the order of the README and install into a folder of the test."""
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    subprocess.run(["bash", "-euc", command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("text", PLAYBOOKS)
def test_a_playbook_of_the_readme_is_understood(text: str, tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump(yaml.safe_load(text)))
    run("ansible-playbook", "--syntax-check", str(playbook))


def test_the_demo_does_the_main_job() -> None:
    """The demo applies site.yml, and the timer creates a record on real ZFS. The trace must confirm this."""
    demo = subprocess.run(
        ["make", "demo"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert demo.returncode == 0, demo.stdout
    found = json.loads((BUILD / "demo.json").read_text())
    trace = [json.loads(line) for line in (BUILD / "demo" / "vcenter" / "trace.jsonl").read_text().splitlines()]
    running = [vm for vm in found["vms"] if vm["level"] != "still"]
    assert len(running) == 7 and all(vm["level"] in ("filesystem", "application") for vm in running)
    assert {vm["name"] for vm in running} == quiesced(trace)
    assert found["consistency"] == "filesystem"
    assert re.fullmatch(rf"ansible-core {LOWEST_CORE}\.\d+, quiesce\.vmware_zfs [\d.]+", found["controller"])
    assert found["site_changed_first"] >= 5 and found["site_changed_second"] == 0
    assert found["taken_by"] == "vmware-zfs-task@1.timer (systemd)"
    assert found["vmware_snapshots_left"] == 0
    assert found["zfs_snapshot"].startswith("tank/vmware@auto-")
    assert found["zfs_version"].startswith("zfs-2.") and "8.0" in found["vcenter"]
    assert 2.0 <= found["hold_window_seconds"] < 120  # one second each to create and to remove, plus overhead
    assert f"{found['zfs_snapshot']} was taken by vmware-zfs-task@1.timer (systemd) and is filesystem" in demo.stdout


def quiesced(trace: list[dict[str, Any]]) -> set[str]:
    """Return the VMs for which vSphere finished a quiesced snapshot."""
    return {event["vm_name"] for event in trace if event.get("event") == "finished" and event.get("quiesced")}
