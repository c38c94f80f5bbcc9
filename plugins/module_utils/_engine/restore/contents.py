# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs are in a ZFS snapshot, from their files under .zfs/snapshot. This needs no record.

Everyone with access to the datastore can write such files. Nothing here follows a symbolic link, and a file that cannot
be used affects only its VM. Listing the folder mounts the snapshot for a few minutes; ZFS unmounts it by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable, Iterator, Sequence

from ..door.host import StorageHost
from ..errors import FilesUnreachable, QuiesceError, VmFileDamaged
from ..state.identity import NAME_PREFIX, claimed_origin, snapshot_name
from ..storage_host.mounts import Mount
from ..text import counted, printable, reason_of
from ..zfs.datasets import Dataset
from ..zfs.names import SnapshotName
from .disk_files import Chain, chain_of
from .settings_text import MOST_BYTES, damaged
from .vm_files import (
    CONFIGURATIONS,
    Configuration,
    DiskUse,
    VmSnapshot,
    VmSnapshots,
    parse_configuration,
    parse_snapshots,
)

_MOST_FOLDERS = 10_000  # of a dataset; each VM has one
_MOST_VMS_IN_FOLDER = 100


@dataclass(frozen=True)
class VmDisk:
    """A disk of a VM. Without a `problem`, `chain` has the descriptors of all its files that are in the folder."""

    use: DiskUse
    chain: Chain
    problem: str = ""


@dataclass(frozen=True)
class FoundVm:
    """A VM in a ZFS snapshot. `folder` is relative to the dataset's mountpoint, "" for the mountpoint itself.

    `problems` are sentences about what cannot be read, or would not be in a copy of the folder.
    """

    folder: str
    configuration: Configuration
    snapshots: VmSnapshots
    disks: tuple[VmDisk, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The path of the configuration, relative to the dataset's mountpoint."""
        return self.configuration.file

    def made_for(self, snapshot: SnapshotName, run: str = "") -> VmSnapshot | None:
        """Return the VMware snapshot that this collection made for this ZFS snapshot, or None.

        It has the name of `run`, or its description names the ZFS snapshot. A replica has another dataset name, so only
        the name after the @ counts. A VMware snapshot that an earlier run left behind is not returned: reverting to it
        would bring back older data.
        """
        for one in self.snapshots.named(NAME_PREFIX):
            origin = claimed_origin(one.name, one.description)
            if one.name == snapshot_name(run) or (origin and SnapshotName.of(origin.snapshot).name == snapshot.name):
                return one
        return None


@dataclass(frozen=True)
class Contents:
    """The VMs in a ZFS snapshot, and sentences about what could not be read."""

    vms: tuple[FoundVm, ...] = ()
    problems: tuple[str, ...] = ()


def folder_of(dataset: Dataset, mounts: Sequence[Mount]) -> str:
    """Return where a dataset is mounted. Raises FilesUnreachable."""
    if dataset.kind != "filesystem":
        raise _unreachable(f"{dataset.name} is a volume, and only the hosts that use it can read the files on it")
    own = [mount for mount in mounts if mount.fstype == "zfs" and mount.source == dataset.name and mount.root == "/"]
    visible = next((mount.mountpoint for mount in own if mount.visible), None)
    place = visible or (None if own else dataset.mountpoint)
    if place is None:
        problem = "is hidden by another mount" if own else "is not mounted"
        raise _unreachable(f"{dataset.name} {problem}", f"Mount it with 'zfs mount {dataset.name}'")
    return place


def contents_of(host: StorageHost, mountpoint: str, snapshot: SnapshotName) -> Contents:
    """Return the VMs in a ZFS snapshot of the dataset that is mounted at `mountpoint`.

    Their configurations are in the root of the dataset or in a folder in it.
    """
    root = f"{mountpoint.rstrip('/')}/.zfs/snapshot/{snapshot.name}"
    try:
        if not host.is_folder(root):
            return Contents(problems=(f"{snapshot} cannot be opened at {printable(root)}: {_WHY_NOT}.",))
        root = host.real_path(root)
        names = host.list_folder(root)
    except (OSError, ValueError) as error:
        return Contents(problems=(f"{snapshot} cannot be opened at {printable(root)}: {reason_of(error)}.",))
    problems, vms = [], []
    if len(names) > _MOST_FOLDERS:
        problems.append(f"{snapshot} has more than {_MOST_FOLDERS} files and folders; the others were not read.")
    for folder in ("", *names[:_MOST_FOLDERS]):
        found = list(_vms_in(host, root, folder, names))
        vms += [one for one in found if isinstance(one, FoundVm)]
        problems += [one for one in found if isinstance(one, str)]
    return Contents(tuple(vms), tuple(problems))


_WHY_NOT = "the snapshot was destroyed, or the property snapdir of the dataset is 'disabled'"


def _vms_in(host: StorageHost, root: str, folder: str, at_root: Sequence[str]) -> Iterator[FoundVm | str]:
    """Yield the VMs in a folder of the snapshot, and a sentence for each one that cannot be read."""
    path = _joined(root, folder)
    try:
        if folder and host.real_path(path) != path:
            return  # a symbolic link
        files = host.list_folder(path) if folder else at_root
    except NotADirectoryError:
        return
    except (OSError, ValueError) as error:
        yield f"The folder {printable(folder)} cannot be read: {reason_of(error)}."
        return
    configurations = [name for name in files if name.lower().endswith(CONFIGURATIONS)]
    for name in configurations[:_MOST_VMS_IN_FOLDER]:
        try:
            yield read_vm(host, root, folder, name, files)
        except QuiesceError as error:
            yield str(error)
    if len(configurations) > _MOST_VMS_IN_FOLDER:
        most = counted(_MOST_VMS_IN_FOLDER, "VM")
        yield f"The folder {printable(folder)} has more than {most}; the others were not read."


def read_vm(host: StorageHost, root: str, folder: str, name: str, files: Sequence[str]) -> FoundVm:
    """Read a VM from its files. `name` is its configuration, `files` are the names in `folder`, which is below `root`.

    Raises VmFileDamaged if the configuration cannot be used. Other damage is a problem of the VM.
    """
    text_of = partial(_text, host, root, folder)
    configuration = parse_configuration(text_of(name), _joined(folder, name))
    listed, snapshots, problems = f"{name.rpartition('.')[0]}.vmsd", VmSnapshots(), []
    try:
        if listed in files:
            snapshots = parse_snapshots(text_of(listed), _joined(folder, listed))
    except VmFileDamaged as error:
        problems.append(str(error))
    disks = tuple(_disk(use, text_of) for use in configuration.disks)
    problems += [f"The disk {disk.use.node} cannot be used: {disk.problem}" for disk in disks if disk.problem]
    return FoundVm(folder, configuration, snapshots, disks, tuple(problems))


def _disk(use: DiskUse, text_of: Callable[[str], str]) -> VmDisk:
    try:
        return VmDisk(use, chain_of(use.file, text_of))
    except VmFileDamaged as error:
        return VmDisk(use, Chain(()), str(error))


def _text(host: StorageHost, root: str, folder: str, name: str) -> str:
    """Return the text of a file of a VM. Raises VmFileDamaged."""
    path = _joined(folder, name)
    try:
        return host.read_regular(_joined(root, path), MOST_BYTES)
    except (OSError, ValueError) as error:
        raise damaged(path, reason_of(error)) from error


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and name else folder or name


def _unreachable(problem: str, remedy: str = "") -> FilesUnreachable:
    return FilesUnreachable(f"The VMs in it are not known: {problem}", remedy)
