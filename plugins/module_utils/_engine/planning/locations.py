# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locations of the files of VMs: names of datasets, or "the datastore X" for one on no dataset of this host."""

from __future__ import annotations

from typing import Mapping

from ..matching.match import Match, disk_datasets
from ..text import printable
from ..vsphere.vms import Disk, Vm, datastore_of
from .server_logins import ServerLogin


def locations_of_file(datastore_moid: str, path: str, matches: Mapping[str, Match]) -> set[str]:
    """Return the location of a file on a datastore."""
    match = matches.get(datastore_moid)
    name = printable(match.datastore.name if match else datastore_moid or "of unknown type", 80)
    return set(disk_datasets(match, path) if match else ()) or {f"the datastore {name}"}


def locations_of_disk(disk: Disk, matches: Mapping[str, Match]) -> set[str]:
    """Return the locations of the files of a disk."""
    locations: set[str] = set()
    for datastore_moid, path in disk.files:
        locations |= locations_of_file(datastore_moid, path, matches)
    return locations


def locations_of_path(path: str, vm: Vm, login: ServerLogin) -> set[str]:
    """Return the locations of a path of the VM that starts with a datastore: "[datastore] folder/file"."""
    return set().union(*(locations_of_file(moid, path, login.matches) for moid in _datastores_of_path(path, vm, login)))


def locations_of_vm(vm: Vm, login: ServerLogin) -> set[str]:
    """Return the locations of all files of the VM: .vmx, disks with their parents, snapshot, delta and swap files.

    An image in a virtual CD or floppy drive does not count as a file of the VM. If the VM has other files on a
    datastore, such as a relocated swap file, they may be on any dataset of that datastore.
    """
    locations = set().union(*(locations_of_disk(disk, login.matches) for disk in vm.disks))
    known = {datastore_moid for disk in vm.disks for datastore_moid, _unused in disk.files} | vm.images
    for path in filter(None, (vm.vmx_path, vm.snapshot_directory)):
        known |= _datastores_of_path(path, vm, login)
        locations |= locations_of_path(path, vm, login)
    for moid in vm.datastores - known:
        if moid in login.matches:
            locations.update(login.matches[moid].datasets)
    return locations


def _datastores_of_path(path: str, vm: Vm, login: ServerLogin) -> set[str]:
    """Return the datastores (managed object IDs) that the path may mean: two datacenters may use the same name."""
    named = login.datastores_named(datastore_of(path))
    return named & vm.datastores or named
