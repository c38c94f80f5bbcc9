# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vCenter beside the storage host for docs/start/lab.md: start it, and deploy, list and remove its VMs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Iterator, Sequence

from ..collection_path import collections_path
from . import failing
from .hypervisor.host import Hypervisor, HypervisorError
from .link import HYPERVISOR
from .places import BUILD, LabError, default_lab_name
from .saved_state import free_port
from .simulator import Simulator, SimulatorError, end_stray
from .storage_host import StorageHost

INVENTORY: dict[str, Any] = {"datacenters": ["DC0"], "datastores": [{"name": "local", "type": "local"}]}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def folder(lab: StorageHost) -> Path:
    return BUILD / ("lab" if lab.name == default_lab_name() else f"lab-{lab.name}")


def vcenter_folder(lab: StorageHost) -> Path:
    return BUILD / "vcenter" / lab.name  # not in the folder of the storage hosts, where it would be listed as one


# ---- The vCenter


def start(lab: StorageHost) -> tuple[Simulator, Path]:
    """Start a new vCenter without NFS datastores and write the inventory. It runs until `end`."""
    if not lab.running():
        raise LabError("No storage host runs; start one with `tests/lab/lab up`")
    end(lab)
    simulator = Simulator.start(
        INVENTORY,
        directory=vcenter_folder(lab),
        create_seconds=1.0,
        remove_seconds=1.0,
        detached=True,
        hypervisor=free_port(),  # the hypervisor starts when the first real VM is deployed
    )
    collections_path()
    return simulator, write_inventory(lab, simulator)


def write_inventory(lab: StorageHost, simulator: Simulator) -> Path:
    """Write the inventory with the storage host, and with the vCenter as variables. Each start of the host needs it."""
    variables = {
        "vcenter_hostname": "10.0.2.2",  # the loopback address of this machine in the guest
        "vcenter_port": simulator.port,
        "vcenter_username": simulator.user,
        "vcenter_password": simulator.password,  # the password of a simulator is not secret
        "vcenter_thumbprint": simulator.thumbprint,
    }
    inventory = folder(lab) / "inventory.yml"
    inventory.parent.mkdir(parents=True, exist_ok=True)
    groups = {"storage": {"hosts": {"storage01": lab.inventory()}, "vars": variables}}
    inventory.write_text(json.dumps(groups, indent=2) + "\n")  # JSON is YAML
    return inventory


def attached(lab: StorageHost) -> Simulator:
    """Return the running vCenter of the lab."""
    try:
        return Simulator.attach(vcenter_folder(lab))
    except SimulatorError:
        raise LabError("No vCenter runs; start one with `tests/lab/lab vcenter`") from None


def refresh(lab: StorageHost) -> None:
    """Write the inventory again if there is a vCenter: a storage host that has booted again has other ports."""
    try:
        simulator = attached(lab)
    except LabError:
        return
    write_inventory(lab, simulator)


def end(lab: StorageHost) -> None:
    """Stop the vCenter of the lab and its hypervisor, if they are running."""
    end_stray(vcenter_folder(lab))
    failing.forget(vcenter_folder(lab))
    Hypervisor(lab).down()


# ---- Its VMs


def machine(simulator: Simulator, name: str) -> dict[str, Any]:
    """Return what the vCenter knows about a VM."""
    for found in simulator.machines():
        if found["name"] == name:
            return found
    raise LabError(f"There is no VM {name}; `tests/lab/lab vms` lists the VMs")


def deploy(
    lab: StorageHost,
    datastore: str,
    names: Sequence[str],
    *,
    tools: bool = True,
    on: bool = True,
    windows: bool = False,
    real: bool = False,
) -> None:
    """Put VMs on a datastore. Real VMs have disks and files; the hypervisor starts with the first one."""
    simulator = attached(lab)
    _check(simulator, datastore, names)
    if real:
        _check_real(simulator, datastore)
        _start_hypervisor(lab, simulator)
    one = {
        "tools": "running" if tools else "not_installed",
        "power": "on" if on else "off",
        "guest": "windows" if windows else "linux",
        "real": real,
    }
    try:
        simulator.deploy(datastore, *({"name": name, **one} for name in names))
    except SimulatorError as error:
        problem = str(error).removeprefix("POST deploy: ")
        hint = f"; share it with {HYPERVISOR}, the hypervisor, with root access" if "be mounted" in problem else ""
        raise LabError(f"The VMs cannot be deployed: {problem}{hint}") from None


def _check(simulator: Simulator, datastore: str, names: Sequence[str]) -> None:
    mounted = {mount["datastore"] for host in simulator.hosts() for mount in host["mounts"]}
    if datastore not in mounted:
        raise LabError(
            f"No host mounts a datastore {datastore} (there is {', '.join(sorted(mounted))}); mount it with the role "
            "nfs_datastore, as docs/start/lab.md shows"
        )
    taken = {found["name"] for found in simulator.machines()}
    for name in names:
        if not _NAME.fullmatch(name):
            raise LabError(f"{name!r} cannot be the name of a VM; use letters, digits, dots, dashes and underscores")
        if name in taken:
            raise LabError(f"There is a VM {name} already; use another name, or `tests/lab/lab undeploy {name}` first")
        taken.add(name)


def _check_real(simulator: Simulator, datastore: str) -> None:
    paths = [
        mount.get("path") for host in simulator.hosts() for mount in host["mounts"] if mount["datastore"] == datastore
    ]
    if not any(paths):
        raise LabError(
            f"The datastore {datastore} is not an NFS share, so it cannot have real VMs; use another datastore"
        )


def _start_hypervisor(lab: StorageHost, simulator: Simulator) -> None:
    hypervisor = Hypervisor(lab)
    if not hypervisor.running():
        hypervisor.up(simulator.hypervisor_port)


def undeploy(lab: StorageHost, names: Sequence[str]) -> None:
    """Power off VMs, remove them from the vCenter, and delete their files."""
    simulator = attached(lab)
    for found in [machine(simulator, name) for name in names]:
        failing.end(lab, simulator, found)
        if found["power"] == "on" and (not found["real"] or Hypervisor(lab).running()):
            simulator.vm(re.escape(found["name"]), power="off")
        simulator.unregister(re.escape(found["name"]))
        if found["real"]:
            _delete(lab, simulator, found)


def _delete(lab: StorageHost, simulator: Simulator, found: dict[str, Any]) -> None:
    """Remove a VM from the hypervisor, and its folder from the datastore."""
    if Hypervisor(lab).running():
        try:
            Hypervisor(lab).call("unregister", vmx=found["vmx"])
        except HypervisorError as error:
            if error.kind != "ManagedObjectNotFound":
                raise
    mounts = [mount for host in simulator.hosts() for mount in host["mounts"]]
    path = next(mount["path"] for mount in mounts if mount["datastore"] == found["datastore"])
    lab.ssh(["rm", "-rf", "--", f"{path}/{directory(found)}"])


def directory(found: dict[str, Any]) -> str:
    """Return the folder of a VM in its datastore."""
    return str(found["vmx"]).partition("] ")[2].partition("/")[0]


def vms(lab: StorageHost) -> list[dict[str, Any]]:
    """Return the VMs of the vCenter, with their VMware snapshots and how they fail."""
    fails = failing.kinds(vcenter_folder(lab))
    keys = ("name", "datastore", "power", "tools", "windows", "real", "consolidation_needed")
    return [
        {
            **{key: found[key] for key in keys},
            "snapshots": list(_names(found["snapshots"])),
            "fails": fails.get(found["name"], ""),
        }
        for found in attached(lab).machines()
    ]


def _names(trees: Sequence[dict[str, Any]]) -> Iterator[str]:
    for tree in trees:
        yield tree["name"]
        yield from _names(tree.get("children", []))
