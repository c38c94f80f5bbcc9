# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the README work exactly as written, and the demo shows what the README shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
import yaml

from ..lab import demo, demo_stage
from ..lab.by_hand import vcenter_folder
from ..lab.installed import LOWEST_CORE
from ..lab.restore_census import KINDS
from ..lab.role_lines import ROLES
from ..lab.storage_host import StorageHost
from .tools import BUILD, ROOT, TOOLS, run

README = (ROOT / "README.md").read_text()
RESTORE_PAGE = (ROOT / "docs" / "howto" / "restore.md").read_text()
REPOSITORY = yaml.safe_load((ROOT / "galaxy.yml").read_text())["repository"]
BLOCKS = re.findall(r"```shell\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
PLAYBOOKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
(TABLE,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
FIRST = ["git clone https://github.com/quiesce/vmware_zfs", "cd vmware_zfs", "make demo"]
OTHERS = [command for command in COMMANDS if command not in (*FIRST, "make test")]


def test_the_readme_begins_with_the_demo_and_ci_runs_the_tests() -> None:
    assert COMMANDS[:3] == FIRST and "make test" in COMMANDS
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"


def test_the_first_commands_lead_to_a_checkout_with_the_demo(tmp_path: Path) -> None:
    """As written, with this checkout in place of the public repository."""
    replacement = {"GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf", "GIT_CONFIG_VALUE_0": REPOSITORY}
    environment = {**os.environ, "GIT_CONFIG_COUNT": "1", **replacement}
    script = "\n".join([*FIRST[:2], "make --dry-run demo >/dev/null"])
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("command", OTHERS)
def test_a_command_of_the_readme_works(command: str, tmp_path: Path) -> None:
    """In the order of the README. Collections are installed into a folder of the test."""
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    subprocess.run(["bash", "-euc", command], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize("text", PLAYBOOKS)
def test_ansible_accepts_a_playbook_of_the_readme(text: str, tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(yaml.safe_dump(yaml.safe_load(text)))
    run("ansible-playbook", "--syntax-check", str(playbook))


def test_a_link_to_the_repository_works_and_shows_the_path_to_readers_without_network() -> None:
    links = re.findall(rf"\[`?([^]`]+)`?\]\({REPOSITORY}/(?:blob|tree)/main/([^)#]+)", README)
    assert len(links) > 15
    assert [path for _text, path in links if not (ROOT / path).exists()] == []
    assert [text for text, path in links if text != path] == []


def make(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", *words], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def done() -> "Iterator[subprocess.CompletedProcess[str]]":
    """The demo, which leaves its lab running for `make restore`."""
    yield make("demo", "ARGS=--keep")
    subprocess.run(["tests/lab/lab", "--name", demo_stage.NAME, "down"], cwd=ROOT, check=True)


def test_the_demo_does_what_the_readme_shows(done: "subprocess.CompletedProcess[str]") -> None:
    """From nothing, with site.yml and the timer of the storage host, to records on real ZFS. The trace confirms it."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((BUILD / "demo.json").read_text())
    trace_file = vcenter_folder(StorageHost(demo_stage.NAME)) / "trace.jsonl"
    trace = [json.loads(line) for line in trace_file.read_text().splitlines()]
    levels = {vm["name"]: vm["level"] for vm in found["vms"]}
    assert levels == demo_stage.LEVELS
    assert {name for name, level in levels.items() if level in ("filesystem", "application")} == quiesced(trace)
    assert found["consistency"] == "crash" and found["complete"] is False and found["service"] == "failed"
    assert re.fullmatch(rf"ansible-core {LOWEST_CORE}\.\d+, quiesce\.vmware_zfs [\d.]+", found["controller"])
    assert found["site_changed_first"] >= 5 and found["site_changed_second"] == 0
    assert found["taken_by"] == "vmware-zfs-task@1.timer (systemd)"
    assert found["vmware_snapshots_left"] == 0
    assert found["zfs_snapshot"].startswith("tank/vmware@auto-")
    assert found["zfs_version"].startswith("zfs-2.") and "8.0" in found["vcenter"]
    assert 2.0 <= found["hold_window_seconds"] < 120  # one second to create and one to remove, plus the emulation
    assert [(disk["vm"], disk["level"]) for disk in found["disks"]] == [("mail", "application"), ("web", "filesystem")]
    for disk in found["disks"]:
        assert disk["coordinated"] == {"needs_recovery": False, "unflushed_lost": 0}
        assert disk["bare"]["needs_recovery"] and disk["bare"]["unflushed_lost"] > 0
    table = "\n".join(demo.table(found["vms"], found["disks"])) + "\n"
    assert table in done.stdout
    assert comparable(TABLE) == comparable(table)
    assert re.search(r"^Apply site\.yml again: changed=0 ", done.stdout, re.MULTILINE)
    for role in ROLES:
        assert len(re.findall(rf"^  {role} ", done.stdout, re.MULTILINE)) == 1
    assert not re.search(r"^(PLAY|TASK|PLAY RECAP|ok|changed|skipping)\b.*(\[|\*)", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^  tests/lab/lab ", done.stdout, re.MULTILINE)) == 3


@pytest.mark.check
def test_the_vms_of_the_demo_are_restored(done: "subprocess.CompletedProcess[str]") -> None:
    """With the commands of docs/howto/restore.md, in the lab that the demo has left running."""
    assert done.returncode == 0
    shown = make("restore", "ARGS=--kept")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    found = json.loads((BUILD / "restore.json").read_text())
    assert found["living_touched"] == 0 and found["left_behind"] == dict.fromkeys(KINDS, 0)
    ways = [(vm["name"], vm["way"], vm["level"]) for vm in found["vms"]]
    levels = {vm: demo_stage.LEVELS[vm] for vm in demo_stage.REAL}
    assert ways == [(vm, way, level) for way in ("folder", "clone", "mount") for vm, level in levels.items()]
    assert all(vm["disk_intact"] and 1 <= vm["requests"] <= 12 and vm["seconds"] > 0 for vm in found["vms"])
    (example,) = re.findall(r"```text\n(VM +way .*?)```", RESTORE_PAGE, re.DOTALL)
    assert [line for line in without_numbers(example) if line not in without_numbers(shown.stdout)] == []


def without_numbers(text: str) -> list[str]:
    """The lines of a table without what differs from run to run."""
    return [re.sub(" +", " ", re.sub(r" +[\d.]+", " SOME", line)) for line in text.splitlines()]


def comparable(table: str) -> str:
    """The demo's table without what differs from run to run: seconds, lost writes, and the port of the simulator."""
    without_writes = re.sub(r"dirty, \d+ writes lost", "dirty, SOME writes lost", table)
    return re.sub(r":\d{4,5}\b", ":PORT", re.sub(r" +\d+\.\d s\b", " SECONDS", without_writes))


def quiesced(trace: list[dict[str, Any]]) -> set[str]:
    """The VMs for which vSphere finished a quiesced snapshot."""
    return {event["vm_name"] for event in trace if event.get("event") == "finished" and event.get("quiesced")}
