# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs in a ZFS snapshot are found by their files. Damaged and foreign files affect only their VM."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import FilesUnreachable
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import contents
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.contents import (
    Contents,
    FoundVm,
    contents_of,
    folder_of,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.remarks import remarks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import (
    StorageHost,
    description,
    snapshot_name,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.mounts import Mount
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName

from tests.lab.hypervisor.inside import descriptors, settings
from tests.lab.hypervisor.inside.snapshot_tree import SnapshotTree

SNAPSHOT = SnapshotName("tank/vmware", "auto")
RUN = "20260131T020000-1f2e3d4c"
OLDER = "20251231T020000-1f2e3d4c"
NAS = StorageHost("nas1", "0123456789ab")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the ZFS snapshot SNAPSHOT of a dataset at tmp_path."""
    folder = tmp_path / ".zfs" / "snapshot" / "auto"
    folder.mkdir(parents=True)
    return folder


def vm(folder: Path, name: str, disk: str = "", **more: str) -> Path:
    """Write a VM with one disk, as the lab's hypervisor does."""
    folder.mkdir(exist_ok=True)
    disk = disk or f"{name}.vmdk"
    settings.write(
        folder / f"{name}.vmx",
        {"displayName": name, "scsi0.present": "TRUE", "scsi0:0.present": "TRUE", "scsi0:0.fileName": disk, **more},
    )
    if "/" not in disk:
        descriptors.Descriptor(folder / disk, 2048, folder / f"{disk[:-5]}-flat.vmdk").write()
    return folder


def look(tmp_path: Path) -> Contents:
    return contents_of(LocalHost(), str(tmp_path), SNAPSHOT)


def only(tmp_path: Path) -> FoundVm:
    found = look(tmp_path)
    assert not found.problems and len(found.vms) == 1
    return found.vms[0]


def test_vms_are_found_in_folders_and_in_the_root(tmp_path: Path, root: Path) -> None:
    vm(root / "mail", "mail")
    vm(root, "loose")
    vm(root / "golden", "golden")
    (root / "golden" / "golden.vmx").rename(root / "golden" / "golden.vmtx")
    vm(root / "deep", "deep").rename(root / "mail" / "deep")
    (root / "mail" / "mail.vmx~").write_text("x")
    (root / "iso").mkdir()
    (root / "iso" / "linux.iso").write_bytes(b"\0")
    found = look(tmp_path)
    assert [(one.path, one.configuration.name) for one in found.vms] == [
        ("loose.vmx", "loose"),
        ("golden/golden.vmtx", "golden"),
        ("mail/mail.vmx", "mail"),
    ]
    assert found.problems == () and not any(one.problems or remarks(one) for one in found.vms)
    assert found.vms[2].disks[0].chain.files == ("mail.vmdk", "mail-flat.vmdk")


def test_what_is_missing_in_a_copy_is_said(tmp_path: Path, root: Path) -> None:
    folder = vm(
        root / "a", "a", disk="/vmfs/volumes/ds/b/b.vmdk",
        **{"scsi0:1.present": "TRUE", "scsi0:1.fileName": "c.vmdk", "scsi0:1.mode": "independent-persistent",
           "scsi0:2.present": "TRUE", "scsi0:2.fileName": "r.vmdk", "workingDir": "/vmfs/volumes/fast/a",
           "encryption.keySafe": "x", "checkpoint.vmState": "a.vmss"},
    )  # fmt: skip
    parent = Path("/vmfs/volumes/ds/golden/golden.vmdk")
    descriptors.Descriptor(folder / "c.vmdk", 1, folder / "c-delta.vmdk", parent).write()
    (folder / "r.vmdk").write_text(
        '# Disk DescriptorFile\ncreateType="vmfsPassthroughRawDeviceMap"\nRW 1 VMFSRDM "r-rdmp.vmdk"\n'
    )
    assert remarks(only(tmp_path)) == [
        "The VM is encrypted, so vCenter needs the same key provider.",
        "The VM was suspended. A restore discards its memory, so the guest starts as after a power failure.",
        "Its working directory is /vmfs/volumes/fast/a, so the files of its VMware snapshots are there.",
        "The disk scsi0:0 is in another folder: /vmfs/volumes/ds/b/b.vmdk.",
        "VMware snapshots do not include its independent disk scsi0:1, so that disk has the level crash.",
        "A file of the disk scsi0:1 is in another folder: /vmfs/volumes/ds/golden/golden.vmdk.",
        "The disk scsi0:2 is a raw device mapping (physical), so its data is not in the ZFS snapshot.",
    ]


def test_a_damaged_file_affects_only_its_vm(tmp_path: Path, root: Path) -> None:
    vm(root / "a", "a")
    vm(root / "b", "b")
    (root / "b" / "b.vmx").write_bytes(b"\0\0\0")
    vm(root / "c", "c")
    (root / "c" / "c.vmdk").unlink()
    (root / "c" / "c.vmsd").write_text('snapshot.numSnapshots = "1"\n')
    vm(root / "d", "d")
    (root / "d" / "d.vmdk").write_bytes(b"KDMV\1\0")
    found = look(tmp_path)
    assert [one.configuration.name for one in found.vms] == ["a", "c", "d"]
    (problem,) = found.problems
    assert problem.startswith("The file b/b.vmx cannot be used: line 1 is not of the form")
    listed, disk = found.vms[1].problems
    assert listed.startswith("The file c/c.vmsd cannot be used: snapshot0.uid is missing")
    assert disk.startswith("The disk scsi0:0 cannot be used: The file c/c.vmdk cannot be used: No such file")
    assert "it is not a disk descriptor" in found.vms[2].problems[0]


def test_nothing_outside_of_the_snapshot_is_read(tmp_path: Path, root: Path) -> None:
    secret = vm(tmp_path / "secret", "secret")
    (root / "folder").symlink_to(secret)
    (root / "linked").mkdir()
    (root / "linked" / "linked.vmx").symlink_to(secret / "secret.vmx")
    (root / "pipe").mkdir()
    os.mkfifo(root / "pipe" / "pipe.vmx")
    vm(root / "up", "up", disk="../../../../secret/secret.vmdk")
    (root / "large").mkdir()
    with (root / "large" / "large.vmx").open("wb") as file:
        file.truncate(10 * 2**20)
    found = look(tmp_path)
    assert [one.configuration.name for one in found.vms] == ["up"] and found.vms[0].disks[0].chain.descriptors == ()
    assert [problem.split(" cannot")[0] for problem in found.problems] == [
        "The file large/large.vmx", "The file linked/linked.vmx", "The file pipe/pipe.vmx",
    ]  # fmt: skip
    assert "File too large" in found.problems[0] and "not a regular file" in found.problems[2]


def test_a_snapshot_that_cannot_be_opened_is_a_sentence(tmp_path: Path, root: Path) -> None:
    found = contents_of(LocalHost(), str(tmp_path), SnapshotName("tank/vmware", "none"))
    assert found.vms == () and "tank/vmware@none cannot be opened" in found.problems[0]


def test_a_folder_that_cannot_be_listed_is_a_sentence(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm(root / "a", "a")
    vm(root / "b", "b")

    class Host(LocalHost):
        def list_folder(self, path: str) -> list[str]:
            if path.endswith("/a"):
                raise PermissionError(13, "Permission denied", path)
            return super().list_folder(path)

    found = contents_of(Host(), str(tmp_path), SNAPSHOT)
    assert found.problems == ("The folder a cannot be read: Permission denied.",)
    assert [one.configuration.name for one in found.vms] == ["b"]


def test_what_is_read_is_limited(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        vm(root / name, name)
        vm(root / name, f"{name}2")
    monkeypatch.setattr(contents, "_MOST_FOLDERS", 2)
    monkeypatch.setattr(contents, "_MOST_VMS_IN_FOLDER", 1)
    found = look(tmp_path)
    assert [one.configuration.name for one in found.vms] == ["a", "b"]
    assert found.problems[0] == "tank/vmware@auto has more than 2 files and folders; the others were not read."
    assert found.problems[1] == "The folder a has more than 1 VM; the others were not read."


# ---- Our VMware snapshot


def with_snapshots(root: Path, *made: tuple[str, str]) -> None:
    """Give the VM `a` VMware snapshots: the run that made each, and the ZFS snapshot that it was made for."""
    tree = SnapshotTree(vm(root / "a", "a") / "a.vmsd")
    for run, snapshot in made:
        text = description(NAS, run, snapshot) if snapshot else "by hand"
        tree.add(snapshot_name(run) if run else "before the update", text, {"scsi0:0": "a.vmdk"})
    tree.write()


def test_our_vmware_snapshot_is_found_by_what_it_was_made_for(tmp_path: Path, root: Path) -> None:
    with_snapshots(root, ("", ""), (OLDER, "backup/vmware@old"), (RUN, "other/name@auto"))
    found = only(tmp_path)
    ours = found.made_for(SNAPSHOT)
    assert ours is not None and ours.name == snapshot_name(RUN)
    older = found.made_for(SnapshotName("tank/vmware", "renamed"), OLDER)
    assert older is not None and older.name == snapshot_name(OLDER)


def test_a_vmware_snapshot_that_was_left_behind_is_not_ours(tmp_path: Path, root: Path) -> None:
    with_snapshots(root, (OLDER, "tank/vmware@old"), ("", ""))
    assert only(tmp_path).made_for(SNAPSHOT) is None
    assert only(tmp_path).made_for(SNAPSHOT, RUN) is None


# ---- Where a dataset is mounted


def dataset(mountpoint: str | None = "/tank/vmware", kind: str = "filesystem") -> Dataset:
    return Dataset("tank/vmware", kind, mountpoint, mountpoint is not None)


def mounted(place: str, visible: bool = True, source: str = "tank/vmware", root: str = "/") -> Mount:
    return Mount(source, root, place, "zfs", visible)


def test_the_mount_table_knows_where_a_dataset_is() -> None:
    assert folder_of(dataset(None), [mounted("/elsewhere")]) == "/elsewhere"  # for example, mountpoint=legacy
    assert folder_of(dataset(), [mounted("/hidden", visible=False), mounted("/seen")]) == "/seen"
    assert folder_of(dataset(), [mounted("/part", root="/mail")]) == "/tank/vmware"
    assert folder_of(dataset(), []) == "/tank/vmware"  # an operating system without a mount table


@pytest.mark.parametrize(
    ("what", "mounts", "problem"),
    [
        (dataset(None), [], "tank/vmware is not mounted; mount it with 'zfs mount tank/vmware'."),
        (dataset(), [mounted("/tank/vmware", visible=False)], "tank/vmware is hidden by another mount"),
        (dataset(None, "volume"), [], "tank/vmware is a volume"),
    ],
)
def test_a_dataset_without_a_folder_is_a_sentence(what: Dataset, mounts: list[Mount], problem: str) -> None:
    with pytest.raises(FilesUnreachable) as caught:
        folder_of(what, mounts)
    assert problem in str(caught.value)
