# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points as plain data, and the search for a VM in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from ..errors import InputError
from ..records.verified import Verified
from ..text import counted, printable, similar, valid_unicode
from ..zfs.names import SnapshotName
from .expiry import Expiry
from .pins import Pins
from .point_vms import PointVm


@dataclass(frozen=True)
class RestorePoint:
    """A ZFS snapshot from which VMs can be restored.

    `creation` is in seconds since 1970, `age` in seconds. `level` is that of the snapshot, or `unknown` without a
    record; `level_text` shows excluded VMs apart. `complete` is None without a record. `vms_known`: `vms` could be
    read. `problems` are sentences about what lowers the level or could not be read. `drilled` is the verdict of the
    last drill, if there was one.
    """

    snapshot: SnapshotName
    creation: int
    age: float
    level: str
    level_text: str
    complete: bool | None
    recorded: bool
    run: str
    vms: tuple[PointVm, ...]
    vms_known: bool
    pins: Pins
    expiry: Expiry
    problems: tuple[str, ...] = ()
    drilled: Verified | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return {
            "snapshot": str(self.snapshot),
            "dataset": self.snapshot.dataset,
            "creation": _local(self.creation),
            "age_seconds": round(self.age),
            "level": self.level,
            "level_text": self.level_text,
            "complete": self.complete,
            "recorded": self.recorded,
            "run_id": self.run,
            "vms": [{**asdict(vm), "datasets": list(vm.datasets), "remarks": list(vm.remarks)} for vm in self.vms],
            "vms_known": self.vms_known,
            "holds": list(self.pins.holds),
            "clones": list(self.pins.clones),
            "restores": list(self.pins.restores),
            "pinned_by": self.pins.texts(),
            "expires": None if self.expiry.at is None else _local(self.expiry.at),
            "expiry": self.expiry.text,
            "verified": None if self.drilled is None else self.drilled.as_dict(),
            "problems": list(self.problems),
        }


@dataclass(frozen=True)
class Points:
    """The restore points of `target`, a dataset or a ZFS snapshot, newest first.

    `not_read` are ZFS snapshots without a sealed record whose files were not read in time. `problems` are sentences
    about datasets whose files cannot be read.
    """

    target: str
    points: tuple[RestorePoint, ...]
    not_read: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        found: dict[str, Any] = valid_unicode(
            {
                "points": [point.as_dict() for point in self.points],
                "not_read": list(self.not_read),
                "problems": list(self.problems),
            }
        )
        return found

    def holding(self, vm: str) -> Points:
        """Return the restore points with the VM that has this name, instance UUID or .vmx path, with its level.

        Raises InputError if none has it, or if two VMs of one of them are called so.
        """
        found = [(point, [one for one in point.vms if one.is_called(vm)]) for point in self.points]
        for point, vms in found:
            if len(vms) > 1:
                raise _twins(point, vm, vms)
        points = tuple(_of_vm(point, vms[0]) for point, vms in found if vms)
        if not points:
            raise self._unknown(vm)
        return replace(self, points=points)

    def _unknown(self, vm: str) -> InputError:
        """Return the error for a VM that no restore point holds, with similar names."""
        if not self.points:
            return InputError(f"{self.target} has no ZFS snapshots", "Check the name with 'zfs list -t snapshot'")
        blind = sum(not point.vms_known for point in self.points)
        unread = f", but the files of {counted(blind, 'ZFS snapshot')} without a record were not read" if blind else ""
        return InputError(
            f"No restore point of {self.target} is known to hold a VM named '{printable(vm, 80)}'{unread}",
            similar(vm, (one.name for point in self.points for one in point.vms))
            or f"List the VMs with 'vmware-zfs points {self.target}'",
        )


def _of_vm(point: RestorePoint, vm: PointVm) -> RestorePoint:
    return replace(point, vms=(vm,), level=vm.level, level_text=vm.level)


def _twins(point: RestorePoint, vm: str, vms: list[PointVm]) -> InputError:
    paths = " and ".join(printable(one.vmx_path, 200) for one in vms)
    return InputError(
        f"{point.snapshot} holds {len(vms)} VMs named '{printable(vm, 80)}': {paths}",
        "Name the VM by the path of its .vmx file instead",
    )


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")
