# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of a VM, as its .vmsd file lists them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Mapping

from . import settings, volumes
from .errors import Refused


@dataclass(frozen=True)
class Snapshot:
    """`disks` are the disks that the snapshot keeps unchanged, by their nodes. One in the VM's folder has no path."""

    uid: int
    parent: int  # 0: none
    name: str
    description: str
    disks: Mapping[str, str]
    created: int  # microseconds
    quiesced: bool = False

    @property
    def disk(self) -> str:
        """The first disk."""
        return next(iter(self.disks.values()), "")

    def disk_settings(self) -> dict[str, str]:
        """Return the settings of the disks, as a .vmx file has them."""
        return {f"{node}.fileName": name for node, name in self.disks.items()}

    def as_settings(self, place: int) -> dict[str, str]:
        high, low = divmod(self.created, 1 << 32)
        found = {
            "uid": self.uid, "filename": f"Snapshot{self.uid}.vmsn", "displayName": self.name,
            "description": self.description, "createTimeHigh": high, "createTimeLow": low,
            "numDisks": len(self.disks),
        }  # fmt: skip
        for number, (node, name) in enumerate(self.disks.items()):
            found.update({f"disk{number}.fileName": name, f"disk{number}.node": node})
        if self.quiesced:
            found["quiesced"] = "TRUE"
        if self.parent:
            found["parent"] = self.parent
        return {f"snapshot{place}.{key}": str(value) for key, value in found.items()}

    @classmethod
    def from_settings(cls, values: dict[str, str], place: int, folder: Path) -> Snapshot:
        def get(key: str, default: str = "0") -> str:
            return values.get(f"snapshot{place}.{key}", default)

        created = int(get("createTimeHigh")) << 32 | int(get("createTimeLow")) & 0xFFFFFFFF
        name, description = get("displayName", ""), get("description", "")
        numbers = range(int(get("numDisks")))
        files = {get(f"disk{number}.node", ""): get(f"disk{number}.fileName", "") for number in numbers}
        disks = {node: volumes.named(volumes.resolve(folder, name), folder) for node, name in files.items()}
        quiesced = get("quiesced", "FALSE") == "TRUE"
        return cls(int(get("uid")), int(get("parent")), name, description, disks, created, quiesced)


@dataclass
class SnapshotTree:
    """All snapshots, parents before their children. `current` is the parent of the next one, or 0."""

    path: Path
    snapshots: list[Snapshot] = field(default_factory=list)
    current: int = 0
    last_uid: int = 0

    @classmethod
    def read(cls, path: Path) -> SnapshotTree:
        """Return an empty tree if there is no file."""
        values = settings.read(path) if path.exists() else {}
        count = int(values.get("snapshot.numSnapshots", "0"))
        snapshots = [Snapshot.from_settings(values, place, path.parent) for place in range(count)]
        current, last = (int(values.get(f"snapshot.{key}", "0")) for key in ("current", "lastUID"))
        return cls(path, snapshots, current, last)

    def write(self) -> None:
        values = {"snapshot.lastUID": str(self.last_uid), "snapshot.current": str(self.current)}
        for place, snapshot in enumerate(self.snapshots):
            values.update(snapshot.as_settings(place))
        values["snapshot.numSnapshots"] = str(len(self.snapshots))
        settings.write(self.path, values)

    def get(self, uid: int) -> Snapshot:
        for snapshot in self.snapshots:
            if snapshot.uid == uid:
                return snapshot
        raise Refused("ManagedObjectNotFound", f"there is no snapshot {uid} in {self.path}")

    def add(self, name: str, description: str, disks: Mapping[str, str] | str, quiesced: bool = False) -> Snapshot:
        """`disks` are by their nodes. A single name stands for the first disk."""
        if isinstance(disks, str):
            disks = {"scsi0:0": disks}
        self.last_uid += 1
        created = time.time_ns() // 1000
        snapshot = Snapshot(self.last_uid, self.current, name, description, disks, created, quiesced)
        self.snapshots.append(snapshot)
        self.current = snapshot.uid
        return snapshot

    def remove(self, gone: Snapshot) -> None:
        """The children of the snapshot get its parent."""
        left = [snapshot for snapshot in self.snapshots if snapshot.uid != gone.uid]
        self.snapshots = [replace(one, parent=gone.parent) if one.parent == gone.uid else one for one in left]
        if self.current == gone.uid:
            self.current = gone.parent

    def rename_disk(self, old: str, new: str) -> None:
        for place, one in enumerate(self.snapshots):
            renamed = {node: new if name == old else name for node, name in one.disks.items()}
            self.snapshots[place] = replace(one, disks=renamed)

    def keeps(self, disk: str) -> bool:
        """Return whether a snapshot needs this disk."""
        return any(disk in snapshot.disks.values() for snapshot in self.snapshots)

    def as_dict(self) -> dict[str, Any]:
        fields = ("uid", "parent", "name", "description", "disk", "created", "quiesced")
        listed = [{name: getattr(one, name) for name in fields} for one in self.snapshots]
        return {"current": self.current, "snapshots": listed}
