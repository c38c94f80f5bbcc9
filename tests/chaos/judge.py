# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: what may be left, what has to be, and what a record may say. It does not know the engine."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEVELS = ("crash", "filesystem", "application", "still")
_AGES = 9e18

Tree = list[dict[str, Any]]


# ---- VMware snapshots


def walk(trees: Tree | None, above: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Every snapshot with the names of those that it hangs under."""
    for tree in trees or ():
        yield tree, above
        yield from walk(tree.get("children"), (*above, tree["name"]))


def is_ours(snapshot: dict[str, Any], hosts: set[str]) -> bool:
    """By the mark that an administrator would read; `hosts` are the ids of this lab's storage hosts."""
    return any(f"[vmware-zfs host={host} run=" in snapshot["description"] for host in hosts)


def left_behind(machines: list[dict[str, Any]], hosts: set[str]) -> list[str]:
    """Our snapshots in the inventory, in words."""
    return [
        f"{snapshot['name']} ({snapshot['moid']}) of {machine['name']} ({machine['moid']})"
        for machine in machines
        for snapshot, _unused in walk(machine["snapshots"])
        if is_ours(snapshot, hosts)
    ]


def foreign(machines: list[dict[str, Any]], hosts: set[str]) -> dict[str, frozenset[str]]:
    """Everybody else's snapshots by name, each with those of the others that it hangs under."""
    found = {}
    for machine in machines:
        ours = {snapshot["name"] for snapshot, _unused in walk(machine["snapshots"]) if is_ours(snapshot, hosts)}
        for snapshot, above in walk(machine["snapshots"]):
            if snapshot["name"] not in ours:
                found[snapshot["name"]] = frozenset(above) - ours
    return found


def foreign_lost(before: dict[str, frozenset[str]], now: dict[str, frozenset[str]]) -> list[str]:
    """Those of `before` that are gone, or hang elsewhere."""
    return [
        f"{name} is gone" if name not in now else f"{name} hangs under {sorted(now[name])} instead of {sorted(above)}"
        for name, above in before.items()
        if now.get(name) != above
    ]


# ---- Consistency records


@dataclass(frozen=True)
class Span:
    """When a ZFS snapshot was taken: not before `begin`, and it was there at `end`. Unix time."""

    begin: float
    end: float


@dataclass
class Truth:
    """What really happened to the VMs of the storage host, from the simulator's trace and from who changed their power.

    `trace`: the task entries of the trace, over restarts. `running`: the VMs (by name) that run on the datasets in
    question. `power`: changes since, (when, name, on). `windows`: those whose quiescing reaches applications.
    """

    trace: list[dict[str, Any]]
    running: set[str]
    all_vms: set[str]
    power: list[tuple[float, str, bool]]
    windows: set[str]

    def level(self, name: str, snapshot: str, span: Span) -> tuple[str, str]:
        """The best that may be said of the VM in a ZFS snapshot of that time, and why."""
        if name not in self.all_vms:
            return "crash", "nothing is known of it"
        if self._off_all_through(name, span):
            return "still", ""
        if not snapshot:
            return "crash", "it ran, and no VMware snapshot is named"
        made, gone = _AGES, _AGES
        for entry in self.trace:
            if entry.get("snapshot") != snapshot:
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

    def _off_all_through(self, name: str, span: Span) -> bool:
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


def manifest_of(values: dict[str, str]) -> dict[str, Any]:
    """The manifest in a snapshot's properties, as docs/consistency-record describes it."""
    chunks: list[str] = []
    while values.get(f"manifest.{len(chunks)}"):
        chunks.append(values[f"manifest.{len(chunks)}"])
    manifest: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode("".join(chunks))))
    return manifest


def too_good(name: str, values: dict[str, str], span: Span | None, truth: Truth) -> list[str]:
    """What the record of a ZFS snapshot says that the truth does not bear out. `span` None: nothing is known of it."""
    if "consistency" not in values:
        return []
    span = span or Span(0.0, _AGES)
    manifest = manifest_of(values)
    said = []
    real: dict[str, str] = {}
    for vm in manifest["vms"]:
        level, why = truth.level(vm["name"], vm["vmware_snapshot_moid"], span)
        real[vm["name"]] = level
        if LEVELS.index(vm["level"]) > LEVELS.index(level):
            said.append(f"{name}: {vm['name']} is said to be {vm['level']}, but {why or f'it was {level}'}")
    on = [vm for vm in truth.all_vms if not truth._off_all_through(vm, span)]
    for vm in on:
        real.setdefault(vm, "crash")
    worst = min(real.values(), key=LEVELS.index, default="still")
    if LEVELS.index(values["consistency"]) > LEVELS.index(worst):
        said.append(f"{name} is said to be {values['consistency']}, but {sorted(real.items())}")
    if values["complete"] == "yes" and worst == "crash":
        said.append(f"{name} is said to be complete, but {sorted(real.items())}")
    return said


def spans(diary: list[tuple[str, float, str]]) -> dict[str, Span]:
    """When each ZFS snapshot was taken: from its command's begin to its end, or to its first listing."""
    begun: dict[str, float] = {}
    there: dict[str, float] = {}
    for what, when, rest in diary:
        words = rest.split(" ")
        if what == "begin":
            for word in words:
                begun.setdefault(word, when)
        elif what == "seen" or (what == "end" and words[0] == "0"):
            for word in words[what == "end" :]:
                there.setdefault(word, when)
    return {name: Span(begin, there.get(name, _AGES)) for name, begin in begun.items()}
