# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs come back from ZFS snapshots: real disks on real NFS, real ZFS, and the lab's vCenter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import ending
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.flow import (
    Patience,
    Requests,
    run_alone,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.planner import make_plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import (
    RestoreRequest,
    parse_snapshot,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.result import RestoreResult
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.run import execute
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import CLONE, DISK, MOUNT
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import inventory, sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.registration import unregister
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_now import VmNow, read_now
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_power import start_power_off
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

from tests.lab.guest_door import GuestDoor
from tests.lab.hypervisor.host import Hypervisor
from tests.lab.hypervisor.judge import disagreements, examine
from tests.lab.link import HYPERVISOR
from tests.lab.places import GUEST
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .scene import TIMEOUTS, Scene, levels, nfs

TREE = "tank/vmware"
VMS: list[dict[str, Any]] = [{"name": "web"}, {"name": "db", "guest": "windows"}, {"name": "helper", "power": "off"}]


@pytest.fixture(scope="module")
def storage_host() -> Iterator[StorageHost]:
    host = StorageHost("restores")
    host.reset()
    yield host
    host.down()


@pytest.fixture(scope="module")
def tree() -> str:
    return TREE


class Place:
    """A vCenter with real VMs, an engine whose storage host is the guest, and a coordinated snapshot of them."""

    def __init__(self, scene: Scene, vcenter: Simulator, hypervisor: Hypervisor, session: Session) -> None:
        self.scene, self.vcenter, self.hypervisor, self.session = scene, vcenter, hypervisor, session
        self.storage = hypervisor.storage

    def take(self) -> str:
        """Take a coordinated snapshot, and let the guests go on writing after it."""
        result = self.scene.take()
        assert levels(result) == {"web": "filesystem", "db": "application", "helper": "still"}
        self.write_more()
        return str(result["zfs_snapshot"])

    def write_more(self) -> None:
        before = {name: self.shown(name)["returned"] for name in ("web", "db")}
        end = time.monotonic() + 60
        while any(self.shown(name)["returned"] < before[name] + 10 for name in before):
            assert time.monotonic() < end, "a guest does not write"
            time.sleep(0.2)

    def shown(self, vm: str) -> dict[str, Any]:
        found: dict[str, Any] = self.hypervisor.call("show", vmx=f"[vmware] {vm}/{vm}.vmx")
        return found

    def moment(self, vm: str) -> dict[str, Any]:
        moments: dict[str, dict[str, Any]] = self.shown(vm)["moments"]
        return moments[max(moments, key=int)]

    def request(self, snapshot: str, *vms: str, **options: Any) -> RestoreRequest:
        return RestoreRequest(parse_snapshot(snapshot), vms, aliases=(GUEST,), clients=(HYPERVISOR,), **options)

    def restore(self, snapshot: str, *vms: str, **options: Any) -> RestoreResult:
        return execute(self.scene.engine, self.session, self.request(snapshot, *vms, **options))

    def run(self, script: str) -> str:
        return self.storage.ssh(["sh", "-euc", script]).stdout

    def digest(self, path: str) -> str:
        return self.run(f"sha256sum <{path}").split()[0]

    def left(self) -> dict[str, str]:
        """Return what restores leave on the storage host: holds, clones, exports and folders."""
        return {
            "holds": self.run("zfs list -H -o name -t snapshot -r tank | xargs -r zfs holds -H"),
            "clones": self.run("zfs list -H -o name | grep vmware-zfs-restores || true"),
            "exports": self.run("grep -l vmware-zfs-restores /etc/exports.d/* 2>/dev/null || true"),
            "folders": self.run(f"find /{TREE} -maxdepth 2 -name '.vmware-zfs-*'"),
        }

    def remove_vms(self) -> None:
        """The next test creates the VMs again."""
        for moid in self.registered():
            self.power_off(moid)
            unregister(self.session, moid)
        self.run(f"find /{TREE} -mindepth 1 -maxdepth 1 ! -name nested -exec rm -rf {{}} +")

    def registered(self) -> dict[str, VmNow]:
        """All VMs, as a client of vSphere sees them."""
        moids = inventory.read_all(self.session, sdk.vim.VirtualMachine, ["name"], "list the VMs")
        return read_now(self.session, list(moids))

    def power_off(self, moid: str) -> None:
        if self.registered()[moid].on:
            requests = Requests(self.session, Patience())
            run_alone(self.session, requests.carry_out("The power-off", start_power_off, moid))

    def names(self) -> set[str]:
        return {vm.name for vm in self.registered().values()}


NOTHING = {"holds": "", "clones": "", "exports": "", "folders": ""}


@pytest.fixture
def place(
    scene: Scene, start_vcenter: StartVcenter, hypervisor: Hypervisor, storage_host: StorageHost
) -> Iterator[Place]:
    real = [{**vm, "real": True} for vm in VMS]
    vcenter = start_vcenter(nfs("vmware", TREE, *real), hypervisor=hypervisor.port)
    scene.enrol(vcenter)
    door = GuestDoor(storage_host)
    scene.engine.zfs = Zfs(host=door)
    endpoint = Endpoint(vcenter.host, vcenter.port, ca_path=str(vcenter.ca_path))
    with connect(endpoint, vcenter.user, Secret(vcenter.password), TIMEOUTS) as session:
        made = Place(scene, vcenter, hypervisor, session)
        yield made
        made.remove_vms()
    door.close()


def test_a_vm_comes_back_beside_the_living_one(place: Place) -> None:
    snapshot = place.take()
    frozen = place.digest(f"/{TREE}/.zfs/snapshot/{snapshot.partition('@')[2]}/web/web-flat.vmdk")
    plan = make_plan(place.session, place.scene.engine.zfs, place.request(snapshot, "web"))
    assert plan.refusals == () and place.left() == NOTHING
    as_it_is = examine(place.storage, snapshot, "web")  # what a start without the revert would use
    assert "the journal needs recovery" in disagreements("filesystem", as_it_is, place.moment("web"))

    done = place.restore(snapshot, "web")

    (vm,) = done.vms
    assert vm.restored and vm.level == "filesystem" and vm.error == "" and vm.shared
    assert vm.reverted_to.startswith("vmware-zfs ") and vm.requests <= 12
    assert place.digest(f"/{TREE}/{vm.restored_name}/web-flat.vmdk") == frozen
    place.scene.engine.zfs.run("snapshot", f"{TREE}@restored")
    found = examine(place.storage, f"{TREE}@restored", vm.restored_name)
    assert disagreements("filesystem", found, place.moment("web")) == []
    assert place.names() == {"web", "db", "helper", vm.restored_name}
    assert place.left() == NOTHING and place.shown("web")["on"]


@pytest.mark.check  # test_restore_commands.py restores in this way too
def test_an_instant_restore_runs_from_a_clone_and_is_taken_away(place: Place) -> None:
    snapshot = place.take()
    done = place.restore(snapshot, "web", "db", way=CLONE, power_on=True, host=place.vcenter.hosts()[0]["name"])
    assert [vm.error for vm in done.vms] == ["", ""] and all(vm.powered_on for vm in done.vms)
    assert len(done.datastores) == 1 and "vmware-zfs-restores" in place.left()["clones"]
    restore = place.scene.engine.restores.get(done.restore_id)
    with pytest.raises(RestoreFailed, match="powered on"):
        ending.end(place.scene.engine, restore, lambda: _borrowed(place.session))
    for vm in done.vms:
        place.power_off(vm.moid)
    assert ending.end(place.scene.engine, restore, lambda: _borrowed(place.session)) == ""
    assert place.names() == {"web", "db", "helper"} and place.left() == NOTHING


@pytest.mark.check  # test_restore_commands.py restores in this way too
def test_a_disk_is_attached_and_removed_again(place: Place) -> None:
    snapshot = place.take()
    done = place.restore(snapshot, "web", way=DISK, disk=1, attach_to="helper")
    assert done.attached is not None and done.attached["vm"] == "helper"
    restore = place.scene.engine.restores.get(done.restore_id)
    assert ending.end(place.scene.engine, restore, lambda: _borrowed(place.session)) == "" and place.left() == NOTHING


@pytest.mark.check  # test_restore_commands.py restores in this way too
def test_a_snapshot_is_mounted_and_unmounted(place: Place) -> None:
    snapshot = place.take()
    done = place.restore(snapshot, way=MOUNT, host=place.vcenter.hosts()[0]["name"])
    assert [one["dataset"] for one in done.datastores] == [TREE]
    restore = place.scene.engine.restores.get(done.restore_id)
    assert ending.end(place.scene.engine, restore, lambda: _borrowed(place.session)) == "" and place.left() == NOTHING


@pytest.mark.check  # test_restore_commands.py restores in this way too
def test_a_vm_replaces_the_living_one(place: Place) -> None:
    snapshot = place.take()
    done = place.restore(snapshot, "web", replace=True, power_on=True)
    (vm,) = done.vms
    assert vm.restored and vm.powered_on and vm.restored_name == "web" and vm.replaced.startswith("web-replaced-")
    assert place.names() == {"web", "db", "helper", vm.replaced} and place.left() == NOTHING


class _borrowed:
    """A session that is used, but not closed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Session:
        return self._session

    def __exit__(self, *error: object) -> None:
        pass
