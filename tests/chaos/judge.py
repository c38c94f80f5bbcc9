# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge: what may be left, what has to be, and what a record may say. It does not know the engine."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .truth import AGES, LEVELS, Place, Span, Truth

PREFIX = "quiesce.vmware_zfs:"
_PART = 8191  # bytes of a manifest in one property
_SIGNED = ("run", "host", "task", "consistency", "complete", "run_consistency", "run_complete")

Tree = list[dict[str, Any]]


# ---- VMware snapshots


def walk(trees: Tree | None, above: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Every snapshot with the names of those that it hangs under."""
    for tree in trees or ():
        yield tree, above
        yield from walk(tree.get("children"), (*above, tree["name"]))


def is_ours(snapshot: dict[str, Any], hosts: Collection[str] = ()) -> bool:
    """By the mark that an administrator would read; `hosts` are the ids of this lab's storage hosts, all by default."""
    marks = [f"[vmware-zfs host={host} run=" for host in hosts] or ["[vmware-zfs host="]
    return any(mark in snapshot["description"] for mark in marks)


def left_behind(machines: list[dict[str, Any]], hosts: Collection[str] = ()) -> list[str]:
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


class Damaged(Exception):
    """What is wrong with a record."""


def manifest_of(values: Mapping[str, str]) -> dict[str, Any]:
    """The manifest in a snapshot's properties, as docs/consistency-record describes it. Raises Damaged."""
    text = "".join(_parts(values))
    try:
        manifest = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
        vms = manifest["vms"]
        if any(vm["level"] not in LEVELS or not isinstance(vm["name"], str) for vm in vms):
            raise Damaged("a VM of the manifest has no name or no level")
    except (ValueError, zlib.error, KeyError, TypeError) as error:
        raise Damaged(f"its manifest cannot be read: {error!r}") from error
    return dict(manifest)


def _parts(values: Mapping[str, str]) -> list[str]:
    parts: list[str] = []
    while values.get(f"manifest.{len(parts)}"):
        parts.append(values[f"manifest.{len(parts)}"])
    return parts


def check_seal(values: Mapping[str, str]) -> None:
    """Raise Damaged unless `sealed` says what the rest of the record is."""
    version, _unused, rest = values["sealed"].partition(":")
    words = rest.split(":")
    if version != "2" or len(words) != 3:
        raise Damaged(f"`sealed` is {values['sealed']!r}")
    parts = _parts(values)
    present = sum(key.startswith("manifest.") for key in values)
    if words[0] != str(len(parts)) or present != len(parts):
        raise Damaged(f"it is sealed with {words[0]} parts of a manifest, and {present} are there")
    if any(len(part.encode()) > _PART for part in parts):
        raise Damaged(f"a part of its manifest is longer than {_PART} bytes")
    digest = hashlib.sha256("".join(parts).encode()).hexdigest()
    if words[1] != digest:
        raise Damaged("it is sealed with another manifest")
    signed = {key: values.get(key, "") for key in _SIGNED}
    signed["manifest"] = f"{len(parts)}:{digest}"
    text = json.dumps(signed, separators=(",", ":"), sort_keys=True)
    if words[2] != hashlib.sha256(text.encode()).hexdigest():
        raise Damaged("it is sealed with other short properties")


def is_sealed(values: Mapping[str, str]) -> bool:
    """Whether the record of a ZFS snapshot counts: whoever reads it believes nothing else."""
    try:
        check_seal(values)
    except (Damaged, KeyError):
        return False
    return True


@dataclass
class Taken:
    """A ZFS snapshot that somebody took: not before `begin`, and it was there at `there`. `together`: the datasets of
    all that were taken in the same step, whose VMs are those of the run (or wave)."""

    begin: float = 0.0
    there: float = AGES
    together: frozenset[str] = frozenset()

    @property
    def span(self) -> Span:
        return Span(self.begin, self.there)


def too_good(name: str, values: Mapping[str, str], taken: Taken | None, truth: Truth) -> list[str]:
    """What the record of a ZFS snapshot says that the truth does not bear out. `taken` None: nothing is known of it.

    Levels are judged as they stand, sealed or not: what an unfinished seal has written is what it is going to say.
    """
    if "run" not in values:
        return []
    dataset = name.partition("@")[0]
    taken = taken or Taken(together=frozenset((dataset,)))
    if "held_until" in values:
        return _of_version_1(name, values, taken, truth)
    if values.get("mode") == "plain":
        return [f"{name} was taken without VMware, and is sealed"] if "sealed" in values else []
    said = []
    begun = any(key.startswith(("manifest.", "run_")) or key == "sealed" for key in values)
    if not begun and (values.get("consistency"), values.get("complete")) != ("crash", "no"):
        what = f"{values.get('consistency')}, complete {values.get('complete')}"
        said.append(f"{name} is said to be {what}, although nothing of a seal is there")
    entries: list[dict[str, Any]] = []
    try:
        if "sealed" in values:
            check_seal(values)
        if "manifest.0" in values:
            entries = manifest_of(values)["vms"]
    except Damaged as error:
        # Parts of a manifest that has not been written to its end are nothing bad.
        if "sealed" in values:
            said.append(f"{name}: the seal does not match: {error}")
    real, wrong = _real_levels(name, entries, truth.on({dataset}, taken.span), taken, truth)
    said += wrong
    listed = {vm["name"]: vm["level"] for vm in entries}
    if "consistency" in values:
        said += _exceeds(name, values["consistency"], values.get("complete", ""), real, truth)
        if "sealed" in values:  # it must not be better than what it lists itself either
            said += _exceeds(name, values["consistency"], values.get("complete", ""), listed, truth)
    if "run_consistency" in values:
        # The VMs on the other datasets are in the others' manifests.
        whole = {vm: truth.best_level(vm, taken.span) for vm in truth.on(taken.together, taken.span)}
        complete = values.get("run_complete", "")
        said += _exceeds(f"the run of {name}", values["run_consistency"], complete, {**whole, **real}, truth)
    return list(dict.fromkeys(said))


def _of_version_1(name: str, values: Mapping[str, str], taken: Taken, truth: Truth) -> list[str]:
    """The record of release 1.0.0: all datasets have that of the whole run, which counts until `held_until`."""
    if int(values["creation"]) > int(values["held_until"]):
        return []
    try:
        entries = manifest_of(values)["vms"]
    except Damaged as error:
        return [f"{name}: {error}"]
    real, said = _real_levels(name, entries, truth.on(taken.together, taken.span), taken, truth)
    return said + _exceeds(name, values["consistency"], values["complete"], real, truth)


def _real_levels(
    name: str, entries: Iterable[dict[str, Any]], there: Collection[str], taken: Taken, truth: Truth
) -> tuple[dict[str, str], list[str]]:
    """The level that each VM really has which is listed or had files there, and what is said of VMs that is not so."""
    real: dict[str, str] = {}
    said = []
    for vm in entries:
        level, why = truth.level(vm["name"], vm["vmware_snapshot_moid"], taken.span)
        real[vm["name"]] = level
        if LEVELS.index(vm["level"]) > LEVELS.index(level):
            said.append(f"{name}: {vm['name']} is said to be {vm['level']}, but {why or f'it was {level}'}")
        elif vm["level"] != "crash" and "disks" in vm:
            said += _wrong_disks(name, vm, truth.places_of(vm["name"], taken.span)[0])
    for one in there:
        if one not in real:
            real[one] = "still" if truth.off_all_through(one, taken.span) else "crash"
    return real, said


def _wrong_disks(name: str, vm: dict[str, Any], place: Place) -> list[str]:
    """Where the manifest has the disks of a VM that it calls consistent, unless they were there."""
    listed = {int(disk["key"]): _datasets_of(disk) for disk in vm["disks"]}
    really = {key: [dataset] if dataset else [] for key, dataset in place.disks.items()}
    if listed == really:
        return []
    return [f"{name}: the disks of {vm['name']} are said to be on {listed}, but they were on {really}"]


def _datasets_of(disk: Mapping[str, Any]) -> list[str]:
    """The datasets that a manifest has for a disk; its places may also be "the datastore X", which is on none."""
    places = disk["places"] if "places" in disk else disk["datasets"]
    return sorted(place for place in places if not place.startswith("the datastore "))


def _exceeds(what: str, consistency: str, complete: str, levels: Mapping[str, str], truth: Truth) -> list[str]:
    """What a record says that its VMs do not bear out."""
    worst = min(levels.values(), key=LEVELS.index, default="still")
    said = []
    if consistency not in LEVELS:
        said.append(f"{what} is said to be {consistency!r}")
    elif LEVELS.index(consistency) > LEVELS.index(worst):
        said.append(f"{what} is said to be {consistency}, but {sorted(levels.items())}")
    if complete == "yes" and truth.lacking(levels):
        said.append(f"{what} is said to be complete, but {sorted(levels.items())}")
    return said


# ---- Records as every command and every kill left them


@dataclass
class Seen:
    """The record of one ZFS snapshot in one dump. `identity` is the same for as long as the snapshot is."""

    label: str
    when: float
    name: str
    identity: tuple[str, str]  # dataset, createtxg
    values: dict[str, str]
    taken: Taken | None


def parse_dump(text: str) -> dict[str, dict[str, str]]:
    """The records in the rows of a dump, by the snapshot's name; with `createtxg` and `creation`."""
    found: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        words = line.split("\t")
        if len(words) == 4 and "@" in words[0]:
            found.setdefault(words[0], {})[words[1].removeprefix(PREFIX)] = words[2]
    return found


def observe(diary: Iterable[tuple[str, float, str]], dumps: Mapping[str, str]) -> list[Seen]:
    """What each dump shows of each ZFS snapshot, in their order. `dumps`: the rows of each by its number.

    The diary says who took which snapshot when: `begin` and `end` of the engine's command; `recreated`, `renamed` and
    `destroyed` by somebody else. A snapshot is known by its name when it is first seen, by its createtxg from then on.
    """
    now: dict[str, Taken] = {}  # by the name that it has at this point of the diary
    known: dict[tuple[str, str], Taken | None] = {}
    seen: list[Seen] = []
    for what, when, rest in diary:
        words = rest.split()
        if what == "begin":
            together = frozenset(word.partition("@")[0] for word in words)
            for word in words:
                now.setdefault(word, Taken(when, together=together))
        elif what == "seen" or (what == "end" and words[0] == "0"):
            for word in words[what == "end" :]:
                if word in now:
                    now[word].there = min(now[word].there, when)
        elif what == "recreated":
            now.update({word: Taken(when, together=frozenset((word.partition("@")[0],))) for word in words})
        elif what == "destroyed":
            for word in words:
                now.pop(word, None)
        elif what == "renamed":
            if words[0] in now:
                now[words[1]] = now.pop(words[0])
        elif what == "dump":
            number, _unused, label = rest.partition(" ")
            for name, values in parse_dump(dumps.get(number, "")).items():
                identity = (name.partition("@")[0], values.get("createtxg", ""))
                taken = known.setdefault(identity, now.get(name))
                if taken:
                    taken.there = min(taken.there, when)
                seen.append(Seen(f"dump {number} ({label})", when, name, identity, values, taken))
    return seen


def judge_dumps(seen: Iterable[Seen], truth: Truth) -> list[str]:
    """What any dump shows that must not be: each violation once, with the first dump that shows it."""
    found: dict[str, str] = {}
    judged: dict[tuple[tuple[str, str], str], list[str]] = {}
    sealed: dict[tuple[str, str], dict[str, str]] = {}
    for one in seen:
        record = {key: value for key, value in one.values.items() if key not in ("createtxg", "creation")}
        state = (one.identity, json.dumps([one.name, one.values], sort_keys=True))
        if state not in judged:
            judged[state] = too_good(one.name, one.values, one.taken, truth)
        said = list(judged[state])
        before = sealed.get(one.identity)
        if before is not None and record != before:
            changed = sorted(key for key in {*record, *before} if record.get(key) != before.get(key))
            said.append(f"{one.name} was changed after it had been sealed: {', '.join(changed)}")
        if is_sealed(record):
            sealed.setdefault(one.identity, record)
        for text in said:
            found.setdefault(text, f"{text}; first in {one.label}")
    return list(found.values())
