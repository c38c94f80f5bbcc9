# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test what the hypervisor reads from .vmx files and descriptors, without a guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from .inside import descriptors, file_tree, hardware, identity, settings, volumes
from .inside.descriptors import Descriptor
from .inside.errors import Refused
from .inside.snapshot_tree import SnapshotTree
from .inside.vm import VM

UUID = "564d2a01-0203-0405-0607-08090a0b0c0d"
AS_VMX = "56 4d 2a 01 02 03 04 05-06 07 08 09 0a 0b 0c 0d"


@pytest.mark.parametrize(("text", "plain"), [(AS_VMX, UUID), (AS_VMX.upper(), UUID), ("4207-same", "4207-same")])
def test_uuids_are_written_as_in_esxi(text: str, plain: str) -> None:
    assert identity.from_vmx(text) == plain
    assert identity.from_vmx(identity.as_vmx(plain)) == plain


def test_copy_is_known_by_its_place(tmp_path: Path) -> None:
    here, there = tmp_path / "a" / "a.vmx", tmp_path / "b" / "a.vmx"
    values = {
        identity.BIOS: AS_VMX, **identity.moved(here), "ethernet0.addressType": "generated",
        "ethernet0.generatedAddress": "00:0c:29:00:00:01", "ethernet1.addressType": "static", "ethernet1.address": "x",
    }  # fmt: skip
    assert not identity.is_copy(values, here) and identity.is_copy(values, there)
    assert not identity.is_copy({}, here), "a VM that was never powered on"
    assert identity.moved(there) == {identity.LOCATION: identity.location(there)}
    new = identity.copied(values, there)
    assert new[identity.BIOS] != AS_VMX and new["ethernet0.generatedAddress"] != "00:0c:29:00:00:01"
    assert set(new) == {identity.BIOS, identity.LOCATION, "ethernet0.generatedAddress"}


def test_keys_of_disks_follow_their_nodes() -> None:
    values = {f"{node}.fileName": "a.vmdk" for node in ("nvme0:0", "sata1:2", "ide1:0", "scsi1:3", "scsi0:0")}
    values |= {"scsi0:1.fileName": "a.iso", "scsi0:2.fileName": "b.vmdk", "scsi0:2.present": "FALSE"}
    assert list(hardware.disk_files(values)) == ["scsi0:0", "scsi1:3", "ide1:0", "sata1:2", "nvme0:0"]
    assert [hardware.disk_key(node) for node in hardware.disk_files(values)] == [2000, 2019, 3002, 16032, 32000]
    taken = {f"scsi0:{unit}.present": "TRUE" for unit in range(7)}
    assert hardware.free_node(taken) == "scsi0:8", "unit 7 is the controller"


@pytest.mark.parametrize(
    ("key_safe", "found"),
    [
        ("", ("", "")),
        ("vmware:key/list/(pair/(fqid/<VMWARE-NULL>/kms/key-7,HMAC-SHA-256,x))", ("kms", "key-7")),
        ("vmware:key/list/(pair/(fqid/%3cVMWARE%2dNULL%3e/my%20kms/key%2d7,HMAC))", ("my kms", "key-7")),
        ("something else", ("", "unknown")),
    ],
)
def test_key_of_an_encrypted_vm(tmp_path: Path, key_safe: str, found: tuple[str, str]) -> None:
    read = hardware.hardware({"encryption.keySafe": key_safe}, tmp_path)
    assert (read["key_provider"], read["key_id"]) == found


def test_missing_files_and_circles_cause_no_error(tmp_path: Path) -> None:
    base, delta = tmp_path / "base.vmdk", tmp_path / "delta.vmdk"
    Descriptor(delta, 8, tmp_path / "delta-data", base).write()
    assert descriptors.known_chain(delta) == ([base, delta], 8)
    Descriptor(base, 8, tmp_path / "base-data", delta).write()
    assert descriptors.known_chain(delta) == ([base, delta], 8)
    assert descriptors.known_chain(tmp_path / "nothing.vmdk") == ([tmp_path / "nothing.vmdk"], 0)
    (tmp_path / "garbage.vmdk").write_bytes(b"\xff\x00")
    assert [one.path for one in descriptors.children(base)] == [delta]


def test_snapshot_keeps_all_disks_with_their_places(tmp_path: Path) -> None:
    elsewhere = "/vmfs/volumes/0011-2233/db/db_1.vmdk"
    tree = SnapshotTree.read(tmp_path / "db.vmsd")
    tree.add("ours", "", {"scsi0:0": "db.vmdk", "scsi0:1": elsewhere}, quiesced=True)
    tree.write()
    (found,) = SnapshotTree.read(tree.path).snapshots
    assert found.quiesced and found.disks == {"scsi0:0": "db.vmdk", "scsi0:1": elsewhere}
    assert found.disk_settings() == {"scsi0:0.fileName": "db.vmdk", "scsi0:1.fileName": elsewhere}
    tree.rename_disk("db.vmdk", "new.vmdk")
    assert tree.keeps("new.vmdk") and tree.keeps(elsewhere) and not tree.keeps("db.vmdk")


def test_name_of_a_datastore_in_a_path_becomes_its_uuid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "VOLUMES", tmp_path)
    (tmp_path / "0011-2233").mkdir()
    (tmp_path / "vmware").symlink_to("0011-2233")
    file = tmp_path / "0011-2233" / "db" / "db.vmdk"
    assert volumes.locate("[vmware] db/db.vmdk") == volumes.locate("[0011-2233] db/db.vmdk") == file
    for wrong, kind in (("[other] a", "InvalidDatastore"), ("[vmware] ../a", "InvalidDatastorePath"), ("a", None)):
        with pytest.raises(Refused) as refused:
            volumes.locate(wrong)
        assert kind is None or refused.value.fault == kind


def test_files_move_with_their_parents(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    base = Descriptor(old / "db.vmdk", 8, old / "db-flat.vmdk")
    delta = Descriptor(old / "db-000001.vmdk", 8, old / "db-000001-delta.vmdk", base.path)
    for disk in (base, delta):
        disk.data.write_bytes(b"\0" * (3 << 20) + disk.path.name.encode())
        disk.write()
    absolute = delta.path.read_text().replace('Hint="db.vmdk"', f'Hint="{base.path}"')
    delta.path.write_text(absolute)
    for left in (".lck-0001", "db-1.vswp"):
        (old / left).touch()
    values = {"config.version": "8", "scsi0:0.fileName": "db-000001.vmdk", **identity.moved(old / "db.vmx")}
    settings.write(old / "db.vmx", values)
    vm = VM(old / "db.vmx")
    file_tree.relocate(vm, new)
    assert not old.exists() and vm.path == new / "db.vmx"
    assert [one.path for one in descriptors.chain(new / "db-000001.vmdk")] == [new / "db.vmdk", new / "db-000001.vmdk"]
    assert (new / "db-flat.vmdk").read_bytes() == b"\0" * (3 << 20) + b"db.vmdk"
    assert sorted(path.name for path in new.iterdir() if path.name.startswith(".lck") or path.suffix == ".vswp") == []
    assert not identity.is_copy(settings.read(vm.path), vm.path)
    with pytest.raises(Refused, match="exists already"):
        file_tree.relocate(vm, new)


def test_files_are_listed_and_deleted(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.vmx").write_text("12345")
    found = [(one["path"], one["folder"], one["size"]) for one in file_tree.listing(tmp_path)]
    assert found == [("a", True, 0), ("a/b", True, 0), ("a/b/c.vmx", False, 5)]
    file_tree.delete(tmp_path / "a")
    for missing in (file_tree.delete, file_tree.listing):
        with pytest.raises(Refused) as refused:
            missing(tmp_path / "a")
        assert refused.value.fault == "FileNotFound"
    with pytest.raises(Refused, match="is a datastore"):
        file_tree.delete(volumes.VOLUMES / "0011-2233")
