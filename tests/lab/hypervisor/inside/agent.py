# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of the hypervisor: one line of JSON each, `{"call", "arguments"}`, over TCP.

The answer is `{"result"}`, or `{"fault", "text"}` with the name of the vSphere fault. A VM is named by the path of its
.vmx file, `[datastore] folder/name.vmx`. Calls for different VMs run side by side, those for one VM in turn."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import traceback
from pathlib import Path
from typing import Any, Callable, Sequence

from . import changes, file_tree, snapshots, vm, volumes
from .errors import Refused
from .vm import VM

_registered: dict[Path, VM] = {}
_registering = threading.Lock()


def _found(vmx: str) -> VM:
    path = volumes.locate(vmx)
    if path not in _registered:
        raise Refused("ManagedObjectNotFound", f"{vmx} is not registered")
    return _registered[path]


def _register(path: Path, read: Callable[[], VM]) -> dict[str, Any]:
    with _registering:
        if path in _registered:
            raise Refused("AlreadyExists", f"{path} is registered already")
        _registered[path] = read()
    return _registered[path].as_dict()


def create(vmx: str, size_mb: int = 32, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """Create a VM with a formatted disk, powered off, and register it."""
    path = volumes.locate(vmx)
    return _register(path, lambda: vm.create(path, size_mb, settings or {}))


def register(vmx: str, name: str = "", again: bool = False) -> dict[str, Any]:
    """Register a VM from its files. Return what they say. `name` becomes its name.

    With `again`, a VM can be registered already. The vCenter knows better which VMs are registered.
    """
    path = volumes.locate(vmx)
    if again and path in _registered:
        found = _registered[path]
    else:
        _register(path, lambda: VM(path))
        found = _registered[path]
    with found.busy:
        if name and name != found.settings.get("displayName"):
            changes.configure(found, {"displayName": name})
        return found.as_dict()


def unregister(vmx: str, again: bool = False) -> None:
    """Forget a VM that is powered off. Its files stay. With `again`, it can be forgotten already."""
    if again and volumes.locate(vmx) not in _registered:
        return
    found = _found(vmx)
    with found.busy:
        if found.guest:
            raise Refused("InvalidPowerState", f"{vmx} is powered on")
        del _registered[found.path]


def power_on(vmx: str, identity: str = "") -> dict[str, Any]:
    """`identity` is for a VM whose files are not where they were: `moved` or `copied`."""
    found = _found(vmx)
    with found.busy:
        if not found.guest:
            changes.identify(found, identity)
        found.power_on()
        return found.as_dict()


def power_off(vmx: str, shut_down: bool = False) -> dict[str, Any]:
    """Cut the power. With `shut_down`, the guest ends its programs and unmounts its disk before."""
    found = _found(vmx)
    with found.busy:
        found.power_off(shut_down)
        return found.as_dict()


def snapshot(vmx: str, name: str, description: str = "", quiesce: str = "") -> dict[str, Any]:
    """Create a snapshot. snapshots.create documents the result, which is added to that of `show`."""
    found = _found(vmx)
    with found.busy:
        created = snapshots.create(found, name, description, quiesce)
        return {**found.as_dict(), **created}


def remove(vmx: str, uid: int, children: bool = False) -> dict[str, Any]:
    found = _found(vmx)
    with found.busy:
        snapshots.remove(found, uid, children)
        return found.as_dict()


def remove_all(vmx: str) -> dict[str, Any]:
    found = _found(vmx)
    with found.busy:
        snapshots.remove_all(found)
        return found.as_dict()


def revert(vmx: str, uid: int) -> dict[str, Any]:
    found = _found(vmx)
    with found.busy:
        snapshots.revert(found, uid)
        return found.as_dict()


def configure(vmx: str, values: dict[str, str], removed: Sequence[str] = ()) -> dict[str, Any]:
    """Set some settings and remove others (changes.configure)."""
    found = _found(vmx)
    with found.busy:
        changes.configure(found, values, removed)
        return found.as_dict()


def add_disk(vmx: str, file: str, node: str = "", mode: str = "persistent") -> dict[str, Any]:
    """Add an existing disk, `[datastore] folder/file`."""
    found = _found(vmx)
    with found.busy:
        changes.add_disk(found, volumes.locate(file), node, mode)
        return found.as_dict()


def remove_disk(vmx: str, node: str, destroy: bool = False) -> dict[str, Any]:
    """Remove the disk at a node. With `destroy`, delete its files."""
    found = _found(vmx)
    with found.busy:
        changes.remove_disk(found, node, destroy)
        return found.as_dict()


def relocate(vmx: str, folder: str) -> dict[str, Any]:
    """Move the folder of a VM to `[datastore] folder`. It is registered there then."""
    found, new = _found(vmx), volumes.locate(folder)
    with found.busy:
        old = found.path
        file_tree.relocate(found, new)
        with _registering:
            del _registered[old]
            _registered[found.path] = found
        return found.as_dict()


def list_files(folder: str) -> list[dict[str, Any]]:
    """Return what is below `[datastore] folder`, or in the whole datastore."""
    return file_tree.listing(volumes.locate(folder))


def delete_file(path: str) -> None:
    """Delete a file or a folder."""
    file_tree.delete(volumes.locate(path))


def unmount(name: str) -> None:
    """Unmount a datastore. Raises Refused while a VM in it is registered."""
    volume = (volumes.VOLUMES / name).resolve()
    with _registering:
        for path in _registered:
            if path.is_relative_to(volume):
                raise Refused("ResourceInUse", f"the VM {path} in the datastore {name} is registered")
        volumes.unmount(name)


def show(vmx: str) -> dict[str, Any]:
    """Return the state of a VM: power, settings, disks, snapshots, what was measured, and the writes."""
    found = _found(vmx)
    with found.busy:
        return found.as_dict()


def writes(vmx: str) -> list[tuple[int, float]]:
    """Return the last records and the times at which their writes returned."""
    guest = _found(vmx).guest
    return list(guest.log) if guest else []


def set_faults(vmx: str, faults: list[str]) -> None:
    """Let the VM report a quiesce that is not carried out (vm.FAULTS)."""
    if unknown := set(faults) - set(vm.FAULTS):
        raise Refused("InvalidArgument", f"unknown faults: {', '.join(sorted(unknown))}")
    _found(vmx).faults = set(faults)


CALLS: dict[str, Callable[..., Any]] = {
    "mount": volumes.mount, "unmount": unmount, "list_files": list_files, "delete_file": delete_file,
    "create": create, "register": register, "unregister": unregister, "relocate": relocate,
    "power_on": power_on, "power_off": power_off, "show": show, "writes": writes, "set_faults": set_faults,
    "snapshot": snapshot, "remove": remove, "remove_all": remove_all, "revert": revert,
    "configure": configure, "add_disk": add_disk, "remove_disk": remove_disk,
}  # fmt: skip


def answer(line: bytes) -> dict[str, Any]:
    """Carry out one call."""
    try:
        asked = json.loads(line)
        return {"result": CALLS[asked["call"]](**asked["arguments"])}
    except Refused as refused:
        return {"fault": refused.fault, "text": str(refused)}
    except Exception as error:
        traceback.print_exc()
        return {"fault": "GenericVmConfigFault", "text": f"{type(error).__name__}: {error}"}


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(json.dumps(answer(line)).encode() + b"\n")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True


def serve(listener: socket.socket) -> None:
    """Answer calls for ever."""
    server = _Server(listener.getsockname(), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()
