# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the VM that a restore registered, from the data of a step: by its managed object ID, or by its file."""

from __future__ import annotations

from typing import Any, Mapping

from ..vsphere import inventory, registration, sdk
from ..vsphere.session import Session, understands
from ..vsphere.vm_now import read_now
from ..vsphere.vms import path_of

Data = Mapping[str, Any]


def find(session: Session, data: Data) -> str:
    """Return the VM (managed object ID) of a registration, or "". Without an ID, the path of its file shows it."""
    moid = str(data.get("vm_moid") or "")
    if moid and moid in read_now(session, [moid]):
        return moid
    known = paths(session, data)
    return next(filter(None, (registration.find_by_path(session, data["datacenter_moid"], path) for path in known)), "")


def paths(session: Session, data: Data) -> list[str]:
    """Return the path of the file of the copy, with the name of the datastore then and today."""
    today = datastore_name(session, data["datastore_moid"])
    renamed = [f"[{inventory.escape(today)}] {path_of(data['vmx_path'])}"] if today else []
    return list(dict.fromkeys([data["vmx_path"], *renamed]))


@understands
def datastore_name(session: Session, moid: str) -> str:
    datastore = session.managed_object(sdk.vim.Datastore, moid)
    found = inventory.read(session, [datastore], ["name"], "read the name of a datastore").get(moid, {})
    return inventory.unescape(found.get("name", ""))
