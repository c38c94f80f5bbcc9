# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ZFS snapshots of a run: whether they were seen, how they are known, and what became of their records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

from ..errors import QuiesceError, RunFailed
from ..records.levels import CRASH, lowest
from ..records.record import RUN, Record
from ..text import counted
from ..zfs import snapshots
from ..zfs.command import Zfs
from ..zfs.destroy import destroy
from ..zfs.properties import GONE


@dataclass
class RunSnapshots:
    """`record` has what the records of all `names` share. `seen`: they were there while the VMs were held.

    `createtxgs` tells equal names apart, and is empty until it is known. `records` are those that both looks allow,
    `unsealed` the ZFS snapshots that do not carry theirs, with why. `left`: the ZFS snapshots that a run that was
    refused could not destroy again, with why; None while none were to be. `notes` are sentences for the result.
    """

    record: Record
    names: Sequence[str]
    seen: bool = False
    createtxgs: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    unsealed: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)

    def find(self, zfs: Zfs, timeout: float) -> bool:
        """Learn the createtxg of each; whether all are there and belong to the run. Waits `timeout` seconds at most."""
        try:
            self.createtxgs = snapshots.owned(zfs, self.names, RUN, self.record.run, timeout)
        except QuiesceError:
            return False
        return len(self.createtxgs) == len(self.names)

    def destroy(self, zfs: Zfs, timeout: float) -> None:
        """Destroy those that are the run's, by their createtxg."""
        try:
            if not self.createtxgs and not self.find(zfs, timeout):
                raise RunFailed("which of them belong to this run could not be read")
            self.left = destroy(zfs, self.createtxgs)
        except QuiesceError as error:
            self.left = dict.fromkeys(self.names, error.problem)

    @property
    def exists(self) -> bool:
        """Whether there is something of it."""
        return self.seen and self.left != {}

    def _on_disk(self) -> list[tuple[str, bool]]:
        """The level of each and whether it is complete; without a seal a record says crash and no."""
        sealed = [self.records.get(name) if name not in self.unsealed else None for name in self.names]
        return [(one.consistency, one.complete) if one is not None else (CRASH, False) for one in sealed]

    def level(self) -> str | None:
        """The level of all of them together, as it is on disk."""
        return lowest(level for level, _unused in self._on_disk()) if self.exists else None

    def complete(self) -> bool:
        """Whether all of them are, as it is on disk."""
        return self.exists and all(complete for _unused, complete in self._on_disk())

    def failure(self) -> RunFailed | None:
        """What to report when a record could not be set."""
        if not self.unsealed:
            return None
        name, reason = next(iter(self.unsealed.items()))
        if reason == GONE:
            return RunFailed(
                f"The ZFS snapshot {name} has no record: {reason} before the record was written",
                "Find out who did that, and run it again",
            )
        return RunFailed(
            f"The record of {counted(len(self.unsealed), 'ZFS snapshot')} could not be written, first of {name}: "
            f"{reason}",
            "It reads as crash until a recovery writes it: the next run does, or 'vmware-zfs recover'",
        )

    def what_happened(self, problem: str) -> str:
        """The problem of a run that failed, with what that means for its ZFS snapshots."""
        if not self.seen:
            return f"No ZFS snapshot was taken: {problem}"
        if self.left is None:
            return problem
        if not self.left:
            return f"The ZFS snapshot was destroyed again, because the policy does not allow its record: {problem}"
        name, reason = next(iter(self.left.items()))
        return f"The policy does not allow the ZFS snapshot {name}, which is still there because {reason}: {problem}"
