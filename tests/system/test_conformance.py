# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the assumptions of the engine on any vCenter or ESXi host: the simulator, or one set in the environment.

VMWARE_ZFS_TEST_HOST, _PORT, _USER, _PASSWORD, and _CA_PATH or _THUMBPRINT select a server. VMWARE_ZFS_TEST_VM is the
name of a running VM with VMware Tools on it. One snapshot of this VM is taken and removed. See tests/README.md.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    CertificateUntrusted,
    LoginRefused,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.tasks import TaskEnd, TaskWaiter
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Vm, list_vms

from tests.lab.simulator import Simulator

LIMIT = 300.0  # time limit in seconds for one snapshot of a real VM
NAME = "vmware-zfs-test conformance"


@dataclass
class Server:
    """The server under test and the VM for snapshots."""

    endpoint: Endpoint
    username: str
    password: Secret
    vm: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    given = {name: os.environ.get(f"VMWARE_ZFS_TEST_{name}", "") for name in ("HOST", "PORT", "USER", "PASSWORD", "VM")}
    if given["HOST"]:
        trust: dict[str, Any] = {
            name: os.environ.get(f"VMWARE_ZFS_TEST_{name.upper()}") or None for name in ("ca_path", "thumbprint")
        }
        endpoint = Endpoint(given["HOST"], int(given["PORT"] or 443), **trust)
        yield Server(endpoint, given["USER"], Secret(given["PASSWORD"]), given["VM"])
        return
    directory: Path = tmp_path_factory.mktemp("vcenter")
    with Simulator.start(directory=directory, create_seconds=0.1, remove_seconds=0.1) as vcenter:
        endpoint = Endpoint(vcenter.host, vcenter.port, ca_path=str(vcenter.ca_path))
        yield Server(endpoint, vcenter.user, Secret(vcenter.password), "web-0001")


@pytest.fixture(scope="module")
def session(server: Server) -> Iterator[Session]:
    with connect(server.endpoint, server.username, server.password) as opened:
        yield opened


@pytest.fixture(scope="module")
def vm(session: Session, server: Server) -> Vm:
    """Find the VM by its name from the datastores, as a run does."""
    datastores = [datastore.moid for datastore in list_datastores(session)]
    found = [vm for vm in list_vms(session, datastores) if vm.name == server.vm]
    assert len(found) == 1, f"{len(found)} VMs are named {server.vm!r}; name one in VMWARE_ZFS_TEST_VM"
    return found[0]


def test_a_wrong_password_is_refused(server: Server) -> None:
    with pytest.raises(LoginRefused):
        connect(server.endpoint, server.username, Secret("certainly not this one"))


def test_another_certificate_is_refused(server: Server) -> None:
    pinned = Endpoint(server.endpoint.hostname, server.endpoint.port, thumbprint="00" * 32)
    with pytest.raises(CertificateUntrusted, match="00:00:00"):
        connect(pinned, server.username, server.password)


def test_the_vm_can_be_quiesced(vm: Vm) -> None:
    assert (vm.power, vm.tools, vm.obstacles) == ("poweredOn", "running", ())
    assert vm.disks and all(disk.files for disk in vm.disks) and vm.instance_uuid


def test_a_snapshot_comes_to_be_and_goes_alone(session: Session, vm: Vm) -> None:
    """Use the same calls as a run: create, wait, read the tree, remove by managed object ID, read the tree again."""
    before = vm_snapshots.states(session, [vm.moid])[vm.moid].snapshots
    made = _end_of(session, vm_snapshots.start_create(session, vm.moid, NAME, "of a test", True, LIMIT))
    assert made.error is None and made.result is not None
    try:
        found = vm_snapshots.states(session, [vm.moid])[vm.moid].named(NAME)
        assert [snapshot.moid for snapshot in found] == [made.result] and found[0].quiesced
    finally:
        removed = _end_of(session, vm_snapshots.start_remove(session, made.result))
    assert removed.error is None
    after = vm_snapshots.states(session, [vm.moid])[vm.moid]
    assert after.snapshots == before and not after.consolidation_needed


def test_a_vm_is_found_by_its_instance_uuid(session: Session, vm: Vm) -> None:
    assert vm_snapshots.find_by_instance_uuid(session, vm.instance_uuid) == [vm.moid]
    assert vm_snapshots.find_by_instance_uuid(session, "00000000-0000-0000-0000-000000000000") == []


def _end_of(session: Session, task: str) -> TaskEnd:
    waiter = TaskWaiter(session)
    waiter.watch(task)
    deadline = time.monotonic() + LIMIT
    try:
        while time.monotonic() < deadline:
            ended = waiter.wait(5)
            if ended:
                return ended[0]
    finally:
        waiter.close()
    raise AssertionError(f"the task {task} did not end within {LIMIT:g} seconds")
