# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a vCenter next to the storage host for docs/start/lab.md, and write an inventory with both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

from ..collection_path import collections_path
from .places import BUILD, LabError, default_lab_name
from .simulator import RECORD, Simulator, end_stray
from .storage_host import StorageHost

INVENTORY: dict[str, Any] = {"datacenters": ["DC0"], "datastores": [{"name": "local", "type": "local"}]}


def folder(lab: StorageHost) -> Path:
    return BUILD / ("lab" if lab.name == default_lab_name() else f"lab-{lab.name}")


def vcenter_folder(lab: StorageHost) -> Path:
    return BUILD / "vcenter" / lab.name  # not in the folder of the storage hosts, where it would be listed as one


def start(lab: StorageHost) -> tuple[Simulator, Path]:
    """Start a new vCenter without NFS datastores and write the inventory. It runs until `end`."""
    if not lab.running():
        raise LabError("No storage host runs; start one with `tests/lab/lab up`")
    end(lab)
    simulator = Simulator.start(
        INVENTORY, directory=vcenter_folder(lab), create_seconds=1.0, remove_seconds=1.0, detached=True
    )
    collections_path()
    variables = {
        "vcenter_hostname": "10.0.2.2",  # the loopback address of this machine in the guest
        "vcenter_port": simulator.port,
        "vcenter_username": simulator.user,
        "vcenter_password": simulator.password,  # the password of a simulator is not secret
        "vcenter_thumbprint": simulator.thumbprint,
    }
    inventory = folder(lab) / "inventory.yml"
    groups = {"storage": {"hosts": {"storage01": lab.inventory()}, "vars": variables}}
    inventory.write_text(json.dumps(groups, indent=2) + "\n")  # JSON is YAML
    return simulator, inventory


def deploy(lab: StorageHost, datastore: str, names: Sequence[str], tools: bool = True) -> None:
    """Put running VMs on a datastore."""
    if not (vcenter_folder(lab) / RECORD).exists():
        raise LabError("No vCenter runs; start one with `tests/lab/lab vcenter`")
    Simulator.attach(vcenter_folder(lab)).deploy(
        datastore, *({"name": name, "tools": "running" if tools else "not_installed"} for name in names)
    )


def end(lab: StorageHost) -> None:
    """Stop the vCenter of the lab if it is running."""
    end_stray(vcenter_folder(lab))
