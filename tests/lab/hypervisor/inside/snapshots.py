# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a VM: create, remove, revert."""

from __future__ import annotations

import re
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from . import descriptors, settings
from .descriptors import Descriptor
from .disk_stack import DiskStack
from .errors import Refused
from .snapshot_tree import Snapshot
from .vm import VM

QUIESCE = ("", "filesystem", "application")  # `filesystem` freezes; `application` also waits for the application
_DELTA = re.compile(r"-(\d{6})\.vmdk$")


def create(vm: VM, name: str, description: str, quiesce: str) -> dict[str, Any]:
    """Create a snapshot. Return `uid` and what was measured:

    - `frozen`: whether the guest was frozen, `paused`: whether its application was between two jobs
    - `returned`: number of the last record whose write had returned before the freeze
    - `started`: number of the last record whose write had started before the delta was in use
    - `stun_seconds`: how long the guest could not write
    """
    if quiesce not in QUIESCE:
        raise Refused("InvalidArgument", f"quiesce is {quiesce!r}; it is one of {', '.join(QUIESCE[1:])}, or empty")
    parent = descriptors.read(vm.disk)
    delta = _new_delta(parent)
    measured: dict[str, Any] = {"frozen": False, "paused": False}
    if vm.guest:
        try:
            measured = _switch(vm, delta, quiesce)
        except BaseException:
            delta.delete()
            raise
    vm.use_disk(delta.path)
    snapshot = vm.tree.add(name, description, parent.path.name)
    vm.tree.write()
    settings.write(vm.file(f"-Snapshot{snapshot.uid}.vmsn"), {**vm.settings, "scsi0:0.fileName": snapshot.disk})
    _write_manifest(vm, snapshot, quiesce)
    vm.moments[snapshot.uid] = {"name": name, **measured}
    return {"uid": snapshot.uid, **vm.moments[snapshot.uid]}


def _switch(vm: VM, delta: Descriptor, quiesce: str) -> dict[str, Any]:
    """Let a running guest write to the delta from now on."""
    assert vm.guest and vm.stack
    vm.lock(delta.data)
    vm.stack.prepare(delta)
    freeze = bool(quiesce) and "no-freeze" not in vm.faults
    pause = freeze and quiesce == "application" and "no-pause" not in vm.faults
    if quiesce == "application" and "no-pause" in vm.faults:
        vm.guest.wait_for_job()  # an instant at which the fault matters
    begun = time.monotonic()
    returned = vm.guest.returned
    try:
        with vm.guest.frozen(pause) if freeze else nullcontext():
            vm.stack.switch()
            started = vm.guest.started
    except OSError as error:
        vm.stack.withdraw()
        vm.unlock(delta.data)
        raise Refused("ApplicationQuiesceFault", f"{vm.path.stem} cannot be quiesced: {error}") from None
    stun = time.monotonic() - begun
    return {"frozen": freeze, "paused": pause, "returned": returned, "started": started, "stun_seconds": stun}


def _write_manifest(vm: VM, snapshot: Snapshot, quiesce: str) -> None:
    """Write the file that says how the guest was quiesced: of VSS for an application, of VMware Tools otherwise."""
    if quiesce == "application":
        with zipfile.ZipFile(vm.file(f"-vss_manifests{snapshot.uid}.zip"), "w") as manifest:
            manifest.writestr("backup.xml", f"<BACKUP_COMPONENTS snapshot='{snapshot.uid}'/>")
    elif quiesce:
        settings.replace(vm.file(f"-quiesce_manifest{snapshot.uid}.xml"), f"<quiesce snapshot='{snapshot.uid}'/>\n")


def _new_delta(parent: Descriptor) -> Descriptor:
    """Create an empty delta. A tenth larger than the disk, because a full one would become invalid."""
    stem = _stem(parent.path)
    taken = [int(found[1]) for path in parent.path.parent.glob("*.vmdk") if (found := _DELTA.search(path.name))]
    path = parent.path.with_name(f"{stem}-{max(taken, default=0) + 1:06}.vmdk")
    delta = Descriptor(path, parent.sectors, path.with_name(f"{path.stem}-delta.vmdk"), parent.path)
    with open(delta.data, "xb") as data:
        data.truncate(parent.sectors * 512 * 11 // 10 // 4096 * 4096)
    delta.write()
    return delta


def _stem(disk: Path) -> str:
    """Return the name of the base disk without its extension."""
    found = _DELTA.search(disk.name)
    return disk.name[: found.start()] if found else disk.stem


def remove_all(vm: VM) -> None:
    """Remove all snapshots. The VM keeps its current disk."""
    for snapshot in vm.tree.snapshots[::-1]:
        remove(vm, snapshot.uid)


def remove(vm: VM, uid: int, children: bool = False) -> None:
    """Remove a snapshot. Its delta becomes part of the disk below, unless another snapshot needs that disk."""
    snapshot = vm.tree.get(uid)
    if children:
        for child in [one for one in vm.tree.snapshots if one.parent == uid]:
            remove(vm, child.uid, children=True)
    vm.tree.remove(snapshot)
    try:
        _free(vm, vm.path.parent / snapshot.disk)
    except BaseException:
        vm.read_tree()
        raise
    vm.tree.write()
    for suffix in ("-Snapshot{}.vmsn", "-vss_manifests{}.zip", "-quiesce_manifest{}.xml"):
        vm.file(suffix.format(uid)).unlink(missing_ok=True)


def _free(vm: VM, disk: Path) -> None:
    """No snapshot keeps this disk unchanged any more: merge its only delta into it, or delete it."""
    if vm.tree.keeps(disk.name):
        return
    deltas = descriptors.children(disk)
    if len(deltas) == 1:
        _merge(vm, deltas[0], disk)
    elif not deltas and disk != vm.disk and descriptors.read(disk).parent:
        descriptors.read(disk).delete()


def _merge(vm: VM, delta: Descriptor, disk: Path) -> None:
    """If a power cut of the hypervisor ends this before the delta is deleted, the removal can be repeated."""
    open_files = [one.path for one in descriptors.chain(vm.disk)] if vm.stack else []
    if vm.stack and delta.path in open_files:
        vm.stack.merge(delta)
    else:
        _merge_closed(delta)
    for child in descriptors.children(delta.path):
        Descriptor(child.path, child.sectors, child.data, disk).write()
    vm.tree.rename_disk(delta.path.name, disk.name)
    vm.tree.write()
    if vm.disk == delta.path:
        vm.use_disk(disk)
    if vm.stack and delta.path in open_files:
        vm.unlock(delta.data)
    delta.delete()


def _merge_closed(delta: Descriptor) -> None:
    stack = DiskStack(descriptors.chain(delta.path))
    try:
        stack.merge(delta)
    finally:
        stack.close()


def revert(vm: VM, uid: int) -> None:
    """Return to a snapshot. The VM is powered off then, because snapshots have no memory."""
    snapshot: Snapshot = vm.tree.get(uid)
    if vm.guest:
        vm.power_off()
    left = descriptors.read(vm.disk)
    kept = vm.path.parent / snapshot.disk
    delta = _new_delta(descriptors.read(kept))
    vm.settings = settings.read(vm.file(f"-Snapshot{uid}.vmsn"))
    vm.use_disk(delta.path)
    vm.tree.current = uid
    vm.tree.write()
    if left.parent and not vm.tree.keeps(left.path.name) and not descriptors.children(left.path):
        left.delete()
