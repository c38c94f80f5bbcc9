# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ZFS snapshots of a run: whether they exist, how to identify them, and the state of their records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from ..errors import QuiesceError, RunFailed
from ..records.levels import lowest, lowest_known
from ..records.record import RUN, Record
from ..text import counted
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.destroy import destroy
from ..zfs.properties import GONE


@dataclass
class RunSnapshots:
    """The ZFS snapshots `names` of a run.

    `record` has the fields that all their records share. `seen`: they existed while the VMs were held. `createtxgs`
    distinguish them from other snapshots with the same name, and are empty until they are read. `records` are the
    records that both looks prove. `unsealed` are the ZFS snapshots whose record could not be written, with the reason.
    `undestroyed` are those that could not be destroyed after the policy forbade them, with the reason; None if nothing
    had to be destroyed. `notes` are sentences for the result.
    """

    record: Record
    names: Sequence[str]
    seen: bool = False
    createtxgs: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    unsealed: dict[str, str] = field(default_factory=dict)
    undestroyed: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def find(self, zfs: Zfs, timeout: float) -> bool:
        """Read the createtxgs. Returns whether all snapshots exist and belong to the run. Waits `timeout` seconds."""
        try:
            self.createtxgs = snapshots.owned(zfs, self.names, RUN, self.record.run, timeout)
        except QuiesceError:
            return False
        return len(self.createtxgs) == len(self.names)

    def destroy(self, zfs: Zfs, timeout: float) -> None:
        """Destroy the snapshots that belong to the run, which their createtxgs identify."""
        try:
            if not self.createtxgs and not self.find(zfs, timeout):
                raise RunFailed("it is unknown which of them belong to this run")
            self.undestroyed = destroy(zfs, self.createtxgs)
        except QuiesceError as error:
            self.undestroyed = dict.fromkeys(self.names, error.problem)

    @property
    def exists(self) -> bool:
        """Whether any of them exists."""
        return self.seen and self.undestroyed != {}

    def _on_disk(self) -> list[Record]:
        """Return the record of each snapshot on disk. An unsealed record means crash."""
        unsealed = Record(self.record.run, self.record.host)
        return [unsealed if name in self.unsealed else self.records.get(name, unsealed) for name in self.names]

    def level(self) -> str | None:
        """Return the lowest level of the records on disk, or None if no snapshot exists."""
        return lowest(one.consistency for one in self._on_disk()) if self.exists else None

    def level_of_required(self) -> str | None:
        """Return the lowest level without excluded VMs and VMs accepted at crash; None if there are no others."""
        return lowest_known(one.required_consistency for one in self._on_disk()) if self.exists else None

    def complete(self) -> bool:
        """Return whether all records on disk are complete."""
        return self.exists and all(one.complete for one in self._on_disk())

    def failure(self) -> RunFailed | None:
        """Return the error for a record that could not be written."""
        if not self.unsealed:
            return None
        name, reason = next(iter(self.unsealed.items()))
        if reason == GONE:
            return RunFailed(
                f"The ZFS snapshot {name} has no record: {reason} before the record was written",
                "Find out which user or tool changed it, and take the snapshot again",
            )
        return RunFailed(
            f"The record of {counted(len(self.unsealed), 'ZFS snapshot')} could not be written, for example of {name}: "
            f"{reason}",
            "It reads as crash until a recovery writes the record; the next run does that, or 'vmware-zfs recover'",
        )

    def what_happened(self, problem: str) -> str:
        """Return the problem of a failed run, with what it means for the ZFS snapshots."""
        if not self.seen:
            return f"No ZFS snapshot was taken: {problem}"
        if self.undestroyed is None:
            return problem
        if not self.undestroyed:
            return f"The ZFS snapshot was destroyed again, because the policy does not allow its record: {problem}"
        name, reason = next(iter(self.undestroyed.items()))
        return f"The policy does not allow the ZFS snapshot {name}, which still exists because {reason}: {problem}"
