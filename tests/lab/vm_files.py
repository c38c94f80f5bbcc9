# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a VM without a hypervisor: with one disk, and with the VMware snapshot of a run."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import (
    NAME_PREFIX,
    StorageHost,
    description,
)

from .hypervisor.inside import descriptors, settings
from .hypervisor.inside.snapshot_tree import SnapshotTree

HOST = StorageHost("nas", "0123456789ab")
SECTORS = 2048


def write(folder: Path, name: str, run: str, zfs_snapshot: str) -> None:
    """Write the text files of a VM to a new folder. The base disk and the delta have no data."""
    folder.mkdir()
    settings.write(
        folder / f"{name}.vmx",
        {"displayName": name, "scsi0.present": "TRUE", "scsi0:0.present": "TRUE",
         "scsi0:0.fileName": f"{name}-000001.vmdk"},
    )  # fmt: skip
    base = descriptors.Descriptor(folder / f"{name}.vmdk", SECTORS, folder / f"{name}-flat.vmdk")
    base.write()
    delta = folder / f"{name}-000001"
    descriptors.Descriptor(delta.with_suffix(".vmdk"), SECTORS, Path(f"{delta}-delta.vmdk"), base.path).write()
    tree = SnapshotTree(folder / f"{name}.vmsd")
    tree.add(NAME_PREFIX + run, description(HOST, run, zfs_snapshot), {"scsi0:0": f"{name}.vmdk"})
    tree.write()
