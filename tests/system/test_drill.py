# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drills with real disks: the guests' own programs decide. Nothing is left, whatever happens."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.result import DrillResult
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.run import execute
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verified import verdict_in
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.recover import recover
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import parse_snapshot
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import Endpoint, connect
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.hypervisor.host import Hypervisor
from tests.lab.link import HYPERVISOR
from tests.lab.places import GUEST
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import TIMEOUTS, Scene, nfs
from .test_restore import NOTHING, TREE, Place

NEVER = {"tools": -1, "heartbeat": -1, "address": -1, "shutdown": 0}
QUESTION = {
    "id": "msg.disk.damaged", "text": "The disk is damaged. Continue?", "default": 0,
    "choices": [{"key": "0", "label": "button.cancel", "summary": "Cancel", "cancel": True}],
}  # fmt: skip
OFF: dict[str, Any] = {"power": "off", "real": True}
VMS: list[dict[str, Any]] = [
    {"name": "web", "real": True},
    {"name": "damaged", **OFF},
    {"name": "hung", "start": NEVER, **OFF},
    {"name": "asks", "question": QUESTION, **OFF},
]
# Overwrites the beginning of the file system on a disk.
DAMAGE = "dd if=/dev/urandom of=/{}/{}/{}-flat.vmdk bs=4096 count=64 conv=notrunc status=none"


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    host = StorageHost("drills")
    host.reset()
    yield host
    host.down()


@pytest.fixture(scope="module")
def tree() -> str:
    return TREE


class Drills(Place):
    """VMs with real disks, and a coordinated snapshot of them."""

    def drill(self, snapshot: str, *vms: str, **options: Any) -> DrillResult:
        request = DrillRequest(
            parse_snapshot(snapshot), vms, aliases=(GUEST,), clients=(HYPERVISOR,), **{"boot_timeout": 20.0, **options}
        )
        return execute(self.scene.engine, self.session, request)

    def datastores(self) -> set[str]:
        return {one["datastore"] for host in self.vcenter.hosts() for one in host["mounts"]}


@pytest.fixture
def drills(
    scene: Scene, start_vcenter: StartVcenter, hypervisor: Hypervisor, storage_host: StorageHost
) -> Iterator[Drills]:
    vcenter = start_vcenter(nfs("vmware", TREE, *VMS), hypervisor=hypervisor.port)
    scene.enrol(vcenter)
    scene.enrol(vcenter, purpose="restore")
    door = GuestDoor(storage_host)
    scene.engine.zfs = Zfs(host=door)
    endpoint = Endpoint(vcenter.host, vcenter.port, ca_path=str(vcenter.ca_path))
    with connect(endpoint, vcenter.user, Secret(vcenter.password), TIMEOUTS) as session:
        made = Drills(scene, vcenter, hypervisor, session)
        yield made
        made.remove_vms()
    door.close()


def test_the_guests_own_programs_decide(drills: Drills) -> None:
    drills.run(DAMAGE.format(TREE, "damaged", "damaged"))
    snapshot = str(drills.scene.take()["zfs_snapshot"])
    before = drills.names(), drills.datastores()

    result = drills.drill(snapshot, at_a_time=2)

    found = {vm.name: (vm.verdict, vm.reason) for vm in result.vms}
    assert found["web"] == ("verified", ""), found
    for vm, reason in (
        ("damaged", "did not run"),
        ("hung", "did not run"),
        ("asks", "asked"),
    ):
        assert found[vm][0] == "failed" and reason in found[vm][1], found
    assert result.verdict == "failed" and result.left == [] and result.recorded
    assert drills.left() == NOTHING and (drills.names(), drills.datastores()) == before and drills.shown("web")["on"]
    stored = verdict_in(snapshots.properties(drills.scene.engine.zfs, snapshot, "quiesce.vmware_zfs:") or {})
    assert stored is not None and stored.result == "failed" and len(stored.vms) == 4

    again = drills.drill(snapshot, "web")
    assert again.verdict == "verified" and drills.left() == NOTHING


@pytest.mark.check  # the unit tests kill a drill at every call
def test_a_killed_drill_is_taken_away(drills: Drills) -> None:
    snapshot = str(drills.scene.take()["zfs_snapshot"])
    before = drills.names(), drills.datastores()
    process = multiprocessing.get_context("fork").Process(target=_drill_and_wait, args=(drills, snapshot))
    process.start()
    started = ("finished", "PowerOnVM_Task")
    drills.vcenter.wait_for(lambda one: (one.get("event"), one["method"]) == started, seconds=120)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert "vmware-zfs-restores" in drills.left()["clones"]

    done = recover(drills.scene.engine)

    assert done.problems == [] and len(done.undone_restores) == 1, json.dumps(done.as_dict())
    assert drills.left() == NOTHING and (drills.names(), drills.datastores()) == before and drills.shown("web")["on"]


def _drill_and_wait(drills: Drills, snapshot: str) -> None:
    """Drill in a process of its own, which has none of the threads and connections of this one."""
    drills.scene.engine.zfs = Zfs(host=GuestDoor(drills.storage))
    endpoint = Endpoint(drills.vcenter.host, drills.vcenter.port, ca_path=str(drills.vcenter.ca_path))
    drills.session = connect(endpoint, drills.vcenter.user, Secret(drills.vcenter.password), TIMEOUTS)
    drills.drill(snapshot, "hung", boot_timeout=300.0)
    time.sleep(300)
