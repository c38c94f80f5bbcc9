# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vCenter beside the storage host for a person who follows docs/start/lab.md, and an inventory that names both."""

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


def _vcenter(lab: StorageHost) -> Path:
    return BUILD / "vcenter" / lab.name  # not among the storage hosts: what lies there is shown as one


def start(lab: StorageHost) -> tuple[Simulator, Path]:
    """A new vCenter without any NFS datastore, and the inventory. It stays until `end`."""
    if not lab.running():
        raise LabError("No storage host runs; start one with `tests/lab/lab up`")
    end(lab)
    simulator = Simulator.start(
        INVENTORY, directory=_vcenter(lab), create_seconds=1.0, remove_seconds=1.0, detached=True
    )
    collections_path()
    variables = {
        "vcenter_hostname": "10.0.2.2",  # where the guest finds this machine's loopback
        "vcenter_port": simulator.port,
        "vcenter_username": simulator.user,
        "vcenter_password": simulator.password,  # of a simulator: known to everybody
        "vcenter_thumbprint": simulator.thumbprint,
    }
    inventory = folder(lab) / "inventory.yml"
    groups = {"storage": {"hosts": {"storage01": lab.inventory()}, "vars": variables}}
    inventory.write_text(json.dumps(groups, indent=2) + "\n")  # JSON is YAML
    return simulator, inventory


def deploy(lab: StorageHost, datastore: str, names: Sequence[str]) -> None:
    """Put running VMs on a datastore."""
    if not (_vcenter(lab) / RECORD).exists():
        raise LabError("No vCenter runs; start one with `tests/lab/lab vcenter`")
    Simulator.attach(_vcenter(lab)).deploy(datastore, *({"name": name} for name in names))


def end(lab: StorageHost) -> None:
    """End the lab's vCenter, if there is one."""
    end_stray(_vcenter(lab))
