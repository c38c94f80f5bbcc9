# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads records of release 1.0.0, which the `zfs snapshot` command wrote: one record for all datasets of a run.

    quiesce.vmware_zfs:held_until   seconds since 1970, the last full second of the hold; a later snapshot is crash
    quiesce.vmware_zfs:manifest.0   as in record.py, but version 1: the VMs of all datasets of the run

They remain readable as long as the snapshots exist. Recovery completes runs that release 1.0.0 left unfinished by the
rules of 1.0.0 (runs_v1.py). Only this can reduce a record to crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from .levels import CRASH, LEVELS
from .manifest import DAMAGED, PART, PREFIX, decode, encode, parts_in

HELD_UNTIL = PREFIX + "held_until"
_VERSION = 1
_TOO_LATE = "the snapshot was taken after its VMs had been released"


@dataclass
class RecordV1:
    """The content of such a record. `held`: the snapshot was not taken after the hold."""

    consistency: str
    complete: bool
    held: bool
    vmware_snapshot: str = ""
    vms: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lower(self, problem: str, vms: Sequence[dict[str, Any]]) -> None:
        """Set the record and the given VMs to crash."""
        self.consistency, self.complete = CRASH, False
        self.problems.append(problem)
        for vm in vms:
            vm["level"], vm["reason"] = CRASH, problem

    def properties(self) -> tuple[tuple[str, str], ...]:
        """Return the properties to write for a changed record. An empty part marks the end of the manifest."""
        manifest = {"version": _VERSION, "vmware_snapshot": self.vmware_snapshot}
        parts = [*encode({**manifest, "vms": self.vms, "problems": self.problems}), ""]
        return (
            (PREFIX + "complete", "yes" if self.complete else "no"),
            (PREFIX + "consistency", self.consistency),
            *((f"{PART}{number}", part) for number, part in enumerate(parts)),
        )


def parse(values: Mapping[str, str], as_written: bool = False) -> RecordV1:
    """Parse the record in a snapshot's own properties, which include `creation`.

    A damaged record counts as crash. So does a snapshot that was taken after the hold, unless `as_written`.
    """
    held = was_held(values)
    record = RecordV1(values.get(PREFIX + "consistency", ""), values.get(PREFIX + "complete") == "yes", held)
    try:
        manifest = decode("".join(parts_in(values)), versions=(_VERSION,))
        record.vmware_snapshot, record.vms, record.problems = (
            manifest[key] for key in ("vmware_snapshot", "vms", "problems")
        )
    except DAMAGED:
        record.lower("the manifest of the snapshot is damaged", ())
    if record.consistency not in LEVELS:
        record.lower("the record of the snapshot is damaged", record.vms)
    if not held and not as_written:
        record.lower(_TOO_LATE, record.vms)
    return record


def was_held(values: Mapping[str, str]) -> bool:
    """Return whether the snapshot was taken during its hold, according to its own properties."""
    held_until, creation = values.get(HELD_UNTIL, ""), values.get("creation", "")
    return held_until.isdecimal() and creation.isdecimal() and int(creation) <= int(held_until)
