# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registers, unregisters, renames and finds VMs.

Unregistering never deletes a file. Nothing in the collection destroys a VM.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import inventory, sdk
from .session import Session, understands


@dataclass(frozen=True)
class Home:
    """Where a VM is registered: managed object IDs. A template has no `pool_moid`."""

    datacenter_moid: str
    folder_moid: str
    host_moid: str
    pool_moid: str = ""


@understands
def start_register(session: Session, vmx_path: str, name: str, home: Home, template: bool) -> str:
    """Start to register the VM with this file ("[datastore] folder/vm.vmx"). Returns the task's managed object ID.

    The call is not repeated after a broken connection; the caller must first look for a VM with this file.
    """
    vim = sdk.vim
    pool = session.managed_object(vim.ResourcePool, home.pool_moid) if home.pool_moid and not template else None
    task = session.call(
        "register a VM",
        session.managed_object(vim.Folder, home.folder_moid).RegisterVM_Task,
        path=vmx_path,
        name=inventory.escape(name),
        asTemplate=template,
        pool=pool,
        host=session.managed_object(vim.HostSystem, home.host_moid) if home.host_moid else None,
        repeatable=False,
    )
    return str(task._moId)


@understands
def unregister(session: Session, vm_moid: str) -> None:
    """Remove a VM from the inventory. Its files stay. The server refuses a VM that is powered on."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    session.call("unregister a VM", machine.UnregisterVM, repeatable=False)


@understands
def start_rename(session: Session, vm_moid: str, name: str) -> str:
    """Start to rename a VM. Its files keep their names. Returns the task's managed object ID."""
    machine = session.managed_object(sdk.vim.VirtualMachine, vm_moid)
    return str(session.call("rename a VM", machine.Rename_Task, newName=inventory.escape(name), repeatable=False)._moId)


@understands
def find_by_path(session: Session, datacenter_moid: str, vmx_path: str) -> str:
    """Return the managed object ID of the VM that is registered with this file, or ""."""
    found = session.call(
        "find a VM by its file",
        session.content.searchIndex.FindByDatastorePath,
        datacenter=session.managed_object(sdk.vim.Datacenter, datacenter_moid),
        path=vmx_path,
    )
    return "" if found is None else str(found._moId)


@understands
def find_in_folder(session: Session, folder_moid: str, name: str) -> str:
    """Return the managed object ID of the object with this name in a folder, or ""."""
    found = session.call(
        "find a VM by its name",
        session.content.searchIndex.FindChild,
        entity=session.managed_object(sdk.vim.Folder, folder_moid),
        name=inventory.escape(name),
    )
    return "" if found is None else str(found._moId)


def is_registering(session: Session, folder_moid: str) -> bool:
    """Return whether a registration is queued or running in a folder, among its recent tasks (about ten minutes)."""
    folder = session.managed_object(sdk.vim.Folder, folder_moid)
    return any("register" in kind.lower() for kind in running_tasks(session, folder))


def is_working(session: Session, vm_moid: str) -> bool:
    """Return whether a task is queued or running on a VM. False if there is no such VM."""
    return bool(running_tasks(session, session.managed_object(sdk.vim.VirtualMachine, vm_moid)))


@understands
def running_tasks(session: Session, entity: Any) -> list[str]:
    """Return the kinds (API TaskInfo.descriptionId) of the tasks that are queued or running on an object."""
    paths = ["info.descriptionId", "info.state"]
    tasks = inventory.read_referenced(session, [entity], "recentTask", sdk.vim.Task, paths, "look for running tasks")
    return [
        str(task.get("info.descriptionId", ""))
        for task in tasks.values()
        if str(task.get("info.state")) in ("queued", "running")
    ]


@understands
def folder_of_vapp(session: Session, vapp_moid: str) -> str:
    """Return the folder of VMs (managed object ID) that a vApp belongs to, or ""."""
    vapp = session.managed_object(sdk.vim.VirtualApp, vapp_moid)
    found = inventory.read(session, [vapp], ["parentFolder"], "read where a VM is registered")
    return str(getattr(found.get(vapp_moid, {}).get("parentFolder"), "_moId", ""))


@understands
def vm_folder_of(session: Session, datacenter_moid: str) -> str:
    """Return the managed object ID of a datacenter's folder of VMs."""
    datacenter = session.managed_object(sdk.vim.Datacenter, datacenter_moid)
    found = inventory.read(session, [datacenter], ["vmFolder"], "find the folder of VMs")
    return str(found[datacenter_moid]["vmFolder"]._moId)
