# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the commands of the lab by hand against a vCenter without a storage host. test_tour.py follows the page."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest

from . import by_hand, command_line, failing
from .simulator import Simulator
from .storage_host import StorageHost

MISTAKES = [
    (["fail", "web", "colour"], "tools, quiesce, snapshot"),
    (["fail", "web"], "tools, quiesce, snapshot"),
    (["fail", "absent", "tools"], "There is no VM absent; `tests/lab/lab vms` lists the VMs"),
    (["fail", "fw01", "tools"], "fw01 has no VMware Tools that could stop"),
    (["fail", "web", "no-freeze"], "deploy a VM with --real"),
    (["undeploy", "absent"], "There is no VM absent"),
    (["deploy", "web"], "There is a VM web already"),
    (["deploy", "new", "new"], "There is a VM new already"),
    (["deploy", "a/b"], "'a/b' cannot be the name of a VM"),
    (["deploy", "--real", "--datastore", "local", "new"], "The datastore local is not an NFS share"),
    (["deploy", "--datastore", "san", "new"], "No host mounts a datastore san (there is local, vmware)"),
]


@pytest.fixture
def vcenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    monkeypatch.setattr(by_hand, "vcenter_folder", lambda lab: tmp_path)
    datastores = [{"name": "vmware", "server": "10.0.2.15", "path": "/tank/vmware"}, {"name": "local", "type": "local"}]
    with Simulator.start({"datastores": datastores}, directory=tmp_path) as started:
        yield started


def lab(*words: str) -> int:
    return command_line.main(words)


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert lab("vms", "--json") == 0
    return {vm["name"]: vm for vm in json.loads(capsys.readouterr().out)}


def test_deploy_list_and_undeploy(vcenter: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab("deploy", "web") == lab("deploy", "--no-tools", "--off", "fw01") == lab("deploy", "--windows", "db") == 0
    found = listed(capsys)
    assert {name: (vm["power"], vm["tools"], vm["windows"]) for name, vm in found.items()} == {
        "web": ("on", "running", False), "fw01": ("off", "not_installed", False), "db": ("on", "running", True),
    }  # fmt: skip
    assert {(vm["datastore"], vm["real"], vm["fails"]) for vm in found.values()} == {("vmware", False, "")}
    assert lab("vms") == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0][:4] == ["VM", "DATASTORE", "POWER", "TOOLS"]
    assert table[2] == ["fw01", "vmware", "off", "none", "linux", "simulated", "-", "-"]
    assert lab("undeploy", "web", "fw01") == 0
    assert list(listed(capsys)) == ["db"]


def test_fault_ends(vcenter: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    """A second kind takes the place of the first one. `none` leaves nothing behind."""
    lab("deploy", "a.b", "axb")
    before = listed(capsys)
    for kind in [name for name, kind in failing.KINDS.items() if not kind.guest]:
        assert lab("fail", "a.b", "snapshot") == lab("fail", "a.b", kind) == 0
        found = listed(capsys)
        assert (found["a.b"]["fails"], found["axb"]["fails"]) == (kind, "")
        assert found["axb"] == before["axb"], "a name is not a pattern"
        assert lab("fail", "a.b", "none") == lab("fail", "a.b", "none") == 0
        assert listed(capsys) == before and vcenter.rules() == [], kind


def test_undeploy_ends_a_fault(vcenter: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    lab("deploy", "web")
    lab("fail", "web", "removal")
    assert lab("undeploy", "web") == lab("deploy", "web") == 0
    assert listed(capsys)["web"]["fails"] == "" and vcenter.rules() == []


def test_fail_without_arguments_lists_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert lab("fail") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["KIND", *failing.KINDS]


def test_mistakes_are_one_sentence(vcenter: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    lab("deploy", "web")
    lab("deploy", "--no-tools", "fw01")
    before = listed(capsys)
    for words, said in MISTAKES:
        assert lab(*words) == 1
        message = capsys.readouterr().err
        assert said in message and message.count("\n") == 1 and message.endswith(".\n")
    assert listed(capsys) == before


def test_inventory_follows_the_storage_host(
    vcenter: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut and `up --keep`, the storage host has another port and the vCenter is still there."""
    monkeypatch.setattr(by_hand, "folder", lambda lab: tmp_path / "lab")
    monkeypatch.setattr(StorageHost, "inventory", lambda self: {"ansible_port": 2222})
    by_hand.refresh(StorageHost("by-hand"))
    storage = json.loads((tmp_path / "lab" / "inventory.yml").read_text())["storage"]
    assert storage["hosts"]["storage01"]["ansible_port"] == 2222
    assert storage["vars"]["vcenter_port"] == vcenter.port
    (tmp_path / "lab" / "inventory.yml").unlink()
    vcenter.stop()
    by_hand.refresh(StorageHost("by-hand"))
    assert not (tmp_path / "lab" / "inventory.yml").exists()


@pytest.mark.parametrize("words", [["vms"], ["deploy", "web"], ["undeploy", "web"], ["fail", "web", "tools"]])
def test_vcenter_must_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr(by_hand, "vcenter_folder", lambda lab: tmp_path)
    assert lab(*words) == 1
    assert capsys.readouterr().err == "No vCenter runs; start one with `tests/lab/lab vcenter`.\n"


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        (["-t", "top"], ["-t"], ["top"]),
        (["ls", "-t"], [], ["ls", "-t"]),
        (["-t"], ["-t"], []),
        ([], [], []),
    ],
)
def test_ssh_gives_a_terminal(
    monkeypatch: pytest.MonkeyPatch, words: list[str], options: list[str], command: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(StorageHost, "running", lambda self: True)

    def call(argv: list[str], **_options: Any) -> int:
        called.append(argv)
        return 0

    monkeypatch.setattr(subprocess, "call", call)
    assert lab("ssh", *words) == 0
    ((_ssh, _f, _config, *rest),) = called
    assert rest == [*options, "storage", *command]
