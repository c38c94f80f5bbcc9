# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of a restore point, from its record or from its files, in the same form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Sequence

from ..records.record import Record
from ..zfs.names import SnapshotName
from .contents import FoundVm
from .remarks import remarks

UNKNOWN = "unknown"  # the level of a VM if no record says it


@dataclass(frozen=True)
class PointVm:
    """A VM in a ZFS snapshot.

    `vmx_path` is as vSphere shows it, `[vmware] mail/mail.vmx`, or without a record `mail/mail.vmx`. `datasets` are
    those with its files, by the names that they had when the snapshot was taken, or `the datastore X`. `revert_to` is
    the name of the VMware snapshot to revert to before the VM is powered on, or "".
    """

    name: str
    level: str
    reason: str
    vmx_path: str
    datasets: tuple[str, ...]
    revert_to: str
    instance_uuid: str = ""
    server: str = ""
    remarks: tuple[str, ...] = ()

    def is_called(self, wanted: str) -> bool:
        """Return whether `wanted` is the name, the instance UUID or the .vmx path of the VM."""
        return bool(wanted) and wanted in (self.name, self.instance_uuid, *self.paths())

    def paths(self) -> tuple[str, str]:
        """Return the .vmx path with and without the datastore."""
        return self.vmx_path, self.vmx_path.partition("] ")[2] or self.vmx_path


def of_record(record: Record, dataset: str) -> list[PointVm]:
    """Return the VMs in a sealed record. A replica's record is untrusted, so fields may be missing or have any type.

    A record of release 1.0.0 also lists VMs on other datasets of the run; these are left out.
    """
    vms = [_recorded(vm, record.vmware_snapshot) for vm in record.vms]
    if record.version != 1 or not any(dataset in vm.datasets for vm in vms):  # none: a replica with another name
        return vms
    return [vm for vm in vms if not vm.datasets or dataset in vm.datasets]


def of_files(found: Sequence[FoundVm], snapshot: SnapshotName, record: Record | None) -> list[PointVm]:
    """Return VMs that were found by their files. An unsealed record has a level, which is crash, and a run."""
    return [_by_files(vm, snapshot, record) for vm in found]


def _recorded(vm: Mapping[str, Any], vmware_snapshot: str) -> PointVm:
    places = dict.fromkeys((*_places(vm.get("disks")), *_texts(vm.get("spans"))))
    return PointVm(
        name=_text(vm, "name"),
        level=_text(vm, "level"),
        reason=_text(vm, "reason"),
        vmx_path=_text(vm, "vmx_path"),
        datasets=tuple(sorted(places)),
        revert_to=vmware_snapshot if vm.get("vmware_snapshot_moid") else "",
        instance_uuid=_text(vm, "instance_uuid"),
        server=_text(vm, "server"),
    )


def _by_files(vm: FoundVm, snapshot: SnapshotName, record: Record | None) -> PointVm:
    ours = vm.made_for(snapshot, record.run if record else "")
    configuration = vm.configuration
    return PointVm(
        name=configuration.name,
        level=UNKNOWN if record is None else record.consistency,
        reason="it has no record" if record is None else "".join(record.problems[:1]),
        vmx_path=vm.path,
        datasets=(snapshot.dataset,),
        revert_to=ours.name if ours else "",
        instance_uuid=configuration.vc_uuid,
        remarks=tuple(remarks(vm)),
    )


def _places(disks: Any) -> Iterator[str]:
    for disk in disks if isinstance(disks, list) else ():
        if isinstance(disk, dict):
            yield from _texts(disk.get("datasets"))


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _text(vm: Mapping[str, Any], key: str) -> str:
    value = vm.get(key)
    return value if isinstance(value, str) else ""
