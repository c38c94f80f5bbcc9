# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of restores: compares everything before a restore with everything after it. It does not know the engine.

Only what a restore has handed over may be new: it belongs to the person, until the person ends the restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

KINDS = ("folders", "clones", "exports", "datastores", "vms", "names", "holds")
_TEMPORARY = " (restore "  # in the name of a VM while it is restored
_ASIDE = "-replaced-"  # in the name of a VM that was replaced


@dataclass(frozen=True)
class Machine:
    """A VM as vCenter shows it. `disks` are the files of its disks, `snapshots` its VMware snapshots."""

    name: str
    instance_uuid: str
    on: bool
    vmx: str
    disks: frozenset[str]
    snapshots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """Everything at one moment. The keys of `machines` are managed object IDs.

    `datasets` and `snapshots` map names to GUIDs. `digests` are those of files that nothing but a restore could change.
    `holds` are "snapshot tag", `datastores` "name on host: path". `gone` are folders that somebody else had created.
    """

    machines: Mapping[str, Machine]
    datastores: frozenset[str] = frozenset()
    datasets: Mapping[str, str] = field(default_factory=dict)
    snapshots: Mapping[str, str] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Delivered:
    """What a restore has handed over. `vms` maps the names of VMs to their folders, "" for a VM on a clone.

    `replaced` are the names of VMs that made room. `holder` is the VM that got a disk. `clone`: there are clones.
    """

    restore: str
    vms: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    holder: str = ""
    clone: bool = False


@dataclass
class Found:
    """What a restore left behind, by kind, and what it did to others. All in words, all empty: nothing."""

    left: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    touched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what was handed over, and is not there

    def words(self) -> list[str]:
        """What was left, in words."""
        return [f"{kind}: {text}" for kind, found in self.left.items() for text in found]


def compare(before: Picture, after: Picture, delivered: Iterable[Delivered] = ()) -> Found:
    """Return what is there that was not, and what is gone or changed, except for what was handed over."""
    given, found = list(delivered), Found()
    _compare_machines(before, after, given, found)
    clones = {one.restore for one in given if one.clone}
    for kind, old, new in (
        ("folders", before.folders, after.folders),
        ("clones", before.datasets.keys(), after.datasets.keys()),
        ("exports", before.exports, after.exports),
        ("datastores", before.datastores, after.datastores),
        ("holds", before.holds, after.holds),
    ):
        theirs = {folder for one in given for folder in one.vms.values()} if kind == "folders" else set()
        found.left[kind] += [
            one for one in sorted(new - old) if one not in theirs and not (kind != "holds" and _is_of(one, clones))
        ]
        found.touched += [f"{one} is gone ({kind})" for one in sorted(old - new)]
    found.touched += [f"{one} of somebody else is gone" for one in sorted(after.gone - before.gone)]
    for what in ("datasets", "snapshots", "digests"):
        found.touched += _changed(what, getattr(before, what), getattr(after, what))
    found.left["clones"] += sorted(after.snapshots.keys() - before.snapshots.keys())
    return found


def _is_of(text: str, restores: Iterable[str]) -> bool:
    """Return whether it belongs to the clones of one of these restores, which have its ID in all their names."""
    return any(restore in text for restore in restores) or (
        bool(list(restores)) and text.endswith("vmware-zfs-restores")
    )


def _changed(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name, value in old.items():
        if name not in new:
            if what != "datasets":  # reported already
                yield f"{name} is gone"
        elif new[name] != value:
            yield f"{name} is another one than before" if what != "digests" else f"{name} was changed"


def _compare_machines(before: Picture, after: Picture, delivered: list[Delivered], found: Found) -> None:
    names = {name for one in delivered for name in one.vms}
    for moid, machine in after.machines.items():
        old = before.machines.get(moid)
        if old is not None:
            _compare_machine(old, machine, delivered, found)
        elif machine.name not in names:
            found.left["vms"].append(f"{machine.name} ({moid}, {machine.vmx})")
        if _TEMPORARY in machine.name and (old is None or old.name != machine.name):
            found.left["names"].append(machine.name)
        if machine.name in names and machine.snapshots and old is None:
            found.missing.append(
                f"{machine.name} was handed over with VMware snapshots: {', '.join(machine.snapshots)}"
            )
    found.touched += [f"{one.name} is gone" for moid, one in before.machines.items() if moid not in after.machines]
    there = {machine.name for machine in after.machines.values()}
    found.missing += [f"{name} was handed over, but no VM has this name" for name in sorted(names - there)]


def _compare_machine(old: Machine, new: Machine, delivered: list[Delivered], found: Found) -> None:
    replaced = any(old.name in one.replaced for one in delivered)
    if new.name != old.name and not (replaced and new.name.startswith(old.name + _ASIDE)):
        found.left["names"].append(f"{old.name} is called {new.name}")
    if new.on != old.on and not replaced:
        found.touched.append(f"{old.name} is {'on' if new.on else 'off'}")
    for what in ("instance_uuid", "vmx", "snapshots"):
        if getattr(new, what) != getattr(old, what):
            found.touched.append(f"{old.name}: {what} was {getattr(old, what)} and is {getattr(new, what)}")
    extra, gone = new.disks - old.disks, old.disks - new.disks
    given = {one.restore for one in delivered if one.holder == old.name}
    if gone or any(not _is_of(disk, given) for disk in extra):
        found.touched.append(f"{old.name} has the disks {sorted(new.disks)} instead of {sorted(old.disks)}")
