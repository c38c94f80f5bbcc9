# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the lab's vCenter for tests, as a person would write it with pyVmomi."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

from .simulator import Simulator

TASK_SECONDS = 120.0


class Client:
    """A session with a simulator."""

    def __init__(self, vcenter: Simulator, user: str = "") -> None:
        context = ssl.create_default_context(cafile=str(vcenter.ca_path))
        self.si = SmartConnect(
            host=vcenter.host, port=vcenter.port, user=user or vcenter.user, pwd=vcenter.password, sslContext=context
        )
        self.content = self.si.RetrieveContent()
        self.datacenter = self.content.rootFolder.childEntity[0]

    def all(self, kind: type) -> dict[str, Any]:
        """Return the objects of a kind by name."""
        view = self.content.viewManager.CreateContainerView(self.content.rootFolder, [kind], True)
        found = {one.name: one for one in view.view}
        view.Destroy()
        return found

    def vm(self, name: str) -> Any:
        return self.all(vim.VirtualMachine)[name]

    def host(self, name: str = "DC0_H0") -> Any:
        return self.all(vim.HostSystem)[name]

    def register(self, path: str, name: str | None = None, host: str = "DC0_H0", template: bool = False) -> Any:
        """Register a VM on a host, or a template, in the datacenter's folder of VMs. Return it."""
        where = self.host(host)
        pool = None if template else where.parent.resourcePool
        task = self.datacenter.vmFolder.RegisterVM_Task(path, name, template, pool, where)
        return done(task)

    def mount(self, name: str, path: str, server: str = "10.0.2.15", host: str = "DC0_H0") -> Any:
        """Mount an export as a datastore on a host. Return the datastore."""
        spec = vim.host.NasVolume.Specification(
            remoteHost=server, remotePath=path, localPath=name, accessMode="readWrite", type="NFS"
        )
        return self.host(host).configManager.datastoreSystem.CreateNasDatastore(spec)

    def unmount(self, datastore: Any, host: str = "DC0_H0") -> None:
        self.host(host).configManager.datastoreSystem.RemoveDatastore(datastore)


@contextmanager
def session(vcenter: Simulator, user: str = "") -> Iterator[Client]:
    client = Client(vcenter, user)
    try:
        yield client
    finally:
        Disconnect(client.si)


def done(task: Any) -> Any:
    """Wait for a task. Return its result, or raise its fault. A task must not wait for an answer."""
    info = eventually(lambda: (info := task.info).state in ("success", "error") and info, TASK_SECONDS)
    if info.state == "error":
        raise info.error
    return info.result


def eventually(look: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is true. Return it."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        time.sleep(0.02)
    return found


def disks(holder: Any) -> list[Any]:
    """Return the disks of a VM or of a snapshot."""
    return [one for one in holder.config.hardware.device if isinstance(one, vim.vm.device.VirtualDisk)]


def cards(holder: Any) -> list[Any]:
    """Return the network cards of a VM or of a snapshot."""
    return [one for one in holder.config.hardware.device if isinstance(one, vim.vm.device.VirtualEthernetCard)]


def files(disk: Any) -> list[str]:
    """Return the files of a disk, the current one first."""
    found, backing = [], disk.backing
    while backing is not None:
        found.append(backing.fileName)
        backing = getattr(backing, "parent", None)
    return found


def snapshot_tree(vm: Any) -> dict[str, Any]:
    """Return the snapshots of a VM by name."""
    found: dict[str, Any] = {}
    waiting = list(vm.snapshot.rootSnapshotList) if vm.snapshot else []
    while waiting:
        one = waiting.pop()
        found[one.name] = one
        waiting += one.childSnapshotList
    return found


# ---- Device changes


def edit(device: Any, **changes: Any) -> Any:
    """Return the change of a device: the same one with other fields."""
    for name, value in changes.items():
        setattr(device, name, value)
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=device)


def connection(start: bool, now: bool = False) -> Any:
    """Return whether a device is connected at the next power-on, and now."""
    return vim.vm.device.VirtualDevice.ConnectInfo(startConnected=start, connected=now, allowGuestControl=True)


def add_disk(file: str, mode: str = "persistent", unit: int | None = None) -> Any:
    """Return the change that adds an existing disk, at a unit of the SCSI controller or at any."""
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file, diskMode=mode)
    disk = vim.vm.device.VirtualDisk(key=-1, controllerKey=1000, unitNumber=unit, backing=backing)
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=disk)


def remove_disk(disk: Any, destroy: bool = False) -> Any:
    """Return the change that removes a disk, and with `destroy` deletes its files."""
    return vim.vm.device.VirtualDeviceSpec(
        operation="remove", device=disk, fileOperation="destroy" if destroy else None
    )


def search(datastore: Any, folder: str, subfolders: bool, pattern: str = "", queries: Sequence[Any] = ()) -> list[Any]:
    """Return the results of a search in a folder of a datastore, or in the whole datastore."""
    details = vim.host.DatastoreBrowser.FileInfo.Details(
        fileSize=True, fileType=True, modification=True, fileOwner=False
    )
    spec = vim.host.DatastoreBrowser.SearchSpec(
        query=list(queries), details=details, matchPattern=[pattern] if pattern else []
    )
    browser, path = datastore.browser, f"[{datastore.name}] {folder}"
    if subfolders:
        return list(done(browser.SearchDatastoreSubFolders_Task(path, spec)))
    return [done(browser.SearchDatastore_Task(path, spec))]
