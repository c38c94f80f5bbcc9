# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the level that a record states is true: the judge reads the disks in a ZFS snapshot.

It does not use what the engine or the vCenter report, except for the level itself and the numbers of the writes, which
the hypervisor counts outside of the disks."""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..places import LabError
from ..storage_host import StorageHost
from . import file_system
from .disk_image import flatten
from .inside import application, descriptors, records, settings
from .inside.snapshot_tree import SnapshotTree

# This mount ends with the command. A look into .zfs/snapshot would leave a mount behind for minutes, and
# destroying the snapshot would then behave differently.
_FETCH = """set -eu
place=$(mktemp -d /run/judge.XXXXXX)
trap 'umount "$place" 2>/dev/null || true; rmdir "$place"' EXIT
mount -t zfs -o ro "$1" "$place"
shift
tar -C "$place" --sparse --exclude='*.vswp' --exclude='.lck-*' -cf - -- "$@"
"""
FETCH_SECONDS = 300.0


@dataclass(frozen=True)
class Findings:
    """What is on a disk. Records and application are read after a recovery of the journal, as a restored VM does."""

    needs_recovery: bool
    clean: bool  # e2fsck finds nothing, without a recovery of the journal
    records: frozenset[int]
    pair: tuple[str, ...]  # the content of the files that the application keeps in step
    unfinished: str  # what is unfinished in the database, or ""
    digest: str


def fetch(storage: StorageHost, snapshot: str, directories: Sequence[str], folder: Path) -> None:
    """Copy the folders of VMs from a ZFS snapshot `dataset@name` to a folder of this machine."""
    script = shlex.join(["sh", "-c", _FETCH, "fetch", snapshot, *directories])
    ssh = ["ssh", "-F", str(storage.ssh_config), "storage", script]
    with subprocess.Popen(ssh, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
        unpack = ["tar", "-C", str(folder), "--sparse", "-xf", "-"]
        subprocess.run(unpack, stdin=sender.stdout, capture_output=True, timeout=FETCH_SECONDS, check=False)
        said = sender.stderr.read().decode(errors="replace").strip() if sender.stderr else ""
    if sender.returncode:
        raise LabError(f"The disks in {snapshot} cannot be read: {said}")


def kept_disk(folder: Path, vmware_snapshot: str | int = "") -> Path:
    """Return the disk that a VMware snapshot keeps unchanged, by its name or number, or the current disk of the VM."""
    (vmx,) = folder.glob("*.vmx")
    if not vmware_snapshot:
        return folder / settings.read(vmx)["scsi0:0.fileName"]
    (kept,) = [folder / one.disk for one in _tree(folder).snapshots if vmware_snapshot in (one.name, one.uid)]
    return kept


def vmware_snapshots(folder: Path) -> set[int]:
    """Return the numbers of the VMware snapshots that the files of a VM have."""
    return {one.uid for one in _tree(folder).snapshots}


def _tree(folder: Path) -> SnapshotTree:
    (vmx,) = folder.glob("*.vmx")
    return SnapshotTree.read(vmx.with_suffix(".vmsd"))


def examine(storage: StorageHost, snapshot: str, directory: str, vmware_snapshot: str = "") -> Findings:
    """Read the disk of a VM in a ZFS snapshot, as of a VMware snapshot. `directory` is its folder in the dataset."""
    with TemporaryDirectory() as temporary:
        fetch(storage, snapshot, [directory], Path(temporary))
        return examine_folder(Path(temporary, directory), vmware_snapshot)


def examine_folder(folder: Path, vmware_snapshot: str | int = "") -> Findings:
    """Read the disk of a VM whose folder was copied, as of a VMware snapshot by its name or number."""
    with TemporaryDirectory() as temporary:
        image = Path(temporary, "disk.img")
        flatten(descriptors.chain(kept_disk(folder, vmware_snapshot)), image)
        return examine_image(image, Path(temporary, "files"))


def examine_image(image: Path, folder: Path) -> Findings:
    """Read a disk image. It is recovered afterwards. `folder` gets the files in it."""
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    needs_recovery, clean = file_system.needs_recovery(image), file_system.is_clean(image)
    if needs_recovery or not clean:
        file_system.recover(image)
    folder.mkdir()
    file_system.copy_out(image, [records.FILE, application.FOLDER], folder)
    written, inside = folder / records.FILE, folder / application.FOLDER
    found = frozenset(records.numbers(written.read_bytes())) if written.exists() else frozenset()
    pair = tuple((inside / name).read_text() if (inside / name).exists() else "" for name in application.PAIR)
    return Findings(needs_recovery, clean, found, pair, _unfinished(inside / application.DATABASE), digest)


def _unfinished(database: Path) -> str:
    journal = database.with_name(f"{database.name}-journal")
    if not database.exists():
        return ""
    if journal.exists() and journal.stat().st_size:
        return "a journal that must be rolled back"
    connection = sqlite3.connect(database)
    try:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
        open_jobs = connection.execute("SELECT count(*) FROM job WHERE state = 'open'").fetchone()[0]
    finally:
        connection.close()
    return "" if sound == "ok" and not open_jobs else f"{open_jobs} open jobs" if sound == "ok" else str(sound)


def lost(findings: Findings, moment: Mapping[str, Any]) -> list[int]:
    """Return the records whose write had returned before the VMware snapshot and which are not on the disk."""
    newest = max([moment["started"], *findings.records])
    oldest = max(1, newest - records.SLOTS + 1)  # newer records have taken the place of older ones
    return [number for number in range(oldest, moment["returned"] + 1) if number not in findings.records]


def disagreements(
    level: str, findings: Findings, moment: Mapping[str, Any] | None = None, before: Findings | None = None
) -> list[str]:
    """Return why the disk contradicts a level. `moment` is what the hypervisor measured during the VMware snapshot.

    `before` is for the level `still`: what was on the disk after the power-off.
    """
    said: list[str] = []
    if moment is not None and (later := [number for number in findings.records if number > moment["started"]]):
        said.append(f"{len(later)} records on the disk were written to the delta")
    if level == "still" and (before is None or findings.digest != before.digest):
        said.append("the disk has changed since the power-off")
    if level in ("filesystem", "application"):
        said += _not_a_file_system(findings, moment or {"started": 0, "returned": 0})
    if level == "application":
        said += _not_an_application(findings)
    return said


def _not_a_file_system(findings: Findings, moment: Mapping[str, Any]) -> list[str]:
    missing = lost(findings, moment)
    checks = {
        "the journal needs recovery": findings.needs_recovery,
        "e2fsck finds errors": not findings.clean,
        f"{len(missing)} records are missing whose write had returned": bool(missing),
    }
    return [text for text, wrong in checks.items() if wrong]


def _not_an_application(findings: Findings) -> list[str]:
    left, right = findings.pair
    said = [] if left == right else [f"the files differ: {left.strip()!r} and {right.strip()!r}"]
    return [*said, f"the database has {findings.unfinished}"] if findings.unfinished else said
