# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of scenarios, with the lab's simulator in place of vSphere: what passes here and with the fake shows that
the fake is not kinder. ZFS is in memory in both, so that no storage host is needed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import vm_snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import list_datastores
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    connect,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.tasks import TaskWaiter
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import list_vms
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.model import (
    NFS_SERVER,
    REMOVE,
    Expected,
    Scenario,
    nfs,
    rule,
    vm,
)
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.play import Stage, play
from ansible_collections.quiesce.vmware_zfs.tests.scenarios.table import SCENARIOS
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes import vsphere
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.vsphere import Vcenter

from tests.lab.simulator import Simulator


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, tmp_path: Path) -> None:
    def start(number: int, config: Mapping[str, Any]) -> Simulator:
        folder = tmp_path / f"vcenter-{number}"
        return Simulator.start(dict(config), directory=folder, create_seconds=0.05, remove_seconds=0.05)

    play(scenario, start, connect, tmp_path)


def test_a_vm_whose_removal_fails_run_after_run_has_one_of_ours(tmp_path: Path) -> None:
    def start(number: int, config: Mapping[str, Any]) -> Simulator:
        return Simulator.start(dict(config), directory=tmp_path, create_seconds=0.05, remove_seconds=0.05)

    locked = rule("task_fault", REMOVE, "web", fault="FileLocked")
    scenario = Scenario("locked", ((nfs(vm("app"), vm("web")),),), Expected(), rules=(locked,))
    with Stage(scenario, start, connect, tmp_path / "engine") as stage:
        stage.run()
        outcome = stage.run("two")
        assert outcome.error is None and len(outcome.there) == 1
        assert {one["name"]: one["level"] for one in outcome.result["vms"]} == {"app": "filesystem", "web": "crash"}
        stage.servers[0].clear_rules()
        assert stage.run("three").result["consistency"] == "filesystem"


def test_the_fake_shows_the_same(tmp_path: Path) -> None:
    """Read the same VMs and datastores with the engine, before and after a snapshot and some changes."""
    vms = [
        {"name": "web", "snapshots": 2, "disks": [{}, {"datastore": "san"}, {"kind": "independent_persistent"}]},
        {"name": "db", "guest": "windows"},
        {"name": "vss", "guest": "windows", "vss": False},
        {"name": "mute", "tools": "not_installed"},
        {"name": "off", "power": "off"},
        {"name": "asleep", "power": "suspended"},
        {"name": "golden", "template": True},
        {"name": "gpu", "pci_passthrough": True},
        {"name": "cd", "vmx": "san", "iso": "nfs", "disks": [{"datastore": "san"}]},
    ]
    config = {
        "datastores": [
            {"name": "nfs", "server": NFS_SERVER, "path": "/tank/vmware", "vms": vms},
            {"name": "san", "type": "local", "vms": []},
        ]
    }
    with Simulator.start(config, directory=tmp_path, create_seconds=0.05, remove_seconds=0.05) as simulator:
        fake = Vcenter(config)
        endpoint = Endpoint(simulator.host, simulator.port, ca_path=str(simulator.ca_path))
        real = connect(endpoint, simulator.user, Secret(simulator.password))
        faked = vsphere.connect(fake.endpoint, fake.user, Secret(fake.password))
        with real, faked:
            assert real.content.sessionManager.currentSession.locale == fake.locales[0] == "en_US"
            assert _shown(faked) == _shown(real)
            for session in (real, faked):
                _snapshot(session, "web", "db", "vss", "mute", "off")
            assert _shown(faked) == _shown(real)
            for server in (simulator, fake):
                server.vm("web", disks=[{"datastore": "san"}], vmx="san")
                server.vm("off", power="on")
                server.unregister("golden")
            assert _shown(faked) == _shown(real)
        fake.stop()


def _shown(session: Session) -> list[Any]:
    """Return the engine's view of all VMs, with names instead of managed object IDs."""
    datastores = list_datastores(session)
    names = {one.moid: one.name for one in datastores}
    vms = list_vms(session, list(names))
    states = vm_snapshots.states(session, [vm.moid for vm in vms])
    return [
        [replace(one, moid="", vcenter="") for one in datastores],
        [
            replace(
                vm,
                moid="",
                instance_uuid="",
                host_moid="",
                disks=tuple(
                    replace(disk, files=tuple((names[moid], path) for moid, path in disk.files)) for disk in vm.disks
                ),
                datastores=frozenset(names[moid] for moid in vm.datastores),
            )
            for vm in vms
        ],
        [
            replace(
                states[vm.moid],
                instance_uuid="",
                snapshots=tuple(replace(one, moid="") for one in states[vm.moid].snapshots),
            )
            for vm in vms
        ],
    ]


def _snapshot(session: Session, *names: str) -> None:
    """Take a quiesced snapshot of each VM."""
    waiter = TaskWaiter(session)
    moids = {vm.name: vm.moid for vm in list_vms(session, [one.moid for one in list_datastores(session)])}
    for name in names:
        waiter.watch(vm_snapshots.start_create(session, moids[name], "one", "by a test", True, 60.0))
    ended = 0
    while ended < len(names):
        ended += len(waiter.wait(10))
    waiter.close()
