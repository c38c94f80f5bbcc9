# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's folder comes back from a ZFS snapshot, and only what a restore created is ever removed."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Callable, Iterator, Sequence

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door import local_files
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import Ended, never
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError, RestoreFailed
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore import folder_copy
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.folder_copy import (
    MARKER,
    CopyPlan,
    Place,
    copy_folder,
    plan_copy,
    remove_copy,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs
from hypothesis import given, settings
from hypothesis import strategies as st

RESTORE = "20261120T020000-0000000a"
SNAPSHOT = "tank/vmware@auto"
LARGE = 10**12


class Host(LocalHost):
    """This machine, with a zpool and a zfs that answer from `values`. `gain`: what block cloning saves with each read.

    Without a gain (None), this OpenZFS has no block cloning.
    """

    def __init__(self, gain: int | None = 0, switch: str = "1") -> None:
        self.gain, self.switch, self.saved = gain, switch, 1000
        self.values = {"available": LARGE, "quota": 0, "used": 0, "refquota": 0, "referenced": 0}
        self.parent_quota = 0

    def read(self, path: str) -> str:
        if path.startswith("/sys/module/zfs"):
            if self.gain is None:
                raise FileNotFoundError(path)
            return self.switch + "\n"
        return super().read(path)

    def run(self, command: Sequence[str], seconds: float, stdin: str = "", hurry: Callable[[], bool] = never) -> Ended:
        if command[0] == "zpool":
            return self._zpool(list(command))
        rows = []
        for name in command[-2:]:
            for key, value in self.values.items():
                value = self.parent_quota if (name, key) == ("tank", "quota") else value if name != "tank" else 0
                rows.append(f"{name}\t{key}\t{value}\n")
        return Ended(0, "".join(rows), "")

    def _zpool(self, command: list[str]) -> Ended:
        if command[1] == "sync":
            return Ended(0, "", "")
        if self.gain is None:
            return Ended(2, "", f"bad property list: invalid property '{command[-2]}'")
        if command[-2] == "bclonesaved":
            self.saved += self.gain
            return Ended(0, f"{self.saved}\n", "")
        return Ended(0, "active\n", "")


@pytest.fixture(name="mountpoint")
def mountpoint_(tmp_path: Path) -> Iterator[Path]:
    """The mountpoint of a dataset: the VM `mail`, and its folder in a snapshot with what a running VM leaves there."""
    old = tmp_path / ".zfs/snapshot/auto/mail"
    (old / "sub").mkdir(parents=True)
    (tmp_path / "mail").mkdir()
    for folder in (old, tmp_path / "mail"):
        for name in ("mail.vmx", "mail-flat.vmdk", "vmware.log"):
            (folder / name).write_bytes(os.urandom(9000))
    for name in (".lck-0a00000000000000", "mail-1234.vswp", "vmx-mail-1.vswp", ".nfs00000001", MARKER, "sub/x.vswp"):
        (old / name).write_bytes(b"stale")
    (old / "sub" / "mail.nvram").write_bytes(b"nvram")
    (old / "link").symlink_to(tmp_path / "mail" / "mail.vmx")
    old.chmod(0o750)
    os.utime(old, ns=(5, 6))
    yield tmp_path


def place(mountpoint: Path, name: str = "mail-restored", restore: str = RESTORE) -> Place:
    return Place.beside(str(mountpoint), name, restore)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_of_the_snapshot_comes_back_without_stale_files(mountpoint: Path) -> None:
    zfs = Zfs(host=Host(gain=LARGE))
    plan = plan_copy(zfs, str(mountpoint), SNAPSHOT, "mail")
    assert plan.shares and sorted(plan.left_out) == [
        ".lck-0a00000000000000", ".nfs00000001", MARKER, "link", "mail-1234.vswp", "sub/x.vswp", "vmx-mail-1.vswp",
    ]  # fmt: skip
    seen: list[tuple[int, int]] = []
    living = content(mountpoint / "mail")
    done = copy_folder(zfs, plan, place(mountpoint), lambda now, total: seen.append((now, total)))
    copy = mountpoint / "mail-restored"
    old = {name: data for name, data in content(mountpoint / ".zfs/snapshot/auto/mail").items() if data != b"stale"}
    del old["link"]
    assert content(copy) == {**old, MARKER: f"{RESTORE}\n".encode()} and content(mountpoint / "mail") == living
    assert (done.bytes, done.files, done.shared) == (27005, 4, True)
    assert seen[-1] == (27005, 27005) and sorted(seen) == seen
    assert (copy.stat().st_mode & 0o7777, copy.stat().st_mtime_ns) == (0o750, 6)
    assert sorted(path.name for path in mountpoint.iterdir()) == [".zfs", "mail", "mail-restored"]


@pytest.mark.parametrize("host", [Host(gain=0), Host(gain=100), Host(gain=None), Host(gain=LARGE, switch="0")])
def test_sharing_is_claimed_only_if_the_pool_proves_it(mountpoint: Path, host: Host) -> None:
    zfs = Zfs(host=host)
    plan = plan_copy(zfs, str(mountpoint), SNAPSHOT, "mail")
    assert not copy_folder(zfs, plan, place(mountpoint)).shared


@pytest.mark.parametrize(
    ("gain", "values", "problem"),
    [
        (
            0,
            {"quota": 100_000, "used": 90_000},
            r"needs [0-9.]+ KiB, and the quota of tank/vmware leaves 9.8 KiB; raise",
        ),
        (0, {"refquota": 100_000, "referenced": 100_001}, "the quota of tank/vmware leaves 0 bytes"),
        (None, {"available": 20_000}, r"needs [0-9.]+ KiB, and tank/vmware has 19.5 KiB available; free some space"),
    ],
)
def test_without_room_nothing_begins(mountpoint: Path, gain: int | None, values: dict[str, int], problem: str) -> None:
    host = Host(gain=gain)
    host.values.update(values)
    with pytest.raises(InputError, match=problem):
        plan_copy(Zfs(host=host), str(mountpoint), SNAPSHOT, "mail")


def test_the_quota_of_a_parent_counts(mountpoint: Path) -> None:
    host = Host()
    host.parent_quota = 1000
    with pytest.raises(InputError, match="the quota of tank leaves 1000 bytes"):
        plan_copy(Zfs(host=host), str(mountpoint), SNAPSHOT, "mail")


def test_shared_blocks_need_no_room_in_the_pool(mountpoint: Path) -> None:
    host = Host()
    host.values["available"] = 0
    assert plan_copy(Zfs(host=host), str(mountpoint), SNAPSHOT, "mail").shares


@pytest.mark.parametrize(
    ("snapshot", "folder", "problem"),
    [
        (SNAPSHOT, "web", "The snapshot tank/vmware@auto has no folder 'web'; choose another snapshot"),
        (SNAPSHOT, "mail/mail.vmx", "has no folder 'mail/mail.vmx'"),
        ("tank/vmware@none", "mail", "The content of the snapshot tank/vmware@none is not visible at .*snapdir"),
        (SNAPSHOT, "../auto/mail", "is not a folder of tank/vmware@auto"),
        (SNAPSHOT, "/etc", "is not a folder of"),
        (SNAPSHOT, "", "tank/vmware@auto has the files of the VM directly in the root"),
        (SNAPSHOT, "./", "directly in the root of the dataset, not in a folder"),
    ],
)
def test_a_folder_that_is_not_there_is_a_sentence(mountpoint: Path, snapshot: str, folder: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        plan_copy(Zfs(host=Host()), str(mountpoint), snapshot, folder)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "x" * 256])
def test_an_impossible_name_is_refused(mountpoint: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be the name of a folder"):
        place(mountpoint, name)


def test_a_taken_name_is_refused_and_what_has_it_stays(mountpoint: Path) -> None:
    zfs = Zfs(host=Host())
    taken = place(mountpoint, "mail")
    living = content(mountpoint / "mail")
    with pytest.raises(InputError, match="/mail exists already; choose another name"):
        folder_copy.require_free(zfs.host, taken)
    with pytest.raises(InputError, match="/mail exists already; choose another name"):
        copy_folder(zfs, plan_copy(zfs, str(mountpoint), SNAPSHOT, "mail"), taken)
    assert remove_copy(zfs.host, taken) == "" == remove_copy(zfs.host, taken)
    assert content(mountpoint / "mail") == living
    assert sorted(path.name for path in mountpoint.iterdir()) == [".zfs", "mail"]


@pytest.mark.parametrize(
    ("number", "advice"), [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "raise the quota"), (errno.EIO, "fix the")]
)
def test_a_copy_that_fails_says_why_and_can_be_removed(
    mountpoint: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    zfs = Zfs(host=Host())
    plan = plan_copy(zfs, str(mountpoint), SNAPSHOT, "mail")

    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(local_files, "_copy_range", fail)
        with pytest.raises(RestoreFailed, match=f"mail-restored could not be made: {os.strerror(number)}.*{advice}"):
            copy_folder(zfs, plan, place(mountpoint))
    assert (mountpoint / "mail-restored").exists()
    assert remove_copy(zfs.host, place(mountpoint)) == ""
    assert sorted(path.name for path in mountpoint.iterdir()) == [".zfs", "mail"]


class Killed(BaseException):
    """The process was killed."""


class Mortal(Host):
    """Dies in the call with the number `last` that changes something, before or after it takes effect."""

    def __init__(self, last: int, after: bool) -> None:
        super().__init__()
        self.last, self.after = last, after

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name not in ("make_folder", "replace_file", "rename_new", "copy_part", "copy_attributes", "remove_tree"):
            return found

        def call(*arguments: object, **options: object) -> object:
            self.last -= 1
            if self.last == 0 and not self.after:
                raise Killed
            answer = found(*arguments, **options)
            if self.last == 0:
                raise Killed
            return answer

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("last", range(1, 12))
def test_what_a_killed_copy_left_is_removed(mountpoint: Path, last: int, after: bool) -> None:
    """Also by a removal that is killed itself, and repeated."""
    zfs = Zfs(host=Host())
    plan = plan_copy(zfs, str(mountpoint), SNAPSHOT, "mail")
    try:
        copy_folder(Zfs(host=Mortal(last, after)), plan, place(mountpoint))
        assert last == 11
    except Killed:
        pass
    for call in (1, 2):
        try:
            remove_copy(Mortal(call, after), place(mountpoint))
        except Killed:
            pass
    assert remove_copy(zfs.host, place(mountpoint)) == "" == remove_copy(zfs.host, place(mountpoint))
    assert sorted(path.name for path in mountpoint.iterdir()) == [".zfs", "mail"]


def test_a_marker_that_was_never_finished_is_removed_with_its_folder(mountpoint: Path) -> None:
    temporary = Path(place(mountpoint).temporary)
    temporary.mkdir()
    (temporary / f".{MARKER}.new").write_bytes(b"2026")
    assert remove_copy(LocalHost(), place(mountpoint)) == "" and not temporary.exists()


MARKERS = st.sampled_from([None, RESTORE, f"{RESTORE}\n", "20261120T020000-0000000b", "", f"{RESTORE} x"])


@settings(max_examples=80)
@given(MARKERS, MARKERS, st.booleans(), st.booleans())
def test_only_a_folder_with_our_marker_is_ever_removed(
    final: str | None, temporary: str | None, has_final: bool, has_temporary: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        where = place(Path(folder))
        states = ((where.path, final, has_final), (where.temporary, temporary, has_temporary))
        for path, marker, exists in states:
            if exists:
                Path(path).mkdir()
                Path(path, "disk").write_bytes(b"data")
                if marker is not None:
                    Path(path, MARKER).write_text(marker)
        left = remove_copy(LocalHost(), where)
        strange = has_temporary and (temporary or "").strip() != RESTORE
        for path, marker, exists in states:
            ours = (marker or "").strip() == RESTORE
            gone = exists and ours and not (strange and path == where.path)
            assert Path(path, "disk").exists() == (exists and not gone)
        assert bool(left) == strange


def test_a_link_in_place_of_the_copy_is_not_followed(mountpoint: Path) -> None:
    (mountpoint / "mail" / MARKER).write_text(RESTORE)
    Path(place(mountpoint).temporary).symlink_to(mountpoint / "mail")
    assert "cannot be removed" in remove_copy(LocalHost(), place(mountpoint))
    assert (mountpoint / "mail" / "mail.vmx").exists()


def test_the_data_of_the_step_is_the_place(mountpoint: Path) -> None:
    assert Place.of(place(mountpoint).as_dict()) == place(mountpoint)
    assert isinstance(CopyPlan("tank", "/x").bytes, int)
