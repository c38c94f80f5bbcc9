# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test servers that offer only old or new versions of the vSphere API, with the oldest and the newest pyVmomi."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.python_environments import library
from tests.lab.simulator import Simulator

from .conftest import StartVcenter
from .scene import nfs

SERVERS = {"only 6.5": ("6.5", "6.5"), "only 9": ("9.0.0.0", "9.0.0.0"), "6.5 to 9": ("6.5", "9.0.0.0")}
OLDEST, NEWEST = "8.0.3.0.1", ""  # of pyVmomi; the newest is in the development environment
OUTDATED = (
    "offers only vSphere API 9.0.0.0, and the Python library pyVmomi on this host knows only vSphere API 6.5 to "
    f"8.0.3.0; update it with '{sys.executable} -m pip install --upgrade pyVmomi'."
)

# Log in, list the VMs, read their labels, create a VMware snapshot and remove it. Print the version and the messages.
SCRIPT = """
import json, sys
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import QuiesceError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import (
    datastores, session as sessions, tasks, vm_labels, vm_snapshots, vm_watch)

def end(session, task):
    waiter = tasks.TaskWaiter(session)
    waiter.watch(task)
    while not (ends := waiter.wait(5)):
        pass
    assert ends[0].error is None, ends[0].error
    return ends[0].result

def use(server):
    endpoint = sessions.Endpoint(server["host"], server["port"], ca_path=server["ca_path"])
    with sessions.connect(endpoint, server["user"], Secret(server["password"])) as session:
        moids = [one.moid for one in datastores.list_datastores(session)]
        watch = vm_watch.VmWatch(session, moids, vm_labels.paths_of(vm_labels.KINDS))
        (vm,) = watch.vms()
        labels = vm_labels.read_labels(session, watch.properties(), vm_labels.KINDS)[vm.moid]
        assert (vm.name, labels.folder, labels.tags) == ("web", "/DC0/vm/prod", {("Tier", "1")}), labels
        snapshot = end(session, vm_snapshots.start_create(session, vm.moid, "test", "", True, 60.0))
        assert vm_snapshots.states(session, [vm.moid])[vm.moid].named("test")[0].quiesced
        end(session, vm_snapshots.start_remove(session, snapshot))
        return session.stub.version

for server in json.load(sys.stdin):
    try:
        print(use(server))
    except QuiesceError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("pyvmomi", "ends"),
    [
        (OLDEST, ["vim.version.version11", OUTDATED, "vim.version.version11"]),
        (NEWEST, ["vim.version.version11", "vim.version.v9_0_0_0", "vim.version.version11"]),
    ],
    ids=["oldest pyVmomi", "newest pyVmomi"],
)
def test_old_and_new_servers(start_vcenter: StartVcenter, pyvmomi: str, ends: list[str]) -> None:
    web = nfs("vmware", "tank/vmware", {"name": "web", "folder": "prod", "tags": {"Tier": ["1"]}})
    servers = [start_vcenter(web, api_version=newest, oldest_api_version=oldest) for oldest, newest in SERVERS.values()]
    told = use(servers, library(f"pyVmomi=={pyvmomi}") if pyvmomi else None)
    assert [line.removeprefix(f"{server.host}:{server.port} ") for line, server in zip(told, servers)] == ends
    for server in servers:
        assert server.snapshots() == {"web": []} and server.stats()["calls"]["VersionFile"] == 1


def use(servers: list[Simulator], hiding: Path | None) -> list[str]:
    """Use the servers in a process of its own, because a process can load only one pyVmomi."""
    places = [
        {
            "host": one.host, "port": one.port, "ca_path": str(one.ca_path),
            "user": one.user, "password": one.password,
        }
        for one in servers
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*([str(hiding)] if hiding else []), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(places), capture_output=True, text=True, check=False, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_versions_below_6_5(start_vcenter: StartVcenter) -> None:
    servers = [start_vcenter(api_version="6.0", oldest_api_version="6.0", esxi=esxi) for esxi in (False, True)]
    assert use(servers, None) == [
        f"{server.host}:{server.port} offers only vSphere API 6.0, and this release of the collection supports 6.5 to "
        "9; update the server."
        for server in servers
    ]
    assert [server.stats()["calls"] for server in servers] == [{"VersionFile": 1}] * 2


def test_broken_version_files(start_vcenter: StartVcenter) -> None:
    web = nfs("vmware", "tank/vmware", {"name": "web", "folder": "prod", "tags": {"Tier": ["1"]}})
    rules: dict[str, dict[str, object]] = {
        "http_status": {"status": 404}, "malformed": {"message": "<html>"}, "endless": {}, "truncated": {},
        "drop_before": {},
    }  # fmt: skip
    servers = [start_vcenter(web) for _rule in rules]
    for server, (effect, options) in zip(servers, rules.items()):
        server.rule(method="VersionFile", effect=effect, **options)
    *served, unreachable = use(servers, None)
    assert served == ["vim.version.version11"] * 4
    assert "could not be reached to log in" in unreachable
