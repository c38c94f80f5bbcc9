# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What really happened to the VMs, by which records are judged. It does not know the engine."""

from __future__ import annotations

import json
from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEVELS = ("crash", "filesystem", "application", "still")
AGES = 9e18


@dataclass(frozen=True)
class Span:
    """When a ZFS snapshot was taken: not before `begin`, and it was there at `end`. Unix time."""

    begin: float
    end: float


@dataclass(frozen=True)
class Place:
    """Where the files of a VM lie from then on: a dataset, or "" for what is on none. A move began at `begin` and was
    over at `end`; what was so from the start has 0 for both. `disks`: by device key."""

    begin: float
    end: float
    vm: str
    home: str
    disks: Mapping[int, str]

    def datasets(self) -> set[str]:
        return {self.home, *self.disks.values()} - {""}


@dataclass
class Truth:
    """What really happened to the VMs: from the simulator's trace, from who changed their power, and who moved them.

    `trace`: the task entries of the trace, over restarts. `running`: the VMs (by name) that ran from the start.
    `power`: changes since, (when, name, on). `windows`: those whose quiescing reaches applications. `places`: of every
    VM of the lab, and of whoever was moved. `asked`: the level that the policies ask of a VM for a complete record, by
    name; "*" are the others, of which it is filesystem otherwise.
    """

    trace: list[dict[str, Any]]
    running: set[str]
    power: list[tuple[float, str, bool]]
    windows: set[str]
    places: list[Place]
    asked: Mapping[str, str] = field(default_factory=dict)

    def lacking(self, levels: Mapping[str, str]) -> list[str]:
        """The VMs at these levels for which a record must not be complete."""
        asked = {vm: self.asked.get(vm, self.asked.get("*", "filesystem")) for vm in levels}
        return [vm for vm, level in levels.items() if LEVELS.index(level) < LEVELS.index(asked[vm])]

    def level(self, name: str, snapshot: str, span: Span) -> tuple[str, str]:
        """The best that may be said of the VM in a ZFS snapshot of that time, and why."""
        places = self.places_of(name, span)
        if not places:
            return "crash", "nothing is known of it"
        if len(places) > 1:
            return "crash", "its files moved meanwhile"
        if self.off_all_through(name, span):
            return "still", ""
        if not snapshot:
            return "crash", "it ran, and no VMware snapshot is named"
        made, gone = AGES, AGES
        for entry in self.trace:
            if entry.get("snapshot") != snapshot or entry.get("vm_name", name) != name:
                continue
            created = entry["method"].startswith("CreateSnapshot")
            if (
                created
                and entry["event"] in ("finished", "vanished")
                and not entry.get("fault")
                and entry.get("quiesced")
            ):
                made = min(made, entry["time"])
            if entry["method"].startswith("Remove") and entry["event"] == "started":
                gone = min(gone, entry["time"])
        if made > span.begin:
            return "crash", f"{snapshot} was not made and quiesced before {span.begin:.3f} ({made:.3f})"
        if gone < span.end:
            return "crash", f"the removal of {snapshot} began at {gone:.3f}, before {span.end:.3f}"
        return ("application" if name in self.windows else "filesystem"), ""

    def best_level(self, name: str, span: Span) -> str:
        """The best level that any VMware snapshot of the VM bears out for that time."""
        snapshots = {entry.get("snapshot") or "" for entry in self.trace if entry.get("vm_name") == name}
        return max((self.level(name, snapshot, span)[0] for snapshot in {*snapshots, ""}), key=LEVELS.index)

    def places_of(self, name: str, span: Span) -> list[Place]:
        """Where the VM's files lay in that time: more than one place if they moved."""
        mine = sorted((place for place in self.places if place.vm == name), key=lambda place: place.begin)
        first = max((number for number, place in enumerate(mine) if place.end <= span.begin), default=0)
        return [place for place in mine[first:] if place.begin <= span.end]

    def on(self, datasets: Collection[str], span: Span) -> set[str]:
        """The VMs that had files on any of the datasets at any instant of that time."""
        return {
            place.vm
            for vm in {place.vm for place in self.places}
            for place in self.places_of(vm, span)
            if place.datasets().intersection(datasets)
        }

    def off_all_through(self, name: str, span: Span) -> bool:
        on = name in self.running
        for when, who, switched_on in sorted(self.power):
            if who == name and when <= span.begin:
                on = switched_on
            elif who == name and when <= span.end and switched_on:
                return False
        return not on


def read_trace(path: Path, kinds: Container[str] = ("task",), since: float = 0.0) -> list[dict[str, Any]]:
    """The tasks of a trace file; a line that a kill cut short is left out."""
    entries = []
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["kind"] in kinds and entry["time"] >= since:
            entries.append(entry)
    return entries
