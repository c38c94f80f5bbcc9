# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The consistency record: what a ZFS snapshot tells of itself, in user properties set in the same step as the snapshot.

    quiesce.vmware_zfs:run          the run that took it
    quiesce.vmware_zfs:task         the snapshot task that asked for it, absent when a person did
    quiesce.vmware_zfs:host         the storage host, by its id
    quiesce.vmware_zfs:consistency  the level that every VM in it reached: crash, filesystem, application, still
    quiesce.vmware_zfs:complete     yes when every VM that was to be quiesced was, otherwise no
    quiesce.vmware_zfs:held_until   seconds since 1970, the last whole second of the hold: a younger snapshot is crash
    quiesce.vmware_zfs:manifest.0   base64 of zlib of JSON, continued in manifest.1 ... when it is long

The manifest tells of each VM what a restore has to know; a restored VM must be reverted to `vmware_snapshot` before
it is powered on, because the ZFS snapshot holds the delta files that were open (Broadcom KB 2147276).
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ..zfs import snapshots
from ..zfs.command import READ_TIMEOUT, Zfs
from .consistency import CRASH, LEVELS

PREFIX = "quiesce.vmware_zfs:"
RUN = PREFIX + "run"
TOO_LATE = "the snapshot was taken after its VMs had been released"
_VERSION = 1
_MOST_BYTES = 64 * 2**20  # of a manifest; 100,000 VMs take half of it


@dataclass
class Record:
    """A consistency record. `vms` are plain data: name, instance_uuid, moid, server, vmx_path, vmware_snapshot_moid,
    level, reason.
    """

    run: str
    host: str
    consistency: str
    complete: bool
    held_until: int
    task: str = ""
    vmware_snapshot: str = ""
    vms: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def properties(self) -> dict[str, str]:
        """The user properties to set."""
        manifest = {
            "version": _VERSION,
            "vmware_snapshot": self.vmware_snapshot,
            "vms": self.vms,
            "problems": self.problems,
        }
        text = base64.b64encode(zlib.compress(json.dumps(manifest, separators=(",", ":")).encode(), 9)).decode()
        size = snapshots.MAX_PROPERTY_VALUE
        chunks = [text[at : at + size] for at in range(0, len(text), size)]
        values = {
            "run": self.run,
            "host": self.host,
            "consistency": self.consistency,
            "complete": "yes" if self.complete else "no",
            "held_until": str(self.held_until),
            **({"task": self.task} if self.task else {}),
            **{f"manifest.{number}": chunk for number, chunk in enumerate(chunks)},
        }
        return {PREFIX + name: value for name, value in values.items()}

    def replacement(self) -> dict[str, str]:
        """The user properties to set in place of an earlier record's: an empty one ends a manifest that was longer."""
        values = self.properties()
        count = sum(name.startswith(PREFIX + "manifest.") for name in values)
        return {**values, f"{PREFIX}manifest.{count}": ""}

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


def rewrite(zfs: Zfs, names: Sequence[str], record: Record, timeout: float = READ_TIMEOUT) -> None:
    """Replace the record on all ZFS snapshots of a run, which are told in the run's order. Raises ZfsError.

    The first is the one that is read, and the last that is written: while it says what it said, the work is not done.
    """
    snapshots.set_properties(zfs, list(reversed(names)), record.replacement(), timeout)


def read(zfs: Zfs, snapshot: str, as_written: bool = False) -> Record | None:
    """The record of the ZFS snapshot, None if the snapshot does not exist or carries none.

    What cannot be understood counts as crash: a damaged record must not look better than none. So does a snapshot that
    is younger than the hold, unless it is wanted `as_written`.
    """
    found = snapshots.properties(zfs, snapshot, PREFIX)
    if found is None or PREFIX + "run" not in found:
        return None
    values = {name[len(PREFIX) :]: value for name, value in found.items() if name.startswith(PREFIX)}
    record = Record(
        run=values["run"],
        host=values.get("host", ""),
        consistency=values.get("consistency", ""),
        complete=values.get("complete") == "yes",
        held_until=int(values["held_until"]) if values.get("held_until", "").isdecimal() else 0,
        task=values.get("task", ""),
    )
    try:
        record.vmware_snapshot, record.vms, record.problems = _manifest(values)
    except (ValueError, zlib.error, RecursionError):
        lower(record, "the manifest of the snapshot is damaged")
    if record.consistency not in LEVELS:
        lower(record, "the record of the snapshot is damaged")
    if not as_written and not _was_held(found):
        lower(record, TOO_LATE)
    return record


def last_second_before(instant: float) -> int:
    """The last whole second that is over by an instant (seconds since 1970).

    ZFS tells a snapshot's creation in whole seconds: in the second in which a hold ends, one that was taken during the
    hold could not be told from one that was taken after it.
    """
    return int(instant) - 1


def is_complete(values: Mapping[str, str]) -> bool:
    """Whether the record in a snapshot's own properties (with its `creation`) says that it is complete, and may."""
    return (
        values.get(PREFIX + "complete") == "yes"
        and values.get(PREFIX + "consistency") in LEVELS[1:]
        and _was_held(values)
    )


def came_too_late(values: Mapping[str, str]) -> bool:
    """Whether a snapshot's own properties (with its `creation`) are a record that may say nothing better than crash."""
    return PREFIX + "run" in values and not _was_held(values)


def says_too_much(values: Mapping[str, str]) -> bool:
    """Whether such a record says more than that of the whole. What it says of each VM is in its manifest."""
    better = values.get(PREFIX + "complete") == "yes" or values.get(PREFIX + "consistency") != CRASH
    return better and came_too_late(values)


def _was_held(values: Mapping[str, str]) -> bool:
    held_until, creation = values.get(PREFIX + "held_until", ""), values.get("creation", "")
    return held_until.isdecimal() and creation.isdecimal() and int(creation) <= int(held_until)


def lower(record: Record, problem: str, vms: Sequence[dict[str, Any]] | None = None) -> None:
    """Lower the record to crash, and those of its VMs with it that are given (all by default)."""
    record.consistency, record.complete = CRASH, False
    record.problems.append(problem)
    for vm in record.vms if vms is None else vms:
        vm["level"], vm["reason"] = CRASH, problem


def _manifest(values: dict[str, str]) -> tuple[str, list[dict[str, Any]], list[str]]:
    """The manifest's VMware snapshot, VMs and problems. Raises ValueError or zlib.error for one that is damaged."""
    chunks: list[str] = []
    while chunk := values.get(f"manifest.{len(chunks)}"):
        chunks.append(chunk)
    inflate = zlib.decompressobj()  # a snapshot may have been received from anywhere: it must not fill the memory
    text = inflate.decompress(base64.b64decode("".join(chunks), validate=True), _MOST_BYTES)
    if not inflate.eof:
        raise ValueError("the manifest does not end, or is too long")
    manifest = json.loads(text)
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION:
        raise ValueError("no manifest of a known version")
    name, vms, problems = (manifest.get(key) for key in ("vmware_snapshot", "vms", "problems"))
    if not (isinstance(name, str) and isinstance(vms, list) and isinstance(problems, list)):
        raise ValueError("the manifest lacks a part")
    if not all(isinstance(vm, dict) and vm.get("level") in LEVELS for vm in vms):
        raise ValueError("a VM in the manifest has no level")
    return name, vms, [str(problem) for problem in problems]
