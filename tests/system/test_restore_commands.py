# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of docs/howto/restore.md does what the page says: with real disks, real ZFS and the lab's vCenter.

The commands run on this machine as they are written. Only the name of the ESXi host and the ID of a restore are those
of the lab. The simulated ESXi hosts have no addresses, so the one that the hypervisor of the lab has is given.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import main as cli
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.cli import points, restores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import ending, planner
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.ensure import ensure
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import (
    CLONE,
    DISK,
    FOLDER,
    MOUNT,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.registration import unregister
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint, connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.hypervisor.host import Hypervisor
from tests.lab.link import HYPERVISOR
from tests.lab.places import ROOT
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from . import test_restore as base
from .scene import TIMEOUTS, Scene, levels, nfs

storage_host, tree = base.storage_host, base.tree

PAGE = (ROOT / "docs" / "howto" / "restore.md").read_text()
COMMANDS = [
    line.removeprefix("sudo vmware-zfs ")
    for block in re.findall(r"```shell\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("sudo vmware-zfs ")
]
SNAPSHOT = "tank/vmware@auto-2026-01-31_02-00"
RESTORED = "mail-restored-2026-01-31"
ORIGINALS = {"mail", "db", "helper"}
VMS: list[dict[str, Any]] = [
    {"name": "mail", "cards": [{"network": "VM Network"}]},
    {"name": "db", "guest": "windows"},
    {"name": "helper", "power": "off"},
]


class Shell:
    """Runs the commands of the page on a storage host with real VMs and one coordinated snapshot of them."""

    def __init__(self, place: base.Place, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self._capsys = place, capsys
        self.host = place.vcenter.hosts()[0]["name"]

    def run(self, command: str, restore: str = "ID") -> str:
        words = shlex.split(command.replace("esx1.example.com", self.host).replace("--end ID", f"--end {restore}"))
        self._capsys.readouterr()
        code = cli.main(words)
        said = self._capsys.readouterr()
        assert code == 0 and said.err == "", f"{command}: {said.out}{said.err}"
        return said.out

    def is_kept(self, way: str, *vms: str, **options: Any) -> bool:
        """Return whether a second run of a playbook changes nothing."""
        request = self.place.request(SNAPSHOT, *vms, way=way, **options)
        done = [ensure(self.place.scene.engine, self.place.session, request, check) for check in (True, False)]
        return not any(one.changed for one in done) and done[0].existing == done[1].existing == self.restored()

    def more(self) -> set[str]:
        """Return the names of the VMs that are not those from the beginning."""
        return self.place.names() - ORIGINALS

    def restored(self) -> list[str]:
        """Return the IDs of the restores in the list."""
        return [one["restore_id"] for one in ending.overview(self.place.scene.engine)]

    def end(self) -> None:
        """End all restores, and delete the VMs that stay, as a person would."""
        machines = {vm["name"]: vm for vm in self.place.vcenter.machines()}
        for name in self.more():
            self.place.vcenter.vm(name, power="off")
        for one in self.restored():
            assert "ended the restore" in self.run("restores --end ID", one)
        for name in self.more():
            unregister(self.place.session, machines[name]["moid"])
            self.place.run(f"rm -rf '/{base.TREE}/{name}'")
        assert self.place.names() == ORIGINALS and self.place.left() == base.NOTHING


@pytest.fixture
def shell(
    scene: Scene,
    hypervisor: Hypervisor,
    storage_host: StorageHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    datastore = nfs("vmware", base.TREE, *({**vm, "real": True} for vm in VMS))
    config = {"datacenters": ["DC0"], "datastores": [datastore], "networks": [{"name": "isolated"}]}
    vcenter = Simulator.start(
        config, directory=tmp_path / "vcenter", create_seconds=0.1, remove_seconds=0.1, hypervisor=hypervisor.port
    )
    door = GuestDoor(storage_host)
    try:
        scene.engine.zfs = Zfs(host=door)
        scene.enrol(vcenter)
        scene.enrol(vcenter, purpose="restore")

        def engine(_paths: Any, read_only: bool = False, report: Callable[[str], None] = lambda step: None) -> Any:
            return nullcontext(replace(scene.engine, report=report))

        for module in (points, restores):
            monkeypatch.setattr(module, "open_engine", engine)
        monkeypatch.setattr(planner, "addresses_of_host", lambda session, moid: (HYPERVISOR,))
        endpoint = Endpoint(vcenter.host, vcenter.port, ca_path=str(vcenter.ca_path))
        with connect(endpoint, vcenter.user, Secret(vcenter.password), TIMEOUTS) as session:
            place = base.Place(scene, vcenter, hypervisor, session)
            yield Shell(place, capsys)
            place.remove_vms()
    finally:
        door.close()
        vcenter.stop()


def lists_the_points(shell: Shell, said: str) -> None:
    (row,) = [line for line in said.splitlines() if line.startswith(SNAPSHOT)]
    assert " filesystem " in row and "vmware-zfs " in row


def restores_next_to_the_original(shell: Shell, said: str) -> None:
    assert re.search(rf"^mail +{RESTORED} +filesystem +off +DC0_", said, re.MULTILINE)
    assert "the network cards are disconnected; connect them in the vSphere client" in said
    assert shell.more() == {RESTORED} and shell.place.shown("mail")["on"]
    assert shell.is_kept(FOLDER, "mail")


def replaces_the_original(shell: Shell, said: str) -> None:
    aside = f"mail-replaced-{datetime.now():%Y-%m-%d}"
    assert re.search(r"^mail +mail +filesystem +on, heartbeat green", said, re.MULTILINE)
    assert f"the original of 'mail' is now named '{aside}'" in said
    assert shell.place.names() == {*ORIGINALS, aside} and not shell.place.shown("mail")["on"]


def runs_from_a_clone(shell: Shell, said: str) -> None:
    assert re.search(rf"^mail +{RESTORED} +filesystem +on, heartbeat green.* {shell.host}$", said, re.MULTILINE)
    assert re.search("^the datastore restore-.* is a clone of tank/vmware$", said, re.MULTILINE)
    (restore,) = shell.restored()
    assert f"to end this restore: vmware-zfs restores --end {restore}" in said
    assert f"restore {restore}" in shell.run("points tank/vmware --vm mail")
    assert shell.is_kept(CLONE, "mail")


def attaches_a_disk(shell: Shell, said: str) -> None:
    assert re.search(r"^\[restore-.*\] mail/mail.*\.vmdk is attached to 'helper'$", said, re.MULTILINE)
    assert shell.more() == set() and shell.is_kept(DISK, "mail", disk=1, attach_to="helper")


def mounts_the_snapshot(shell: Shell, said: str) -> None:
    assert re.search("^the datastore restore-.* is a clone of tank/vmware$", said, re.MULTILINE)
    names = {mount["datastore"] for host in shell.place.vcenter.hosts() for mount in host["mounts"]}
    assert any(name.startswith("restore-") for name in names)
    assert shell.is_kept(MOUNT, host=shell.host)


def unmounts_the_snapshot(shell: Shell, said: str) -> None:
    assert "nothing of it is left" in said and shell.restored() == [] and shell.place.left() == base.NOTHING


def connects_a_vm_with_another_name(shell: Shell, said: str) -> None:
    assert shell.more() == {"mail-test"} and "network cards are disconnected" not in said


def restores_several_vms(shell: Shell, said: str) -> None:
    assert shell.more() == {RESTORED, "db-restored-2026-01-31"} and " application " in said
    assert shell.is_kept(FOLDER, "mail", "db")


EXPECTED: dict[str, Callable[[Shell, str], None]] = {
    "points tank/vmware --vm mail": lists_the_points,
    f"restore {SNAPSHOT} mail": restores_next_to_the_original,
    f"restore {SNAPSHOT} mail --instant --on esx1.example.com --power-on": runs_from_a_clone,
    f"restore {SNAPSHOT} mail --disk 1 --attach-to helper": attaches_a_disk,
    f"mount {SNAPSHOT} --on esx1.example.com": mounts_the_snapshot,
    f"unmount {SNAPSHOT}": unmounts_the_snapshot,
    f"restore {SNAPSHOT} mail --name mail-test --network isolated": connects_a_vm_with_another_name,
    f"restore {SNAPSHOT} mail db": restores_several_vms,
    # The last one, because it shuts down the original.
    f"restore {SNAPSHOT} mail --replace --power-on": replaces_the_original,
}
LISTED = ("restores", "restores --end ID")


def test_every_command_of_the_page_has_an_expectation() -> None:
    assert {*COMMANDS} == {*EXPECTED, *LISTED}


def test_every_command_of_the_page_does_what_the_page_says(shell: Shell) -> None:
    result = shell.place.scene.take(snapshot=SNAPSHOT.partition("@")[2])
    assert levels(result) == {"mail": "filesystem", "db": "application", "helper": "still"}
    assert shell.run("restores") == "nothing is restored\n"
    for command, expected in EXPECTED.items():
        expected(shell, shell.run(command))
        if not command.startswith(("mount", "restore")) or "--replace" in command:
            continue
        (restore,) = shell.restored()
        assert restore in shell.run("restores")
        if not command.startswith("mount"):
            shell.end()
