# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a restore, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Mapping


@dataclass
class VmRestored:
    """A restored VM.

    `level` and `reason` are those of the record, and `reverted_to` is the VMware snapshot of the run, "" without one.
    `bytes` is the size of the copied files and `shared` whether their blocks were shared; None for a VM on a clone.
    `tools`, `heartbeat` and `address` are what was seen last, "" for a VM that was not powered on. `requests`
    counts those to vSphere. `error` says why the VM was not restored, or not powered on.
    """

    name: str
    restored_name: str
    moid: str = ""
    level: str = ""
    reason: str = ""
    reverted_to: str = ""
    vmx_path: str = ""
    host: str = ""
    replaced: str = ""
    bytes: int | None = None
    shared: bool | None = None
    powered_on: bool = False
    tools: str = ""
    heartbeat: str = ""
    address: str = ""
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    restored: bool = False
    error: str = ""


@dataclass
class RestoreResult:
    """A restore. `datastores` are those of clones: moid, name, dataset and clone. `attached` is the disk at a VM."""

    restore_id: str
    zfs_snapshot: str
    way: str
    vms: list[VmRestored] = field(default_factory=list)
    datastores: list[dict[str, Any]] = field(default_factory=list)
    attached: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> RestoreResult:
        """Return the result that `as_dict` of this or another release returned."""
        known = _known(cls, data)
        return cls(**{**known, "vms": [VmRestored(**_known(VmRestored, vm)) for vm in known.get("vms", ())]})

    def names(self) -> list[str]:
        """Return what is restored, for people: the names of VMs, or the attached disk, or the mounted snapshot."""
        if self.attached is not None:
            return [f"{self.attached['file']} at '{self.attached['vm']}'"]
        return [vm.restored_name for vm in self.vms] or [self.zfs_snapshot]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return asdict(self)


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    return {one.name: data[one.name] for one in fields(kind) if one.name in data}
