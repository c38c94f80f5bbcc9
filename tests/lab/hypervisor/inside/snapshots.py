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
from typing import Any, Iterable, Mapping

from . import descriptors, identity, settings, volumes
from .descriptors import Descriptor
from .disk_stack import DiskStack
from .errors import Refused
from .snapshot_tree import Snapshot
from .vm import MANIFESTS, VM

QUIESCE = ("", "filesystem", "application")  # `filesystem` freezes; `application` also waits for the application
NAME = ("displayName", identity.VCENTER)  # what a revert does not change
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
    deltas = _new_deltas(vm, vm.disks_in_snapshots())
    measured: dict[str, Any] = {"frozen": False, "paused": False}
    if vm.guest:
        try:
            measured = _switch(vm, deltas, quiesce)
        except BaseException:
            _delete(deltas.values())
            raise
    kept = {node: volumes.named(disk, vm.folder) for node, disk in vm.disks_in_snapshots().items()}
    before = dict(vm.settings)
    for node, delta in deltas.items():
        vm.use_disk(node, delta.path)
    snapshot = vm.tree.add(name, description, kept, bool(quiesce))
    vm.tree.write()
    settings.write(vm.memory_file(snapshot.uid), before)
    _write_manifest(vm, snapshot, quiesce)
    vm.moments[snapshot.uid] = {"name": name, **measured}
    return {"uid": snapshot.uid, **vm.moments[snapshot.uid]}


def _switch(vm: VM, deltas: Mapping[str, Descriptor], quiesce: str) -> dict[str, Any]:
    """Let a running guest write to the deltas from now on."""
    assert vm.guest
    for node, delta in deltas.items():
        vm.lock(delta.data)
        vm.stacks[node].prepare(delta)
    freeze = bool(quiesce) and "no-freeze" not in vm.faults
    pause = freeze and quiesce == "application" and "no-pause" not in vm.faults
    if quiesce == "application" and "no-pause" in vm.faults:
        vm.guest.wait_for_job()  # an instant at which the fault matters
    begun = time.monotonic()
    returned = vm.guest.returned
    try:
        with vm.guest.frozen(pause) if freeze else nullcontext():
            for node in deltas:
                vm.stacks[node].switch()
            started = vm.guest.started
    except OSError as error:
        for node, delta in deltas.items():
            vm.stacks[node].withdraw()
            vm.unlock(delta.data)
        raise Refused("ApplicationQuiesceFault", f"{vm.path.stem} cannot be quiesced: {error}") from None
    stun = time.monotonic() - begun
    return {"frozen": freeze, "paused": pause, "returned": returned, "started": started, "stun_seconds": stun}


def _write_manifest(vm: VM, snapshot: Snapshot, quiesce: str) -> None:
    """Write the file that says how the guest was quiesced: of VSS for an application, of VMware Tools otherwise."""
    if quiesce == "application":
        with zipfile.ZipFile(vm.file(MANIFESTS[0].format(snapshot.uid)), "w") as manifest:
            manifest.writestr("backup.xml", f"<BACKUP_COMPONENTS snapshot='{snapshot.uid}'/>")
    elif quiesce:
        settings.replace(vm.file(MANIFESTS[1].format(snapshot.uid)), f"<quiesce snapshot='{snapshot.uid}'/>\n")


def _new_deltas(vm: VM, disks: Mapping[str, Path]) -> dict[str, Descriptor]:
    """Create an empty delta of each disk."""
    deltas: dict[str, Descriptor] = {}
    try:
        for node, disk in disks.items():
            deltas[node] = _new_delta(descriptors.read(disk), vm.working_folder or disk.parent)
    except BaseException:
        _delete(deltas.values())
        raise
    return deltas


def _delete(deltas: Iterable[Descriptor]) -> None:
    for delta in deltas:
        delta.delete()


def _new_delta(parent: Descriptor, folder: Path) -> Descriptor:
    """Create an empty delta. A tenth larger than the disk, because a full one would become invalid."""
    stem = _stem(parent.path)
    named = (_DELTA.search(path.name) for path in folder.glob("*.vmdk"))
    path = folder / f"{stem}-{max((int(found[1]) for found in named if found), default=0) + 1:06}.vmdk"
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
        for name in snapshot.disks.values():
            _free(vm, volumes.resolve(vm.folder, name))
    except BaseException:
        vm.read_tree()
        raise
    vm.tree.write()
    vm.memory_file(uid).unlink(missing_ok=True)
    for suffix in MANIFESTS:
        vm.file(suffix.format(uid)).unlink(missing_ok=True)


def _free(vm: VM, disk: Path) -> None:
    """No snapshot keeps this disk unchanged any more: merge its only delta into it, or delete it."""
    if vm.tree.keeps(volumes.named(disk, vm.folder)):
        return
    deltas = _children(vm, disk)
    if len(deltas) == 1:
        _merge(vm, deltas[0], disk)
    elif not deltas and disk not in vm.disks.values() and descriptors.read(disk).parent:
        descriptors.read(disk).delete()


def _children(vm: VM, disk: Path) -> list[Descriptor]:
    return descriptors.children(disk, *filter(None, [vm.working_folder]))


def _merge(vm: VM, delta: Descriptor, disk: Path) -> None:
    """If a power cut of the hypervisor ends this before the delta is deleted, the removal can be repeated."""
    stack = next((one for one in vm.stacks.values() if delta.path in [file.path for file in one.files()]), None)
    if stack:
        stack.merge(delta)
    else:
        _merge_closed(vm, delta)
    for child in _children(vm, delta.path):
        Descriptor(child.path, child.sectors, child.data, disk).write()
    vm.tree.rename_disk(volumes.named(delta.path, vm.folder), volumes.named(disk, vm.folder))
    vm.tree.write()
    for node, current in vm.disks.items():
        if current == delta.path:
            vm.use_disk(node, disk)
    if stack:
        vm.unlock(delta.data)
    delta.delete()


def _merge_closed(vm: VM, delta: Descriptor) -> None:
    chain = descriptors.chain(delta.path)
    with vm.locks([one.data for one in chain]):
        stack = DiskStack(chain)
        try:
            stack.merge(delta)
        finally:
            stack.close()


def revert(vm: VM, uid: int) -> None:
    """Return to a snapshot: its disks and its settings. The VM keeps its name, and its UUID in vCenter.

    It is powered off then, because snapshots have no memory.
    """
    snapshot: Snapshot = vm.tree.get(uid)
    kept = vm.settings_of(snapshot)
    if not kept:
        raise Refused("FileNotFound", f"the file {vm.memory_file(uid)} of the snapshot {uid} does not exist")
    if vm.guest:
        vm.power_off()
    left = vm.disks_in_snapshots().values()
    deltas = _new_deltas(vm, {node: volumes.resolve(vm.folder, name) for node, name in snapshot.disks.items()})
    name = {key: vm.settings[key] for key in NAME if key in vm.settings}
    vm.settings = {**kept, **name}
    for node, delta in deltas.items():
        vm.use_disk(node, delta.path)
    vm.write()
    vm.tree.current = uid
    vm.tree.write()
    for disk in left:
        _delete_left(vm, disk)


def _delete_left(vm: VM, disk: Path) -> None:
    """Delete a delta that no snapshot and no other disk needs."""
    if vm.tree.keeps(volumes.named(disk, vm.folder)) or not descriptors.parent(disk) or _children(vm, disk):
        return
    descriptors.read(disk).delete()
