# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the files of a VM and the judge without a guest."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from .disk_image import flatten
from .inside import descriptors, records, settings
from .inside.descriptors import Descriptor
from .inside.errors import Refused
from .inside.locks import lock, unlock
from .inside.snapshot_tree import SnapshotTree
from .judge import Findings, disagreements, examine_image, kept_disk

CHUNK = 4096


@pytest.mark.parametrize("value", ["", "plain", 'say "so"', "a|b", "two\nlines", "ünï", "a = b", "|22"])
def test_settings_keep_every_value(tmp_path: Path, value: str) -> None:
    path = tmp_path / "db.vmx"
    settings.write(path, {"displayName": value, "scsi0:0.fileName": "db.vmdk"})
    found = settings.read(path)
    assert (found["displayName"], found["scsi0:0.fileName"]) == (value, "db.vmdk")
    assert [other.name for other in tmp_path.iterdir()] == ["db.vmx"]


def disk(folder: Path, name: str, parent: Descriptor | None = None, data: bytes = b"") -> Descriptor:
    """Create a disk of four chunks, or a delta."""
    path = folder / f"{name}.vmdk"
    made = Descriptor(path, 4 * CHUNK // 512, folder / f"{name}-data.vmdk", parent.path if parent else None)
    made.data.write_bytes(data or bytes(4 * CHUNK))
    made.write()
    return made


def delta(*changed: tuple[int, bytes]) -> bytes:
    """Return a delta of the kernel: header, list of pairs, and the chunks."""
    pairs = b"".join(struct.pack("<2Q", old, place + 2) for place, (old, _content) in enumerate(changed))
    header = struct.pack("<4I", 0x70416E53, 1, 1, CHUNK // 512)
    return b"".join(part.ljust(CHUNK, b"\0") for part in (header, pairs, *(content for _old, content in changed)))


def test_descriptors_name_data_and_parent(tmp_path: Path) -> None:
    base = disk(tmp_path, "db")
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    near, far = disk(tmp_path, "db-000001", base), disk(elsewhere, "db-000002", base)
    assert descriptors.read(near.path) == near and descriptors.read(far.path) == far
    assert str(base.path) in far.path.read_text() and str(base.path) not in near.path.read_text()
    assert descriptors.chain(far.path) == [base, far]
    near.data.unlink()
    with pytest.raises(Refused, match="does not exist"):
        descriptors.read(near.path)


def test_flatten_applies_deltas_in_order(tmp_path: Path) -> None:
    base = disk(tmp_path, "base", data=b"".join(bytes([65 + place]) * CHUNK for place in range(4)))
    first = disk(tmp_path, "first", base, delta((1, b"x" * CHUNK), (3, b"y" * CHUNK)))
    second = disk(tmp_path, "second", first, delta((3, b"z" * CHUNK)))
    unused = disk(tmp_path, "unused", second)
    image = tmp_path / "image"
    flatten(descriptors.chain(unused.path), image)
    assert image.read_bytes()[::CHUNK] == b"AxCz" and image.stat().st_size == 4 * CHUNK
    flatten([base, first], image)
    assert image.read_bytes()[::CHUNK] == b"AxCy"


def test_flatten_refuses_an_invalid_delta(tmp_path: Path) -> None:
    base = disk(tmp_path, "base")
    full = disk(tmp_path, "full", base, struct.pack("<4I", 0x70416E53, 0, 1, 8).ljust(CHUNK, b"\0"))
    with pytest.raises(ValueError, match="not a valid delta"):
        flatten([base, full], tmp_path / "image")


def test_snapshot_tree_survives_its_file(tmp_path: Path) -> None:
    tree = SnapshotTree.read(tmp_path / "db.vmsd")
    first = tree.add("first", "of an administrator", {"scsi0:0": "db.vmdk"})
    second = tree.add('the "second"', "", {"scsi0:0": "db-000001.vmdk"})
    tree.add("third", "", {"scsi0:0": "db-000002.vmdk"})
    tree.remove(second)
    tree.write()
    found = SnapshotTree.read(tree.path)
    assert found == tree
    assert [(one.uid, one.parent) for one in found.snapshots] == [(1, 0), (3, 1)] and found.current == 3
    assert found.get(1) == first
    found.remove(found.get(3))
    assert found.current == 1 and found.add("fourth", "", {"scsi0:0": "db.vmdk"}).uid == 4


def test_kept_disk_is_found_by_the_name_of_the_vmware_snapshot(tmp_path: Path) -> None:
    settings.write(tmp_path / "db.vmx", {"scsi0:0.fileName": "db-000001.vmdk"})
    tree = SnapshotTree.read(tmp_path / "db.vmsd")
    tree.add("ours", "", {"scsi0:0": "db.vmdk"})
    tree.write()
    assert kept_disk(tmp_path, "ours").name == "db.vmdk"
    assert kept_disk(tmp_path).name == "db-000001.vmdk"


def test_lock_is_of_one_host(tmp_path: Path) -> None:
    file = tmp_path / "db-flat.vmdk"
    file.touch()
    lock(file, "esx01")
    lock(file, "esx01")
    with pytest.raises(Refused, match="is locked by esx01"):
        lock(file, "esx02")
    unlock(file)
    lock(file, "esx02")


def test_records_are_found_only_in_their_place() -> None:
    ring = bytearray(records.SIZE * records.SLOTS)
    for number in (1, 2, records.SLOTS + 1):
        ring[records.offset(number) : records.offset(number) + records.SIZE] = records.encode(number)
    ring[records.offset(7) : records.offset(7) + records.SIZE] = records.encode(8)
    assert sorted(records.numbers(bytes(ring))) == [2, records.SLOTS + 1]


SOUND = Findings(False, True, frozenset(range(1, 11)), ("4\n", "4\n"), "", "digest")
MOMENT = {"returned": 9, "started": 10}


@pytest.mark.parametrize(
    ("level", "changes", "said"),
    [
        ("application", {}, []),
        ("filesystem", {"needs_recovery": True}, ["the journal needs recovery"]),
        ("filesystem", {"clean": False}, ["e2fsck finds errors"]),
        ("filesystem", {"records": SOUND.records - {3, 9}}, ["2 records are missing whose write had returned"]),
        ("filesystem", {"records": SOUND.records - {10}}, []),
        ("crash", {"records": SOUND.records | {11}}, ["1 records on the disk were written to the delta"]),
        ("crash", {"needs_recovery": True, "clean": False, "records": frozenset()}, []),
        ("filesystem", {"pair": ("4\n", "5\n"), "unfinished": "1 open jobs"}, []),
        ("application", {"pair": ("4\n", "5\n")}, ["the files differ: '4' and '5'"]),
        ("application", {"unfinished": "1 open jobs"}, ["the database has 1 open jobs"]),
        ("still", {"digest": "other"}, ["the disk has changed since the power-off"]),
        ("still", {}, []),
    ],
)
def test_disagreements(level: str, changes: dict[str, Any], said: list[str]) -> None:
    assert disagreements(level, replace(SOUND, **changes), MOMENT, before=SOUND) == said


def test_examine_reads_a_disk_image(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "application").mkdir(parents=True)
    (inside / records.FILE).write_bytes(bytes(records.SIZE) + records.encode(1))
    for name in ("left", "right"):
        (inside / "application" / name).write_text("7\n")
    (inside / "application" / "jobs.sqlite-journal").write_bytes(b"journal")
    (inside / "application" / "jobs.sqlite").write_bytes(b"")
    image = tmp_path / "image"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(inside), str(image), "16M"], check=True)
    found = examine_image(image, tmp_path / "files")
    assert (found.needs_recovery, found.clean, set(found.records)) == (False, True, {1})
    assert found.pair == ("7\n", "7\n") and found.unfinished == "a journal that must be rolled back"
    with open(image, "rb+") as file:  # the flag of ext4 in its superblock
        file.seek(1024 + 0x60)
        features = struct.unpack("<I", file.read(4))[0]
        file.seek(1024 + 0x60)
        file.write(struct.pack("<I", features ^ 0x4))
    assert examine_image(image, tmp_path / "again").needs_recovery
