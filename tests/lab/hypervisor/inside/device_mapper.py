# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the kernel's device mapper, by its ioctl calls (linux/dm-ioctl.h)."""

from __future__ import annotations

import fcntl
import os
import struct

_CONTROL = "/dev/mapper/control"
_HEAD = struct.Struct("=3I 2I I i 2I I Q 128s 129s 7x")
_TABLE = struct.Struct("=2Q i I 16s")
_CREATE, _REMOVE, _SUSPEND, _LOAD, _STATUS = 3, 4, 6, 9, 12
_SUSPENDED, _LEAVE_FILE_SYSTEM = 1 << 1, 1 << 10
_ROOM = 1024  # with a larger buffer, Python holds its global lock during the call, so that all its threads wait


class Device:
    """One device. All of it is one target, for example `linear` or `snapshot`."""

    def __init__(self, name: str, sectors: int, target: str, parameters: str) -> None:
        self.name = name
        self._sectors = sectors
        number = struct.unpack_from("=Q", _call(_CREATE, name), 40)[0]
        self.path = f"/dev/dm-{os.minor(number)}"
        try:
            self.load(target, parameters)
            self.resume()
        except OSError:
            self.remove()
            raise

    def load(self, target: str, parameters: str) -> None:
        """Prepare another target, which `resume` brings into effect."""
        text = parameters.encode() + b"\0"
        text += b"\0" * (-(len(text) + _TABLE.size) % 8)
        table = _TABLE.pack(0, self._sectors, 0, _TABLE.size + len(text), target.encode()) + text
        _call(_LOAD, self.name, table, targets=1)

    def suspend(self) -> None:
        """Hold back new writes and wait for those on their way. The file system on it is not frozen."""
        _call(_SUSPEND, self.name, flags=_SUSPENDED | _LEAVE_FILE_SYSTEM)

    def resume(self) -> None:
        _call(_SUSPEND, self.name)

    def replace(self, target: str, parameters: str) -> None:
        """Put another target in place, between two writes."""
        self.load(target, parameters)
        self.suspend()
        self.resume()

    def status(self) -> str:
        """Return what the target says about itself."""
        answer = _call(_STATUS, self.name)
        start: int = struct.unpack_from("=I", answer, 16)[0]
        return answer[start + _TABLE.size :].split(b"\0", 1)[0].decode()

    def remove(self) -> None:
        _call(_REMOVE, self.name)


def _call(command: int, name: str, data: bytes = b"", flags: int = 0, targets: int = 0) -> bytes:
    head = _HEAD.pack(4, 0, 0, _ROOM, _HEAD.size, targets, 0, flags, 0, 0, 0, name.encode(), b"")
    buffer = bytearray((head + data).ljust(_ROOM, b"\0"))
    with open(_CONTROL, "rb") as control:
        fcntl.ioctl(control, 3 << 30 | _HEAD.size << 16 | 0xFD << 8 | command, buffer)
    return bytes(buffer)
