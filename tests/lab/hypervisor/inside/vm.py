# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One registered VM: its files, its open disk and its guest."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from . import descriptors, locks, settings
from .descriptors import Descriptor
from .disk_stack import DiskStack
from .errors import Refused
from .guest import Guest
from .snapshot_tree import SnapshotTree

HOST = "esx01.lab"
MOUNTS = Path("/run/vm")
DISK = "scsi0:0.fileName"
FAULTS = ("no-freeze", "no-pause")  # a quiesce that is reported but not carried out, as a whole or for the application


class VM:
    """`path` is the .vmx file. `guest` is None while the VM is powered off."""

    def __init__(self, path: Path) -> None:
        """Register the VM of a .vmx file. Raises Refused if the file is missing."""
        if not path.exists():
            raise Refused("FileNotFound", f"{path} does not exist")
        self.path = path
        self.settings = settings.read(path)
        if DISK not in self.settings:
            raise Refused("InvalidVmConfig", f"{path} names no disk")
        self.tree = self.read_tree()
        self.guest: Guest | None = None
        self.stack: DiskStack | None = None
        self.moments: dict[int, dict[str, Any]] = {}  # what was measured, for each snapshot
        self.faults: set[str] = set()
        self.busy = threading.RLock()
        self._locked: list[Path] = []

    # Files

    @property
    def disk(self) -> Path:
        """The descriptor of the current disk."""
        return self.path.parent / self.settings[DISK]

    def use_disk(self, disk: Path) -> None:
        """Make a disk the current one, on the next power-on too."""
        self.settings[DISK] = disk.name if disk.parent == self.path.parent else str(disk)
        self.write()

    def read_tree(self) -> SnapshotTree:
        """Read the snapshots from their file."""
        self.tree = SnapshotTree.read(self.path.with_suffix(".vmsd"))
        return self.tree

    def write(self) -> None:
        settings.write(self.path, self.settings)

    def file(self, suffix: str) -> Path:
        """Return the file with the name of the VM and a suffix."""
        return self.path.with_name(self.path.stem + suffix)

    # Power

    def power_on(self) -> None:
        if self.guest:
            raise Refused("InvalidPowerState", f"{self.path.stem} is powered on already")
        chain = descriptors.chain(self.disk)
        try:
            for disk in chain:
                self.lock(disk.data)
            self._swap.touch()
            self.stack = DiskStack(chain)
            self.guest = Guest(self.stack.path, MOUNTS / secrets.token_hex(4))
        except BaseException:
            self._close()
            raise

    def power_off(self, shut_down: bool = False) -> None:
        """Cut the power, or shut down the guest before."""
        if self.guest is None or self.stack is None:
            raise Refused("InvalidPowerState", f"{self.path.stem} is powered off already")
        if shut_down:
            self.guest.shut_down()
        else:
            self.stack.fail()
            self.guest.cut()
        self._close()

    def lock(self, file: Path) -> None:
        locks.lock(file, HOST)
        self._locked.append(file)

    def unlock(self, file: Path) -> None:
        locks.unlock(file)
        self._locked.remove(file)

    @property
    def _swap(self) -> Path:
        return self.file("-a1b2c3d4.vswp")

    def _close(self) -> None:
        self.guest = None
        if self.stack:
            self.stack.close()
            self.stack = None
        self._swap.unlink(missing_ok=True)
        while self._locked:
            locks.unlock(self._locked.pop())

    def as_dict(self) -> dict[str, Any]:
        guest = {"started": self.guest.started, "returned": self.guest.returned} if self.guest else {}
        chain = [one.path.name for one in descriptors.chain(self.disk)]
        return {
            "vmx": str(self.path), "on": self.guest is not None, "settings": self.settings, "chain": chain,
            "moments": self.moments, **guest, **self.tree.as_dict(),
        }  # fmt: skip


def create(path: Path, size_mb: int, values: dict[str, str]) -> VM:
    """Create the files of a VM with an empty file system. Raises Refused if the folder exists."""
    try:
        path.parent.mkdir(parents=True)
    except FileExistsError:
        raise Refused("FileAlreadyExists", f"the folder {path.parent} exists already") from None
    disk = Descriptor(path.with_suffix(".vmdk"), size_mb * 2048, path.with_name(f"{path.stem}-flat.vmdk"))
    format_disk(disk.data, disk.sectors * 512)
    disk.write()
    path.with_suffix(".nvram").write_bytes(bytes(8684))
    settings.write(path, {**_hardware(path.stem), DISK: disk.path.name, **values})
    return VM(path)


def format_disk(data: Path, size: int) -> None:
    """Create a disk with an empty ext4. It is formatted in memory and copied without holes, which is faster."""
    with tempfile.NamedTemporaryFile(dir="/run") as formatted:
        formatted.truncate(size)
        options = ["-E", "lazy_itable_init=0,lazy_journal_init=1,nodiscard", "-m", "0", "-F"]
        argv = ["mke2fs", "-q", "-t", "ext4", *options, formatted.name]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"mke2fs failed for {data}: {done.stderr.strip()}")
        with open(data, "xb", buffering=0) as disk:
            disk.truncate(size)
            _copy_data(formatted.fileno(), disk.fileno(), size)


def _copy_data(source: int, target: int, size: int) -> None:
    """Copy what is not a hole."""
    start = os.lseek(source, 0, os.SEEK_DATA)
    while start < size:
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.pwrite(target, os.pread(source, end - start, start), start)
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError:  # there is only a hole left
            return


def _hardware(name: str) -> dict[str, str]:
    return {
        "config.version": "8", "virtualHW.version": "13", "displayName": name, "nvram": f"{name}.nvram",
        "guestOS": "other-64", "memSize": "1024", "numvcpus": "1", "scsi0.present": "TRUE",
        "scsi0.virtualDev": "pvscsi", "scsi0:0.present": "TRUE", "scsi0:0.deviceType": "scsi-hardDisk",
    }  # fmt: skip
