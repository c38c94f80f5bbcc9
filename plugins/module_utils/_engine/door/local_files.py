# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads files, and copies, renames and removes folders, on the machine on which the engine runs.

See StorageHost for each function. A folder is never entered by its path alone, because someone may replace a part of
the path by a symbolic link.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from ..durable import sync_folder
from .host import Found

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CHUNK = 1024 * 1024  # bytes of a plain copy at a time
_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2)
_HERE = -100  # AT_FDCWD
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_CANNOT_SHARE = (*_UNSUPPORTED, errno.EXDEV, errno.EPERM)  # of copy_file_range(2)


@contextmanager
def _opened(path: str, flags: int, mode: int = 0, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_regular(path: str, most: int) -> str:
    with _opened(path, os.O_RDONLY | os.O_NONBLOCK) as file:  # opening a named pipe must not wait for its other end
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", path)
        if facts.st_size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        with os.fdopen(os.dup(file), "rb") as content:
            return content.read(most).decode("utf-8", "surrogateescape")


def tree(path: str) -> list[Found]:
    with _opened(path, _FOLDER) as folder:
        return list(_below(folder, "", _mount_of(folder)))


def _below(folder: int, prefix: str, mount: tuple[int, str]) -> Iterator[Found]:
    for name in sorted(os.listdir(folder)):
        facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
        path, allocated = prefix + name, facts.st_blocks * 512
        if stat.S_ISREG(facts.st_mode):
            yield Found(path, "file", facts.st_size, allocated)
        elif not stat.S_ISDIR(facts.st_mode):
            yield Found(path, "other")
        else:
            with _opened(name, _FOLDER, folder=folder) as below:
                if _mount_of(below) != mount:
                    yield Found(path, "other")
                else:
                    yield Found(path, "folder", 0, allocated)
                    yield from _below(below, f"{path}/", mount)


def _mount_of(descriptor: int) -> tuple[int, str]:
    """Return what distinguishes the file system, and on Linux also the mount: the same folder may be mounted twice."""
    try:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    mount = next((line for line in lines if line.startswith("mnt_id:")), "")
    return os.fstat(descriptor).st_dev, mount


def make_folder(path: str, mode: int) -> None:
    os.mkdir(path, mode)
    os.chmod(path, mode)  # regardless of the umask
    sync_folder(Path(path).parent)


def rename_new(path: str, new: str) -> None:
    try:
        _rename_exclusively(path, new)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        # The system or the file system does not support it (OpenZFS before 2.2). Then a rename replaces only an empty
        # folder that is created between these two calls.
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
        os.rename(path, new)
    for folder in sorted({Path(path).parent, Path(new).parent}):
        sync_folder(folder)


def _rename_exclusively(path: str, new: str) -> None:
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(_HERE, os.fsencode(path), _HERE, os.fsencode(new), ctypes.c_uint(_NO_REPLACE)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), new if number == errno.EEXIST else path)


def copy_part(source: str, target: str, begin: int, most: int) -> int | None:
    create = 0 if begin else os.O_CREAT | os.O_EXCL
    with _opened(source, os.O_RDONLY) as reading, _opened(target, os.O_WRONLY | create, 0o600) as writing:
        size = os.fstat(reading).st_size
        at = _copy_data(reading, writing, begin, size, most)
        if at < size:
            return at
        os.ftruncate(writing, size)
        _give_attributes(os.fstat(reading), writing)
    return None


def _copy_data(reading: int, writing: int, at: int, size: int, most: int) -> int:
    """Copy at most `most` bytes of data, skip holes, and return the offset that was reached."""
    while at < size and most > 0:
        begin = _seek(reading, at, os.SEEK_DATA, size)
        end = min(_seek(reading, begin, os.SEEK_HOLE, size), begin + most) if begin < size else size
        _copy_range(reading, writing, begin, end)
        most -= end - begin
        at = end
    return at


def _seek(descriptor: int, at: int, what: int, size: int) -> int:
    """Return the offset of the next data or hole, at most `size`. Without support, the whole file is data."""
    try:
        return min(os.lseek(descriptor, at, what), size)
    except OSError as error:
        if error.errno == errno.ENXIO:  # no data after this offset
            return size
        if error.errno not in _UNSUPPORTED:
            raise
        return at if what == os.SEEK_DATA else size


def _copy_range(reading: int, writing: int, at: int, end: int) -> None:
    """Copy data, if possible without reading it. If blocks cannot be shared, the system may copy them or refuse."""
    share = getattr(os, "copy_file_range", None)  # Python has it on Linux only
    while share is not None and at < end:
        try:
            copied = share(reading, writing, end - at, at, at)
        except OSError as error:
            if error.errno not in _CANNOT_SHARE:
                raise
            copied = 0
        if not copied:
            break
        at += copied
    while at < end:
        chunk = os.pread(reading, min(_CHUNK, end - at), at)
        if not chunk:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        at += os.pwrite(writing, chunk, at)


def copy_attributes(source: str, target: str) -> None:
    with _opened(source, _FOLDER) as model, _opened(target, _FOLDER) as folder:
        _give_attributes(os.fstat(model), folder)


def _give_attributes(model: os.stat_result, descriptor: int) -> None:
    os.fchown(descriptor, model.st_uid, model.st_gid)  # before the mode, because it clears bits of the mode
    os.fchmod(descriptor, stat.S_IMODE(model.st_mode))
    os.utime(descriptor, ns=(model.st_atime_ns, model.st_mtime_ns))


def remove_tree(path: str, last: str = "") -> None:
    with _opened(path, _FOLDER) as folder:
        mount = _mount_of(folder)
        _refuse_mounts(folder, path, mount)
        _empty(folder, path, mount, last)
    os.rmdir(path)
    sync_folder(Path(path).parent)


def _refuse_mounts(folder: int, path: str, mount: tuple[int, str]) -> None:
    for name in _folders(folder):
        with _opened(name, _FOLDER, folder=folder) as below:
            _require_mount(below, f"{path}/{name}", mount)
            _refuse_mounts(below, f"{path}/{name}", mount)


def _require_mount(folder: int, path: str, mount: tuple[int, str]) -> None:
    if _mount_of(folder) != mount:
        raise OSError(errno.EXDEV, "another file system is mounted there", path)


def _empty(folder: int, path: str, mount: tuple[int, str], last: str = "") -> None:
    for name in _folders(folder):
        with _opened(name, _FOLDER, folder=folder) as below:
            _require_mount(below, f"{path}/{name}", mount)
            _empty(below, f"{path}/{name}", mount)
        os.rmdir(name, dir_fd=folder)
    for name in sorted(os.listdir(folder), key=lambda name: name == last):
        os.unlink(name, dir_fd=folder)


def _folders(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
