# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the VMs of a restore in a ZFS snapshot: their files, and what the record says about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

from ..errors import InputError, QuiesceError
from ..records import record
from ..records.levels import CRASH
from ..records.record import Record
from ..storage_host.mounts import mount_table
from ..text import printable, similar
from ..vsphere.vms import path_of
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset
from ..zfs.names import SnapshotName, is_within
from .contents import FoundVm, contents_of, folder_of
from .point_vms import PointVm, of_files, of_record

_LOST = "the VMware snapshot of the run is not in its files, so it cannot be reverted to it"


@dataclass(frozen=True)
class Source:
    """A VM in a ZFS snapshot.

    `snapshot` is the one with its configuration, on a dataset that is mounted at `mountpoint`. `level` and `reason` are
    those of the record, or `unknown` without one. `vmware_snapshot` is the exact name of the VMware snapshot to revert
    to, or "". `datasets` are those with files of the VM, as far as the record says.
    """

    name: str
    snapshot: SnapshotName
    mountpoint: str
    vm: FoundVm
    level: str
    reason: str
    vmware_snapshot: str = ""
    instance_uuid: str = ""
    datasets: tuple[str, ...] = ()


def find_sources(zfs: Zfs, snapshot: SnapshotName, wanted: Sequence[str], datasets: Sequence[Dataset]) -> list[Source]:
    """Return the VMs with the names, instance UUIDs or .vmx paths `wanted`, in this order.

    Looks in the dataset of the snapshot and in its children that have a snapshot of the same name. `datasets` are all
    of the pool. Raises InputError if the snapshot or a VM does not exist, or if a name is ambiguous.
    """
    found, problems = all_sources(zfs, snapshot, datasets)
    return [_named(found, name, snapshot, problems) for name in wanted]


def all_sources(zfs: Zfs, snapshot: SnapshotName, datasets: Sequence[Dataset]) -> tuple[list[Source], list[str]]:
    """Return all VMs in the snapshot of a dataset and its children, and sentences about what could not be read.

    Raises InputError if the snapshot does not exist.
    """
    existing = snapshots_below(zfs, snapshot, datasets)
    records = record.read(zfs, existing)
    mounts = mount_table(zfs.host)
    found: list[Source] = []
    problems: list[str] = []
    known = {dataset.name: dataset for dataset in datasets}
    for own in map(SnapshotName.of, existing):
        try:
            mountpoint = folder_of(known[own.dataset], mounts)
        except QuiesceError as error:
            problems.append(str(error))
            continue
        contents = contents_of(zfs.host, mountpoint, own)
        problems += contents.problems
        found += [_source(vm, own, mountpoint, records.get(str(own))) for vm in contents.vms]
    return found, problems


def snapshots_below(zfs: Zfs, snapshot: SnapshotName, datasets: Sequence[Dataset]) -> list[str]:
    """Return the ZFS snapshots of this name of its dataset and of the file systems below it, parents first.

    `datasets` are all of the pool. Raises InputError if the snapshot itself does not exist.
    """
    below = [one for one in datasets if is_within(one.name, snapshot.dataset) and one.kind == "filesystem"]
    names = [str(SnapshotName(one.name, snapshot.name)) for one in below]
    existing = snapshots.existing(zfs, names) if names else []
    if str(snapshot) not in existing:
        raise InputError(
            f"The ZFS snapshot {snapshot} does not exist", f"List them with 'vmware-zfs points {snapshot.dataset}'"
        )
    return [name for name in names if name in existing]


def _source(vm: FoundVm, snapshot: SnapshotName, mountpoint: str, recorded: Record | None) -> Source:
    ours = vm.made_for(snapshot, recorded.run if recorded else "")
    sealed = recorded if recorded is not None and recorded.sealed else None
    entry = _entry(vm, of_record(sealed, snapshot.dataset)) if sealed is not None else None
    entry = entry or of_files([vm], snapshot, None if sealed else recorded)[0]
    found = Source(
        entry.name or vm.configuration.name,
        snapshot,
        mountpoint,
        vm,
        entry.level,
        entry.reason,
        vmware_snapshot=ours.name if ours else "",
        instance_uuid=entry.instance_uuid,
        datasets=entry.datasets,
    )
    return replace(found, level=CRASH, reason=_LOST) if entry.revert_to and ours is None else found


def _entry(vm: FoundVm, recorded: Sequence[PointVm]) -> PointVm | None:
    """Return the VM in a valid record: the one with this configuration, whatever its name is now."""
    same = [one for one in recorded if _ends_with(path_of(one.vmx_path), vm.path)]
    by_id = [one for one in same if one.instance_uuid == vm.configuration.vc_uuid]
    return next(iter(by_id or (same if len(same) == 1 else ())), None)


def _ends_with(path: str, end: str) -> bool:
    """Return whether a path on a datastore is this path of a dataset, or the reverse."""
    one, other = path.strip("/").split("/"), end.strip("/").split("/")
    shorter = min(len(one), len(other))
    return one[-shorter:] == other[-shorter:]


def _named(found: Sequence[Source], name: str, snapshot: SnapshotName, problems: Sequence[str]) -> Source:
    matching = [one for one in found if name in (one.name, one.vm.configuration.name)]
    matching = matching or [one for one in found if name in (one.instance_uuid, one.vm.path)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        folders = ", ".join(printable(one.vm.path, 80) for one in matching)
        raise InputError(
            f"{snapshot} has {len(matching)} VMs named '{printable(name, 80)}' ({folders})",
            "Give the path of its configuration instead of the name",
        )
    raise InputError(
        f"{snapshot} has no VM named '{printable(name, 80)}'"
        + "".join(f"; {problem.rstrip('.')}" for problem in problems[:3]),
        similar(name, (one.name for one in found)) or f"List its VMs with 'vmware-zfs points {snapshot}'",
    )
