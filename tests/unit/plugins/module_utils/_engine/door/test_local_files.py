# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders are copied byte by byte and hole by hole, and removed without leaving them."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door import local_files
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.host import Found
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
from hypothesis import example, given, settings
from hypothesis import strategies as st

HOST = LocalHost()
BLOCK = 4096
SHARE = getattr(os, "copy_file_range", None)


def refused(number: int) -> Callable[..., int]:
    def share(*_arguments: Any) -> int:
        raise OSError(number, os.strerror(number))

    return share


def copied(source: Path, target: Path, most: int) -> int:
    """Copy in parts, and return how many calls it took."""
    at: int | None = 0
    calls = 0
    while at is not None:
        at = HOST.copy_part(str(source), str(target), at, most)
        calls += 1
        assert calls < 1000
    return calls


def holes(path: Path) -> list[tuple[int, int]]:
    """The parts of a file with data, as the file system shows them."""
    found = []
    with path.open("rb") as file:
        at, size = 0, path.stat().st_size
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            found.append((begin, at))
    return found


@settings(max_examples=60)
@given(
    st.integers(0, 20 * BLOCK),
    st.lists(st.tuples(st.integers(0, 19), st.binary(min_size=1, max_size=2 * BLOCK)), max_size=4),
    st.integers(1, 8),
    st.booleans(),
)
@example(0, [], 1, True)
@example(20 * BLOCK, [], 1, False)
def test_a_copy_has_the_same_bytes_and_holes(
    size: int, pieces: list[tuple[int, bytes]], blocks: int, shares: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if not shares:
            patch.setattr(os, "copy_file_range", refused(errno.EXDEV), raising=False)
        source, target = Path(folder, "source"), Path(folder, "target")
        with source.open("wb") as file:
            file.truncate(size)
            for block, data in pieces:
                file.seek(block * BLOCK)
                file.write(data)
        source.chmod(0o604)
        os.utime(source, ns=(1_000_000_001, 2_000_000_002))
        copied(source, target, blocks * BLOCK)
        assert target.read_bytes() == source.read_bytes()
        assert holes(target) == holes(source)
        facts = target.stat()
        assert stat.S_IMODE(facts.st_mode) == 0o604 and facts.st_mtime_ns == 2_000_000_002


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_blocks_cannot_be_shared_they_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    monkeypatch.setattr(os, "copy_file_range", refused(number), raising=False)
    assert copied(source, tmp_path / "target", 1024 * 1024) == 4
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_a_share_that_stops_half_way_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(10 * BLOCK))
    answers = [3 * BLOCK, 0]
    monkeypatch.setattr(
        os,
        "copy_file_range",
        lambda reading, writing, count, at, to: (
            answers[0] and os.pwrite(writing, os.pread(reading, answers.pop(0), at), to)
        ),
        raising=False,
    )
    copied(source, tmp_path / "target", 10 * BLOCK)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


def test_other_errors_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"x" * BLOCK)
    monkeypatch.setattr(os, "copy_file_range", refused(errno.ENOSPC), raising=False)
    with pytest.raises(OSError, match="No space left"):
        copied(tmp_path / "source", tmp_path / "target", BLOCK)


def test_a_file_system_without_holes_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_bytes(b"x" * 5000)
    monkeypatch.setattr(os, "lseek", refused(errno.EINVAL))
    copied(tmp_path / "source", tmp_path / "target", BLOCK)
    assert (tmp_path / "target").read_bytes() == b"x" * 5000


def test_nothing_is_overwritten_and_no_link_is_followed(tmp_path: Path) -> None:
    living, link = tmp_path / "living", tmp_path / "link"
    living.write_bytes(b"living")
    (tmp_path / "source").write_bytes(b"old")
    link.symlink_to(living)
    for target in (living, link):
        with pytest.raises(FileExistsError):
            HOST.copy_part(str(tmp_path / "source"), str(target), 0, BLOCK)
    with pytest.raises(OSError):
        HOST.copy_part(str(tmp_path / "source"), str(link), 1, BLOCK)
    with pytest.raises(OSError):
        HOST.copy_part(str(link), str(tmp_path / "target"), 0, BLOCK)
    assert living.read_bytes() == b"living"


def test_a_tree_shows_sizes_and_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024 * 1024)
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    found = {one.path: one for one in HOST.tree(str(tmp_path))}
    assert list(found) == ["a", "a/b", "a/b/c", "link", "pipe", "sparse"]
    assert {path: one.kind for path, one in found.items()} == {
        "a": "folder", "a/b": "folder", "a/b/c": "file", "link": "other", "pipe": "other", "sparse": "file",
    }  # fmt: skip
    assert found["a/b/c"].size == 5 and found["sparse"] == Found("sparse", "file", 1024 * 1024, 0)
    with pytest.raises(FileNotFoundError):
        HOST.tree(str(tmp_path / "none"))
    with pytest.raises(OSError):
        HOST.tree(str(tmp_path / "link"))


@pytest.mark.parametrize("supported", [True, False])
def test_a_rename_never_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    if not supported:
        monkeypatch.setattr(local_files, "_rename_exclusively", refused(errno.EINVAL))
    for name in ("ours", "empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "disk").write_bytes(b"living")
    (tmp_path / "dangling").symlink_to("nowhere")
    for taken in ("empty", "full", "dangling"):
        with pytest.raises(FileExistsError):
            HOST.rename_new(str(tmp_path / "ours"), str(tmp_path / taken))
    HOST.rename_new(str(tmp_path / "ours"), str(tmp_path / "new"))
    assert (tmp_path / "new").is_dir() and not (tmp_path / "ours").exists()
    assert (tmp_path / "full" / "disk").read_bytes() == b"living"
    with pytest.raises(FileNotFoundError):
        HOST.rename_new(str(tmp_path / "ours"), str(tmp_path / "again"))


def test_a_folder_gets_the_attributes_of_another(tmp_path: Path) -> None:
    HOST.make_folder(str(tmp_path / "model"), 0o751)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o751, "regardless of the umask"
    with pytest.raises(FileExistsError):
        HOST.make_folder(str(tmp_path / "model"), 0o700)
    os.utime(tmp_path / "model", ns=(1, 2))
    HOST.make_folder(str(tmp_path / "copy"), 0o700)
    HOST.copy_attributes(str(tmp_path / "model"), str(tmp_path / "copy"))
    facts = (tmp_path / "copy").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime_ns) == (0o751, 2)


def test_a_tree_is_removed_without_following_links_and_the_marker_goes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    living = tmp_path / "living"
    living.mkdir()
    (living / "disk").write_bytes(b"living")
    doomed = tmp_path / "doomed"
    (doomed / "a").mkdir(parents=True)
    for name in (".first", "zlast", "a/deep"):
        (doomed / name).write_bytes(b"x")
    (doomed / "a" / "link").symlink_to(living)
    (doomed / "link").symlink_to(living / "disk")
    removed: list[str] = []
    unlink = os.unlink

    def watched(name: str, **options: Any) -> None:
        removed.append(name)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", watched)
    HOST.remove_tree(str(doomed), last=".first")
    assert removed[-1] == ".first" and len(removed) == 5
    assert not doomed.exists() and (living / "disk").read_bytes() == b"living"
    (tmp_path / "link").symlink_to(living)
    with pytest.raises(OSError):
        HOST.remove_tree(str(tmp_path / "link"))
    assert (living / "disk").exists()


def test_what_is_mounted_below_is_never_entered(tmp_path: Path) -> None:
    """Neither another file system, nor a folder of the same one that is mounted a second time."""
    script = f"""
        cd {tmp_path} && mkdir -p doomed/other doomed/again/ living && echo living >living/disk && echo x >doomed/file
        mount -t tmpfs none doomed/other && echo living >doomed/other/disk
        mount --bind living doomed/again
        exec {sys.executable} -c '
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door.local import LocalHost
print([(one.path, one.kind) for one in LocalHost().tree("doomed")])
for name in ("again", "other"):
    try:
        LocalHost().remove_tree("doomed")
    except OSError as error:
        print(error.errno, sorted(__import__("os").listdir("doomed")), open("living/disk").read())
'
    """
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip("this test needs root")
    shown = "[('again', 'other'), ('file', 'file'), ('other', 'other')]\n"
    refusal = f"{errno.EXDEV} ['again', 'file', 'other'] living\n\n"
    assert (done.stdout, done.stderr) == (shown + 2 * refusal, "")


# ---- Files that others may have created


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "a.vmx"
    file.write_bytes(b"a\r\n\xff")
    assert HOST.read_regular(str(file), 4) == "a\r\n\udcff"
    with pytest.raises(OSError) as caught:
        HOST.read_regular(str(file), 3)
    assert caught.value.errno == errno.EFBIG


def test_nothing_else_is_read_and_nothing_waits(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "none", "."):
        with pytest.raises(OSError):
            HOST.read_regular(str(tmp_path / name), 1000)
    with pytest.raises(OSError):
        HOST.read_regular("/dev/zero", 1000)
