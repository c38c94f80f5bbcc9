# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, loop devices and freezing, by calls of the kernel. No program is started, so each takes milliseconds."""

from __future__ import annotations

import ctypes
import fcntl
import os
import struct
import threading
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

NOATIME = 1024  # linux/mount.h
LAZY = 2  # umount2: MNT_DETACH

# linux/loop.h. The structure loop_config: file, block size, loop_info64, 8 reserved numbers.
_CONFIGURE, _CLEAR, _GET_FREE = 0x4C0A, 0x4C01, 0x4C82
_CONFIG = struct.Struct("=II 5Q 3II 64s64s32s 2Q 8Q")
_DIRECT_IO = 16

_FREEZE, _THAW = 0xC0045877, 0xC0045878  # linux/fs.h

_free_loop = threading.Lock()


def mount(source: str, target: Path, kind: str, flags: int = 0, data: str = "") -> None:
    """Raises OSError with the target."""
    if _libc.mount(source.encode(), str(target).encode(), kind.encode(), flags, data.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def unmount(target: Path, flags: int = 0) -> None:
    """Raises OSError with the target."""
    if _libc.umount2(str(target).encode(), flags):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))


def attach_loop(file: Path) -> str:
    """Return the loop device of a file, without a cache in between: what the device has written, the server has."""
    descriptor = os.open(file, os.O_RDWR | os.O_DIRECT)
    try:
        with _free_loop, open("/dev/loop-control", "rb") as control:
            device = f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}"
            with open(device, "rb+", buffering=0) as loop:
                name = str(file).encode()[-63:]
                config = _CONFIG.pack(descriptor, 512, *[0] * 5, *[0] * 3, _DIRECT_IO, name, b"", b"", *[0] * 10)
                fcntl.ioctl(loop, _CONFIGURE, config)
    finally:
        os.close(descriptor)
    if Path(f"/sys/block/{device[5:]}/loop/dio").read_text().strip() != "1":
        raise RuntimeError(f"{device} has no direct access to {file}")
    return device


def detach_loop(device: str) -> None:
    with open(device, "rb", buffering=0) as loop:
        fcntl.ioctl(loop, _CLEAR)


def freeze(folder: Path) -> None:
    """Write everything to the disk, empty the journal, and block all writes."""
    _on_folder(folder, _FREEZE)


def thaw(folder: Path) -> None:
    _on_folder(folder, _THAW)


def _on_folder(folder: Path, request: int) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, request, 0)
    finally:
        os.close(descriptor)
