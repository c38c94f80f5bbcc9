# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The open disk of a VM: one device for each file of the chain, and on top the device that the guest uses.

A delta is a copy-on-write file of the device mapper's target `snapshot`. Removing a snapshot is its target
`snapshot-merge`. The guest keeps its device while the devices below change."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Sequence

from . import kernel
from .descriptors import Descriptor
from .device_mapper import Device

_numbers = itertools.count(1)
# Sectors that the first write to one of them copies to the delta. Merges with 64 are faster, but the kernel of the
# guest then stops now and then during a snapshot or a merge.
CHUNK = 8
MERGE_POLL_SECONDS = 0.02


@dataclass
class _Level:
    """The device of one file, which shows the disk as of this file."""

    disk: Descriptor
    loop: str
    device: Device

    def close(self) -> None:
        self.device.remove()
        kernel.detach_loop(self.loop)


class DiskStack:
    """An open chain of files. `path` is the device of the current disk."""

    def __init__(self, chain: Sequence[Descriptor]) -> None:
        self._levels: list[_Level] = []
        self._sectors = chain[0].sectors
        try:
            self._open_all(chain)
            self._top = Device(_name("disk"), self._sectors, *_linear(self._levels[-1].device.path))
        except BaseException:
            self._close_levels()
            raise
        self.path = self._top.path

    def _open_all(self, chain: Sequence[Descriptor]) -> None:
        for disk in chain:
            self._levels.append(self._open(disk))

    def _open(self, disk: Descriptor) -> _Level:
        loop = kernel.attach_loop(disk.data)
        below = self._levels[-1].device.path if self._levels else ""
        table = _snapshot(below, loop) if below else _linear(loop)
        try:
            return _Level(disk, loop, Device(_name("level"), self._sectors, *table))
        except BaseException:
            kernel.detach_loop(loop)
            raise

    def files(self) -> list[Descriptor]:
        """Return the open files, the base disk first."""
        return [level.disk for level in self._levels]

    def hold(self) -> None:
        """Hold back the writes of the guest until `release`."""
        self._top.suspend()

    def release(self) -> None:
        self._top.resume()

    def replace(self, chain: Sequence[Descriptor]) -> None:
        """Use a copy of the chain from `release` on."""
        old, self._levels = self._levels, []
        try:
            self._open_all(chain)
            self._top.load(*_linear(self._levels[-1].device.path))
        except BaseException:
            self._close_levels()
            self._levels = old
            raise
        self._top.resume()
        self._top.suspend()  # the old files are not in use any more
        while old:
            old.pop().close()

    def prepare(self, delta: Descriptor) -> None:
        """Open a delta of the current disk. Nothing is written to it before `switch`."""
        self._levels.append(self._open(delta))

    def withdraw(self) -> None:
        """Close the prepared delta."""
        self._levels.pop().close()

    def switch(self) -> None:
        """Write to the prepared delta from now on. This takes some milliseconds."""
        self._top.replace(*_linear(self._levels[-1].device.path))

    def merge(self, delta: Descriptor) -> None:
        """Move the data of a delta into the disk below it, and close the delta. The guest can keep writing."""
        place = [disk.path for disk in self.files()].index(delta.path)
        level, below = self._levels[place], self._levels[place - 1]
        level.device.replace(*_snapshot(below.device.path, level.loop, "snapshot-merge"))
        _wait_for_merge(level.device)
        if place + 1 < len(self._levels):
            above = self._levels[place + 1]
            above.device.replace(*_snapshot(below.device.path, above.loop))
        else:
            self._top.replace(*_linear(below.device.path))
        del self._levels[place]
        level.close()

    def fail(self) -> None:
        """Refuse everything that the guest has not written yet, as if its power was cut."""
        self._top.replace("error", "")

    def close(self) -> None:
        self._top.remove()
        self._close_levels()

    def _close_levels(self) -> None:
        while self._levels:
            self._levels.pop().close()


def _name(kind: str) -> str:
    return f"{kind}-{next(_numbers)}"


def _linear(device: str) -> tuple[str, str]:
    return "linear", f"{device} 0"


def _snapshot(origin: str, delta: str, target: str = "snapshot") -> tuple[str, str]:
    return target, f"{origin} {delta} P {CHUNK}"


def _wait_for_merge(device: Device) -> None:
    """The merge has ended when only the metadata of the delta is left: `<used>/<size> <metadata>`."""
    while True:
        words = device.status().replace("/", " ").split()
        if len(words) != 3:
            raise RuntimeError(f"the merge of {device.name} failed: {' '.join(words)}")
        if words[0] == words[2]:
            return
        time.sleep(MERGE_POLL_SECONDS)
