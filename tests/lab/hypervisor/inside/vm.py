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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Iterable, Iterator

from . import descriptors, hardware, identity, locks, settings, volumes
from .descriptors import Descriptor
from .disk_stack import DiskStack
from .errors import Refused
from .guest import Guest
from .snapshot_tree import Snapshot, SnapshotTree

HOST = "esx01.lab"
MOUNTS = Path("/run/vm")
DISK = "scsi0:0.fileName"
MANIFESTS = ("-vss_manifests{}.zip", "-quiesce_manifest{}.xml")
IDENTITY = (identity.BIOS, identity.VCENTER)
FAULTS = ("no-freeze", "no-pause")  # a quiesce that is reported but not carried out, as a whole or for the application


class VM:
    """`path` is the .vmx file. `guest` is None while the VM is powered off."""

    def __init__(self, path: Path) -> None:
        """Register the VM of a .vmx file. Raises Refused if the file is missing or invalid."""
        self.path = path
        self.settings = _read(path)
        self.tree = self.read_tree()
        self.guest: Guest | None = None
        self.stacks: dict[str, DiskStack] = {}  # the open disks, by their nodes
        self.moments: dict[int, dict[str, Any]] = {}  # what was measured, for each snapshot
        self.faults: set[str] = set()
        self.busy = threading.RLock()
        self._locked: list[Path] = []

    # Files

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def working_folder(self) -> Path | None:
        """The folder for the files of snapshots, if it is not the folder of the VM."""
        named = self.settings.get("workingDir", "")
        return volumes.resolve(self.folder, named) if named not in ("", ".") else None

    @property
    def disks(self) -> dict[str, Path]:
        """The descriptors of the current disks, by their nodes."""
        files = hardware.disk_files(self.settings)
        return {node: volumes.resolve(self.folder, name) for node, name in files.items()}

    def disks_in_snapshots(self) -> dict[str, Path]:
        return {node: disk for node, disk in self.disks.items() if hardware.is_in_snapshots(self.settings, node, disk)}

    def use_disk(self, node: str, disk: Path) -> None:
        """Make a disk the current one, on the next power-on too."""
        self.settings[f"{node}.fileName"] = volumes.named(disk, self.folder)
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

    def memory_file(self, uid: int) -> Path:
        """Return the file with the settings of a snapshot."""
        return (self.working_folder or self.folder) / f"{self.path.stem}-Snapshot{uid}.vmsn"

    # Power

    def power_on(self) -> None:
        if self.guest:
            raise Refused("InvalidPowerState", f"{self.path.stem} is powered on already")
        try:
            for node, disk in self.disks.items():
                self.open(node, disk)
            if not self.stacks:
                raise Refused("GenericVmConfigFault", f"{self.path.stem} has no disk to start from")
            self._swap.touch()
            self.guest = Guest(next(iter(self.stacks.values())).path, MOUNTS / secrets.token_hex(4))
        except BaseException:
            self._close()
            raise

    def power_off(self, shut_down: bool = False) -> None:
        """Cut the power, or shut down the guest before."""
        if self.guest is None:
            raise Refused("InvalidPowerState", f"{self.path.stem} is powered off already")
        if shut_down:
            self.guest.shut_down()
        else:
            for stack in self.stacks.values():
                stack.fail()
            self.guest.cut()
        self._close()

    # Open disks

    def open(self, node: str, disk: Path) -> None:
        """Lock the files of a disk and open it. The hypervisor has no raw LUNs, so it leaves these out."""
        if descriptors.kind(disk) != "flat":
            return
        chain, locked = descriptors.chain(disk), []
        try:
            for one in chain:
                self.lock(one.data)
                locked.append(one.data)
            self.stacks[node] = DiskStack(chain)
        except BaseException:
            for file in locked:
                self.unlock(file)
            raise

    def close(self, node: str) -> None:
        """Close a disk that is removed from the VM."""
        stack = self.stacks.pop(node)
        files = stack.files()
        stack.close()
        for disk in files:
            self.unlock(disk.data)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold back the writes of the guest."""
        with ExitStack() as released:
            for stack in self.stacks.values():
                stack.hold()
                released.callback(stack.release)
            yield

    def reopen(self, node: str, chain: list[Descriptor]) -> None:
        """Use a copy of an open disk from now on."""
        before = [disk.data for disk in self.stacks[node].files()]
        after = [disk.data for disk in chain]
        for file in after:
            if file not in before:
                self.lock(file)
        self.stacks[node].replace(chain)
        for file in before:
            if file not in after:
                self.unlock(file)

    def lock(self, file: Path) -> None:
        locks.lock(file, f"{HOST} {self.path}")
        self._locked.append(file)

    def unlock(self, file: Path) -> None:
        locks.unlock(file)
        self._locked.remove(file)

    @contextmanager
    def locks(self, files: Iterable[Path]) -> Iterator[None]:
        """Lock files for a while."""
        locked: list[Path] = []
        try:
            for file in files:
                self.lock(file)
                locked.append(file)
            yield
        finally:
            for file in locked:
                self.unlock(file)

    @property
    def _swap(self) -> Path:
        return self.file("-a1b2c3d4.vswp")

    def _close(self) -> None:
        self.guest = None
        while self.stacks:
            self.stacks.popitem()[1].close()
        self._swap.unlink(missing_ok=True)
        while self._locked:
            locks.unlock(self._locked.pop())

    def as_dict(self) -> dict[str, Any]:
        guest = self.guest.as_dict() if self.guest else {}
        now = hardware.hardware(self.settings, self.folder)
        chain = [Path(file).name for file in now["disks"][0]["files"]] if now["disks"] else []
        tree = self.tree.as_dict()
        for snapshot, listed in zip(self.tree.snapshots, tree["snapshots"]):
            listed.update(hardware=self._hardware_of(snapshot), manifest=self._manifest(snapshot.uid))
        return {
            "vmx": str(self.path), "on": self.guest is not None, "settings": self.settings, "chain": chain,
            "moments": self.moments, "hardware": now, "copied": identity.is_copy(self.settings, self.path),
            **guest, **tree,
        }  # fmt: skip

    def _hardware_of(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return the hardware that a snapshot has kept. Without its settings, return the disks."""
        return hardware.hardware({**self.settings_of(snapshot), **snapshot.disk_settings()}, self.folder)

    def _manifest(self, uid: int) -> str:
        """Return the name of the file that says how the guest was quiesced, if there is one."""
        files = [self.file(suffix.format(uid)) for suffix in MANIFESTS]
        return next((file.name for file in files if file.exists()), "")

    def settings_of(self, snapshot: Snapshot) -> dict[str, str]:
        """Return the settings that a snapshot has kept, or none if their file is missing."""
        kept = self.memory_file(snapshot.uid)
        return settings.read(kept) if kept.exists() else {}


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise Refused("NotFound", f"{path} does not exist")
    try:
        found = settings.read(path)
    except (OSError, UnicodeError) as error:
        raise Refused("InvalidDatastorePath", f"{path} cannot be read: {error}") from None
    if "config.version" not in found:
        raise Refused("InvalidDatastorePath", f"{path} is not the configuration of a VM")
    return found


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
    given = {key: identity.as_vmx(value) if key in IDENTITY else value for key, value in values.items()}
    settings.write(path, {**_hardware(path), DISK: disk.path.name, **given})
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


def _hardware(path: Path) -> dict[str, str]:
    uuid = secrets.token_hex(16)
    return {
        "config.version": "8", "virtualHW.version": "13", "displayName": path.stem, "nvram": f"{path.stem}.nvram",
        "guestOS": "other-64", "memSize": "1024", "numvcpus": "1", "scsi0.present": "TRUE",
        "scsi0.virtualDev": "pvscsi", "scsi0:0.present": "TRUE", "scsi0:0.deviceType": "scsi-hardDisk",
        "ethernet0.present": "TRUE", "ethernet0.virtualDev": "vmxnet3", "ethernet0.networkName": "VM Network",
        "ethernet0.addressType": "generated", "ethernet0.generatedAddress": identity.mac(uuid),
        identity.BIOS: identity.as_vmx(uuid), identity.LOCATION: identity.location(path),
    }  # fmt: skip
