# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of release 1.0.0: one for all datasets of a run, written by the `zfs snapshot` command itself.

    quiesce.vmware_zfs:held_until   seconds since 1970, the last whole second of the hold: a younger snapshot is crash
    quiesce.vmware_zfs:manifest.0   as in record.py, but of version 1: the VMs of all datasets of the run

They stay readable as long as the snapshots live. Only runs that 1.0.0 left unfinished are still settled, by its rules
(runs_v1.py), and only that lowers a record.
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
    """What such a record says; `held`: the snapshot is no younger than the hold."""

    consistency: str
    complete: bool
    held: bool
    vmware_snapshot: str = ""
    vms: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def lower(self, problem: str, vms: Sequence[dict[str, Any]]) -> None:
        """Lower the whole, and those of its VMs, to crash."""
        self.consistency, self.complete = CRASH, False
        self.problems.append(problem)
        for vm in vms:
            vm["level"], vm["reason"] = CRASH, problem

    def properties(self) -> tuple[tuple[str, str], ...]:
        """What a lowered record sets in place of the one before; the empty part ends a manifest that was longer."""
        manifest = {"version": _VERSION, "vmware_snapshot": self.vmware_snapshot}
        parts = [*encode({**manifest, "vms": self.vms, "problems": self.problems}), ""]
        return (
            (PREFIX + "complete", "yes" if self.complete else "no"),
            (PREFIX + "consistency", self.consistency),
            *((f"{PART}{number}", part) for number, part in enumerate(parts)),
        )


def parse(values: Mapping[str, str], as_written: bool = False) -> RecordV1:
    """The record in a snapshot's own properties, with its `creation`.

    What cannot be understood counts as crash, and so does a snapshot that is younger than the hold, unless it is
    wanted `as_written`.
    """
    held = was_held(values)
    said = RecordV1(values.get(PREFIX + "consistency", ""), values.get(PREFIX + "complete") == "yes", held)
    try:
        manifest = decode("".join(parts_in(values)), versions=(_VERSION,))
        said.vmware_snapshot, said.vms, said.problems = (
            manifest[key] for key in ("vmware_snapshot", "vms", "problems")
        )
    except DAMAGED:
        said.lower("the manifest of the snapshot is damaged", ())
    if said.consistency not in LEVELS:
        said.lower("the record of the snapshot is damaged", said.vms)
    if not held and not as_written:
        said.lower(_TOO_LATE, said.vms)
    return said


def was_held(values: Mapping[str, str]) -> bool:
    """Whether the snapshot is no younger than its hold, by its own properties."""
    held_until, creation = values.get(HELD_UNTIL, ""), values.get("creation", "")
    return held_until.isdecimal() and creation.isdecimal() and int(creation) <= int(held_until)
