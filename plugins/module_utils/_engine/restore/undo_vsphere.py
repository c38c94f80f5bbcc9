# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoes what a restore did on vSphere, step by step: a registration, a name, an attached disk, a mount.

Each undo looks first, and changes only what is as the restore left it. It can be repeated. It powers off only VMs of
drills, and never deletes a file.
"""

from __future__ import annotations

import posixpath
import time
from functools import partial
from typing import Any, Callable, Mapping

from ..errors import ConnectionFailed, RestoreFailed, VSphereError
from ..text import printable
from ..vsphere import nas_mounts, registration, vm_disks
from ..vsphere.hosts import find_host
from ..vsphere.nas_mounts import MountedDatastore
from ..vsphere.session import Session
from ..vsphere.vm_devices import read_devices
from ..vsphere.vm_now import VmNow, read_one
from ..vsphere.vms import path_of
from . import registered
from .flow import Patience, Requests, is_busy, is_kind, run_alone
from .proof import CopyPlace
from .rename import change_name
from .steps import REGISTRATION
from .undo_power import power_off_drilled

_PATIENCE = Patience(task=30, server=15)
_RETRY = 1.0  # seconds before a request to a busy VM is repeated
_SHUTDOWN_SECONDS = 600.0  # a guest that has not shut down by then will not

Data = Mapping[str, Any]


def undo(session: Session, kind: str, data: Data, finished: bool = False, pending: float | None = None) -> str:
    """Undo one step of the journal. Returns "" if nothing of it exists any more, or else a sentence: what is left, why,
    and what to do.

    `finished`: a person already uses what was restored. `pending` is the age in seconds of a step whose end was not
    recorded, None for any other step. Raises ConnectionFailed if the server does not answer, and KeyError for a step
    of another kind.
    """
    try:
        unsettled = "" if pending is None else _unsettled(session, kind, data, pending)
        return unsettled or _UNDO[kind](session, data, finished)
    except ConnectionFailed:
        raise
    except (VSphereError, RestoreFailed) as error:
        return str(error).rstrip(".")


def _unsettled(session: Session, kind: str, data: Data, seconds: float) -> str:
    """Return why a step without a recorded end may still take effect, or "". Waits for a task that works on the VM.

    A look before that shows the VM as it was before the step.
    """
    if "vm_moid" not in data:
        return ""
    end = time.monotonic() + _PATIENCE.task
    while registration.is_working(session, data["vm_moid"]):
        if time.monotonic() >= end:
            return f"A task is still running on {_named(session, data)}; try again when it has ended"
        time.sleep(_RETRY)
    now = read_one(session, data["vm_moid"])
    if kind == "living_off" and now is not None and now.on and _is_same(now, data) and seconds < _SHUTDOWN_SECONDS:
        return f"The VM '{printable(now.name, 80)}' was asked to shut down, and may still do that; look at it later"
    return ""


def _named(session: Session, data: Data) -> str:
    now = read_one(session, data["vm_moid"])
    return f"the VM '{printable(now.name, 80)}'" if now is not None else "a VM of the restore"


def _registration(session: Session, data: Data, finished: bool) -> str:
    moid = registered.find(session, data)
    if not moid:
        running = not data.get("vm_moid") and registration.is_registering(session, data["folder_moid"])
        return (
            "A registration is still running in the folder of the copy; try again when it has ended" if running else ""
        )
    now = read_one(session, moid)
    if now is None:
        return ""
    name, drill = printable(now.name, 80), str(data.get("mark", ""))
    if now.vmx_path not in registered.paths(session, data):  # it was moved, and belongs to the user
        return (
            f"The VM '{name}' still uses files of the restore; move all of its disks"
            if _uses(session, moid, data)
            else ""
        )
    if drill:
        now = power_off_drilled(session, moid, drill) or now
    refusal = _why_registered(now, finished)
    if refusal:
        return f"The VM '{name}' is still registered, because {refusal}"
    try:
        _unregister(session, moid, drill)
    except ConnectionFailed:
        if registered.find(session, data):
            raise
    left = registered.find(session, data)
    return f"The VM '{name}' is still registered after it was removed; try again" if left else ""


def _unregister(session: Session, moid: str, drill: str) -> None:
    """Unregister a VM. Waits for a task that still works on it: a power-on may still be under way in a drill."""
    deadline = time.monotonic() + _PATIENCE.task
    while True:
        try:
            return registration.unregister(session, moid)
        except VSphereError as error:
            started = bool(drill) and is_kind(error, "InvalidPowerState")
            if not (is_busy(error) or started) or time.monotonic() >= deadline:
                raise
        if started:
            power_off_drilled(session, moid, drill)
        time.sleep(_RETRY)


def _uses(session: Session, moid: str, data: Data) -> bool:
    """Return whether a VM uses files in the folder of the copy, or whether that is not known."""
    devices = read_devices(session, moid)
    place = CopyPlace(data["datastore_moid"], registered.datastore_name(session, data["datastore_moid"]), _folder(data))
    return devices is not None and any(
        one.backings is None or any(place.holds(file) for file in one.backings) for one in devices.configurations
    )


def _folder(data: Data) -> str:
    return posixpath.dirname(path_of(data["vmx_path"]))


def _why_registered(now: VmNow, finished: bool) -> str:
    """Return why a VM is not unregistered, or ""."""
    if now.connection in ("disconnected", "notResponding"):
        return "its host is not connected, so its state is unknown; connect the host"
    if now.question is not None:
        return "it waits for the answer to a question; answer it in the vSphere client, and power it off if it starts"
    if now.on and finished:
        return "it is powered on; power it off first"
    if now.on:
        return "it is powered on, although its restore did not finish; power it off, then the next recovery removes it"
    return "it is suspended; resume it and shut it down first" if now.power == "suspended" and finished else ""


def _rename(session: Session, data: Data, finished: bool) -> str:
    now = read_one(session, data["vm_moid"])
    if now is None or now.name != data["after"]:
        return ""  # it does not exist, has its name again, or a person has renamed it
    if not _is_same(now, data):
        return _other_vm(now.name)
    if now.question is not None:  # no task ends before the answer
        return f"The VM '{printable(now.name, 80)}' keeps its name, because it waits for the answer to a question"
    try:
        run_alone(session, change_name(Requests(session, _PATIENCE), data["vm_moid"], data["before"]))
    except RestoreFailed as error:
        wanted = printable(data["before"], 80)
        return f"The VM '{printable(now.name, 80)}' could not get its name '{wanted}' back: {error.problem}"
    return ""


def _attach(session: Session, data: Data, finished: bool) -> str:
    holder = vm_disks.read_disks(session, data["vm_moid"])
    if holder is None or (key := holder.key_of(data["file"])) is None:
        return ""
    if holder.instance_uuid != data["instance_uuid"]:
        return _other_vm(holder.name)
    requests = Requests(session, _PATIENCE)
    begin = partial(vm_disks.start_detach, vm_moid=data["vm_moid"], holder=holder, key=key)
    run_alone(session, requests.carry_out("The removal of the disk", begin))
    left = vm_disks.read_disks(session, data["vm_moid"])
    if left is not None and left.key_of(data["file"]) is not None:
        return f"The VM '{printable(holder.name, 80)}' still has the disk; remove it in its settings, but keep the file"
    return ""


def _mount(session: Session, data: Data, finished: bool) -> str:
    host = find_host(session, data["host_moid"])
    if host is None:
        return ""
    where = f"datastore '{printable(data['name'], 80)}' on {printable(host.name, 80)}"
    if host.unreachable:
        return f"The {where} is still mounted, because the host {host.unreachable}; connect the host"

    def mounted() -> MountedDatastore | None:
        return _mounted(nas_mounts.read_datastores(session, [host]), data)

    datastore = mounted()
    if datastore is None:
        return ""
    vms = nas_mounts.read_vms(session, [datastore.moid]).get(datastore.moid, [])
    if vms:
        names = ", ".join(f"'{printable(vm.name, 80)}'" for vm in vms[:5])
        return (
            f"The {where} is still mounted, because VMs are registered on it ({names}); move or unregister them first"
        )
    try:
        nas_mounts.unmount(session, host, datastore.moid)
    except ConnectionFailed:
        if mounted() is not None:
            raise
    return f"The {where} is still mounted after it was unmounted; try again" if mounted() is not None else ""


def _mounted(datastores: list[MountedDatastore], data: Data) -> MountedDatastore | None:
    """Return the datastore of a step if the host mounts it: the same export, and the same ID or name."""
    for datastore in datastores:
        mount = datastore.on(data["host_moid"])
        export = mount.export if mount is not None else None
        if export is None or export.path != data["path"] or data["server"] not in export.servers:
            continue
        if data.get("datastore_moid", datastore.moid) == datastore.moid:
            return datastore
    return None


def _living_off(session: Session, data: Data, finished: bool) -> str:
    now = read_one(session, data["vm_moid"])
    if now is None or now.on or not _is_same(now, data):
        return ""
    return f"The VM '{printable(now.name, 80)}' was shut down and is off; power it on"


def _is_same(now: VmNow, data: Data) -> bool:
    """Return whether a VM is that of a step. vCenter may give a copy another instance UUID; its file is the same."""
    return bool(data["instance_uuid"] == now.instance_uuid or data.get("vmx_path") == now.vmx_path)


def _other_vm(name: str) -> str:
    return f"The VM '{printable(name, 80)}' is not the one that the restore used, so it was left"


_UNDO: dict[str, Callable[[Session, Data, bool], str]] = {
    REGISTRATION: _registration,
    "rename": _rename,
    "attach": _attach,
    "mount": _mount,
    "living_off": _living_off,
}
KINDS = frozenset(_UNDO)
