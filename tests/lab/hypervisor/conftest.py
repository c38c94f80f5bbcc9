# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vCenter, a hypervisor and a storage host for tests with real files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from pyVmomi import vim

from ..simulator import Simulator
from ..storage_host import StorageHost
from ..vsphere import Client, done, eventually, session
from .host import Hypervisor
from .inside.volumes import uuid
from .share import share

DATASET, CLONE = "tank/vmware", "tank/clone"
UUID = "4207aaaa-0000-1111-2222-333344445555"
VOLUMES = {path: f"/vmfs/volumes/{uuid('10.0.2.15', path)}" for path in (f"/{DATASET}", f"/{CLONE}")}
_names = count(1)


@pytest.fixture(scope="module")
def hypervisor(request: pytest.FixtureRequest) -> Iterator[Hypervisor]:
    """A separate lab for each file of tests."""
    storage = StorageHost(f"lab-{request.module.__name__.rpartition('_')[2]}")
    storage.reset()
    started = Hypervisor(storage)
    try:
        started.up()
        share(storage, f"/{DATASET}")
        yield started
    finally:
        started.down()
        storage.down()


@pytest.fixture(scope="module")
def vcenter(hypervisor: Hypervisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    datastores = [{"name": "vmware", "server": "10.0.2.15", "path": f"/{DATASET}"}]
    config = {"datacenters": ["DC0"], "datastores": datastores, "networks": [{"name": "isolated"}]}
    options: dict[str, Any] = {"create_seconds": 0.01, "remove_seconds": 0.01, "hypervisor": hypervisor.port}
    with Simulator.start(config, directory=tmp_path_factory.mktemp("vcenter"), **options) as started:
        yield started


@pytest.fixture
def client(vcenter: Simulator) -> Iterator[Client]:
    with session(vcenter) as one:
        yield one


class Store:
    """The files of the storage host."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self._storage = hypervisor.storage

    def run(self, script: str) -> str:
        return self._storage.ssh(["sh", "-euc", script]).stdout

    def edit(self, vmx: str, **values: str) -> None:
        """Set keys of a .vmx file. `__` in a key is a dot or a colon."""
        for key, value in values.items():
            self.run(f"printf '%s\\n' '{key} = \"{value}\"' >>/{vmx}")

    def copy(self, vm: str, name: str) -> str:
        """Copy the folder of a VM. Return the datastore path of the copy."""
        self.run(f"cp -a /{DATASET}/{vm} /{DATASET}/{name}; rm -f /{DATASET}/{name}/.lck-* /{DATASET}/{name}/*.vswp")
        return f"[vmware] {name}/{vm}.vmx"


@pytest.fixture
def store(hypervisor: Hypervisor) -> Store:
    return Store(hypervisor)


@pytest.fixture
def vm(vcenter: Simulator, client: Client, store: Store) -> Iterator[Any]:
    """A real VM that is powered on. All VMs are taken away afterwards."""
    name = f"vm{next(_names)}"
    vcenter.deploy("vmware", {"name": name, "real": True, "bios_uuid": UUID, "host": "DC0_H0"})
    yield client.vm(name)
    vcenter.clear_rules()
    for one in client.all(vim.VirtualMachine).values():
        if one.runtime.powerState == "poweredOn":
            done(one.PowerOffVM_Task())
        one.UnregisterVM()


def moment(hypervisor: Hypervisor, vm: Any) -> dict[str, Any]:
    moments: dict[str, dict[str, Any]] = hypervisor.call("show", vmx=vm.config.files.vmPathName)["moments"]
    return moments[max(moments, key=int)]


def wait_for_writes(hypervisor: Hypervisor, vm: Any, more: int = 15) -> None:
    wanted, end = 0, time.monotonic() + 60
    while (written := hypervisor.call("show", vmx=vm.config.files.vmPathName)["returned"]) < wanted or not wanted:
        wanted = wanted or written + more
        assert time.monotonic() < end, "the guest does not write"
        time.sleep(0.1)


def answer(vm: Any, label: str) -> None:
    asked = eventually(lambda: vm.runtime.question)
    (key,) = [one.key for one in asked.choice.choiceInfo if one.label == label]
    vm.AnswerVM(asked.id, key)
