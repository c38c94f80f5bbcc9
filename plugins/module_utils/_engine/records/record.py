# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consistency record of a ZFS snapshot, stored in its user properties.

The `zfs snapshot` command sets these properties, with the same values on all datasets:

    quiesce.vmware_zfs:run              the run (or the wave of a run) that took it
    quiesce.vmware_zfs:host             the ID of the storage host
    quiesce.vmware_zfs:task             the snapshot task that took it; absent if a user took it
    quiesce.vmware_zfs:mode             plain if it was taken without VMware; otherwise absent
    quiesce.vmware_zfs:consistency      crash
    quiesce.vmware_zfs:complete         no

After the facts are verified, the seal sets these properties, in this order:

    quiesce.vmware_zfs:manifest.0 ...   the parts of the manifest (manifest.py)
    quiesce.vmware_zfs:run_consistency  the level of all datasets of the run
    quiesce.vmware_zfs:run_complete     yes if all VMs of the run that had to be quiesced were quiesced, otherwise no
    quiesce.vmware_zfs:consistency      the lowest level of the VMs with files on this dataset
    quiesce.vmware_zfs:complete         yes if all of these that had to be quiesced were quiesced, otherwise no
    quiesce.vmware_zfs:sealed           2:<parts>:<digest of the manifest>:<digest of the others and of that digest>

A record without a matching seal is read as crash and not complete. The level of a record never becomes lower.

The manifest lists the VMs with files on the dataset and the data that a restore of each VM needs. A VM that a policy
excludes has `excluded`. If a complete record needs another level of a VM than filesystem, the VM has it in `accept`. A
restored VM must be reverted to `vmware_snapshot` before it is powered on, because the ZFS snapshot contains open delta
files (Broadcom KB 2147276). The records of release 1.0.0 are version 1: see record_v1.py.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ..zfs import snapshots
from ..zfs.command import Zfs
from . import apart, record_v1
from .levels import CRASH, LEVELS
from .manifest import DAMAGED, PART, PREFIX, decode, encode, parts_in

RUN, TASK, MODE = PREFIX + "run", PREFIX + "task", PREFIX + "mode"
PLAIN = "plain"
_SEALED = PREFIX + "sealed"
_VERSION = 2
_SEAL = re.compile(r"2:([1-9][0-9]{0,2}):([0-9a-f]{64}):([0-9a-f]{64})\Z")
_SHORT = ("run", "host", "task", "consistency", "complete", "run_consistency", "run_complete")
# The properties that show whether a snapshot is complete, and its run and task.
KEYS = (*(PREFIX + name for name in _SHORT), _SEALED, record_v1.HELD_UNTIL)
_UNSEALED = "its record is not complete: the run ended early, or the record could not be written"
_DAMAGED = "the record of the snapshot is damaged"
_PLAIN = "taken without VMware (vmware_sync is false)"


@dataclass
class Record:
    """A consistency record. `vms` is plain data (result.manifest_entry). `sealed`: it is complete and not damaged."""

    run: str
    host: str
    task: str = ""
    consistency: str = CRASH
    complete: bool = False
    run_consistency: str = CRASH
    run_complete: bool = False
    vmware_snapshot: str = ""
    vms: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sealed: bool = False
    version: int = _VERSION

    @property
    def required_consistency(self) -> str | None:
        """The lowest level without excluded VMs and without VMs accepted at crash; None if there are no others."""
        return apart.level_of_others(self.consistency, self.vms, bool(self.problems))

    def first(self, plain: bool = False) -> dict[str, str]:
        """Return the properties to set when the snapshot is taken: consistency crash, not complete."""
        values = {"run": self.run, "host": self.host, "task": self.task, "mode": PLAIN if plain else ""}
        values.update(consistency=CRASH, complete="no")
        return {PREFIX + name: value for name, value in values.items() if value}

    def seal(self) -> tuple[tuple[str, str], ...]:
        """Return the properties that complete the record, in the order in which they must be set."""
        manifest = {"version": _VERSION, "vmware_snapshot": self.vmware_snapshot}
        parts = encode({**manifest, "vms": self.vms, "problems": self.problems})
        raised = {
            "run_consistency": self.run_consistency,
            "run_complete": _yes(self.run_complete),
            "consistency": self.consistency,
            "complete": _yes(self.complete),
        }
        of_manifest = f"{len(parts)}:{_digest(''.join(parts))}"
        values = {"run": self.run, "host": self.host, "task": self.task, **raised}
        whole = _digest_of_short({PREFIX + name: value for name, value in values.items()}, of_manifest)
        return (
            *((f"{PART}{number}", part) for number, part in enumerate(parts)),
            *((PREFIX + name, value) for name, value in raised.items()),
            (_SEALED, f"{_VERSION}:{of_manifest}:{whole}"),
        )


def read(zfs: Zfs, names: Sequence[str]) -> dict[str, Record]:
    """Read the records of the snapshots in `names` that have one.

    Starts two processes, or a few more if properties contain line breaks or if there are records of version 1. A
    damaged record is read as crash, because it must not look better than no record. Raises DatasetNotFound if one of
    the snapshots does not exist.
    """
    found = {name: values for name, values in snapshots.own_of_each(zfs, names, (*KEYS, MODE)).items() if RUN in values}
    records = {name: _unsealed(values) for name, values in found.items()}
    sealed = {name: seal for name, values in found.items() if (seal := _seal_of(values))}
    most = max((seal.parts for seal in sealed.values()), default=0)
    keys = [f"{PART}{number}" for number in range(most)]
    manifests = snapshots.own_of_each(zfs, list(sealed), keys) if sealed else {}
    for name, parts in manifests.items():
        records[name] = _whole(found[name], parts, sealed[name])
    records.update(_read_v1(zfs, {name: values for name, values in found.items() if record_v1.HELD_UNTIL in values}))
    return records


def is_complete(values: Mapping[str, str]) -> bool:
    """Return whether a snapshot's own properties (KEYS and `creation`) are a valid record with complete: yes."""
    if record_v1.HELD_UNTIL in values:
        sound = values.get(PREFIX + "consistency") in LEVELS and record_v1.was_held(values)
        return sound and values.get(PREFIX + "complete") == "yes"
    return _seal_of(values) is not None and values.get(PREFIX + "complete") == "yes"


@dataclass(frozen=True)
class _Seal:
    parts: int
    digest: str  # of the manifest


def _seal_of(values: Mapping[str, str]) -> _Seal | None:
    """Return the seal in the properties, or None if it does not match the short properties."""
    match = _SEAL.match(values.get(_SEALED, ""))
    if match is None or match[3] != _digest_of_short(values, f"{match[1]}:{match[2]}"):
        return None
    return _Seal(int(match[1]), match[2])


def _unsealed(values: Mapping[str, str]) -> Record:
    plain = values.get(MODE) == PLAIN
    record = _frame(values)
    record.problems = [_PLAIN if plain else _DAMAGED if _SEALED in values else _UNSEALED]
    return record


def _whole(values: Mapping[str, str], parts: Mapping[str, str], seal: _Seal) -> Record:
    """Return the record, whose seal matches its short properties, if its manifest also matches the seal."""
    record = _frame(values)
    text = "".join(parts_in(parts)[: seal.parts])
    level = values.get(PREFIX + "consistency", "")
    try:
        if _digest(text) != seal.digest or level not in LEVELS:
            raise ValueError("the record does not match its seal")
        manifest = decode(text, versions=(_VERSION,))
    except DAMAGED:
        record.problems = [_DAMAGED]
        return record
    record.vmware_snapshot, record.vms = manifest["vmware_snapshot"], manifest["vms"]
    record.problems, record.sealed = manifest["problems"], True
    record.consistency, record.complete = level, values.get(PREFIX + "complete") == "yes"
    record.run_consistency = values.get(PREFIX + "run_consistency", CRASH)
    record.run_complete = values.get(PREFIX + "run_complete") == "yes"
    return record


def _read_v1(zfs: Zfs, found: Mapping[str, Mapping[str, str]]) -> dict[str, Record]:
    """Read records of release 1.0.0. The records of a run share a manifest, which is read only once."""
    parts: dict[str, dict[str, str]] = {}  # run -> parts of the manifest
    shared: dict[tuple[str | bool, ...], Record] = {}
    records = {}
    for name, values in found.items():
        run = values[RUN]
        if run not in parts:
            whole = snapshots.properties(zfs, name, PREFIX) or {}
            parts[run] = {key: value for key, value in whole.items() if key.startswith(PART)}
            values = {key: value for key, value in values.items() if key in whole}  # drop contradictory properties
        level, complete = values.get(PREFIX + "consistency", ""), values.get(PREFIX + "complete", "")
        state = (run, level, complete, record_v1.was_held(values))
        if state not in shared:
            shared[state] = _of_v1({**parts[run], **values})
        records[name] = shared[state]
    return records


def _of_v1(values: Mapping[str, str]) -> Record:
    record = _frame(values)
    old = record_v1.parse(values)
    record.consistency = record.run_consistency = old.consistency
    record.complete = record.run_complete = old.complete
    record.vmware_snapshot, record.vms, record.problems = old.vmware_snapshot, old.vms, old.problems
    record.sealed, record.version = old.held, 1
    return record


def _frame(values: Mapping[str, str]) -> Record:
    run, host, task = (values.get(PREFIX + name, "") for name in ("run", "host", "task"))
    return Record(run, host, task)


def _digest_of_short(values: Mapping[str, str], of_manifest: str) -> str:
    """Return the digest of the short properties, whether they were set here or received."""
    sealed = {name: values.get(PREFIX + name) or values.get(snapshots.RECEIVED + PREFIX + name, "") for name in _SHORT}
    return _digest(json.dumps({**sealed, "manifest": of_manifest}, separators=(",", ":"), sort_keys=True))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _yes(value: bool) -> str:
    return "yes" if value else "no"
