# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what earlier restores of this storage host brought back and what still exists, so that a playbook can be run
twice. A VM is known by its files in the ZFS snapshot and by the managed object ID that it got, not by its name."""

from __future__ import annotations

from typing import Iterator, Sequence

from ..errors import InputError
from ..planning.selection import datasets_around
from ..state.engine import Engine
from ..state.restores import DISK, DONE, MOUNT, RestoreRecord
from ..text import printable
from ..vsphere.datastores import list_datastores
from ..vsphere.hosts import comparable
from ..vsphere.session import Session
from ..vsphere.vm_disks import read_disks
from ..vsphere.vm_now import read_now
from ..zfs.names import pool_of
from .helper import disk_of
from .names import default_name, snapshot_date
from .request import RestoreRequest
from .result import RestoreResult, VmRestored
from .sources import Source, find_sources
from .steps import HANDOVER


def finished(engine: Engine, snapshot: str, way: str) -> list[RestoreRecord]:
    """Return the restores of a ZFS snapshot in this way that are finished and not ended, newest first."""
    return [one for one in engine.restores.list([DONE]) if (one.snapshot, one.way) == (snapshot, way)]


def result_of(record: RestoreRecord) -> RestoreResult:
    """Return the result of a finished restore."""
    known = {"restore_id": record.id, "zfs_snapshot": record.snapshot, "way": record.way}
    return RestoreResult.of({**known, **record.result})


def earlier_vms(
    engine: Engine, session: Session, request: RestoreRequest
) -> list[tuple[str, RestoreRecord, VmRestored]]:
    """Return the VMs of the request that exist: as the request names them, with the restore that brought them back."""
    records = finished(engine, str(request.snapshot), request.way)
    if not records or request.way in (DISK, MOUNT):
        return []
    found = list(zip(request.vms, _sources(engine, request)))
    dated = not request.name and not request.replace
    date = snapshot_date(engine.zfs, request.snapshot) if dated else ""
    names = {wanted: _restored_name(request, source, date) for wanted, source in found}
    candidates = [
        (wanted, record, vm)
        for wanted, source in found
        for record in records
        for vm in _brought(engine, record, source.vm.path)
        if vm.replaced or vm.restored_name == names[wanted]
        if not vm.replaced or request.replace
    ]
    there = read_now(session, [vm.moid for _wanted, _record, vm in candidates]) if candidates else {}
    newest: dict[str, tuple[str, RestoreRecord, VmRestored]] = {}
    for one in candidates:
        if one[2].moid in there:
            newest.setdefault(one[0], one)
    return list(newest.values())


def earlier_disk(engine: Engine, session: Session, request: RestoreRequest) -> RestoreRecord | None:
    """Return the restore that attached the disk, if the disk is still attached to the VM."""
    records = finished(engine, str(request.snapshot), DISK)
    if not records:
        return None
    file = disk_of(_sources(engine, request)[0], request.disk)
    for record in records:
        attached = record.result.get("attached") or {}
        if request.attach_to not in (attached.get("vm"), attached.get("moid")):
            continue
        same_file = str(attached["file"]).endswith((f"/{file}", f" {file}"))
        holder = read_disks(session, attached["moid"]) if same_file else None
        if holder is not None and holder.key_of(attached["file"]) is not None:
            return record
    return None


def mounted(engine: Engine, snapshot: str, host: str = "") -> list[RestoreRecord]:
    """Return the restores that mounted a whole ZFS snapshot on this ESXi host, or on any. Newest first."""
    records = finished(engine, snapshot, MOUNT)
    return [one for one in records if not host or comparable(host) in map(comparable, _hosts(engine, one))]


def earlier_mount(engine: Engine, session: Session, request: RestoreRequest) -> RestoreRecord | None:
    """Return the restore that mounted the ZFS snapshot on the host. Raises InputError if a datastore is gone."""
    for record in mounted(engine, str(request.snapshot), request.host):
        there = {one.moid for one in list_datastores(session)}
        gone = [str(one["name"]) for one in record.result["datastores"] if one["moid"] not in there]
        if gone:
            raise InputError(
                f"The datastore '{printable(gone[0], 80)}' of the restore {record.id} was unmounted by someone else",
                f"End this restore with 'vmware-zfs restores --end {record.id}', then mount the ZFS snapshot again",
            )
        return record
    return None


def _sources(engine: Engine, request: RestoreRequest) -> Sequence[Source]:
    datasets = datasets_around(engine.zfs, pool_of(request.snapshot.dataset))
    return find_sources(engine.zfs, request.snapshot, request.vms, datasets)


def _restored_name(request: RestoreRequest, source: Source, date: str) -> str:
    """Return the name of a restored VM that replaced no other VM."""
    if request.replace:
        return source.name
    return request.name or default_name(source.name, date)


def _brought(engine: Engine, record: RestoreRecord, path: str) -> Iterator[VmRestored]:
    """Yield the restored VM whose configuration is this file in the ZFS snapshot."""
    steps = [one for one in engine.restores.steps(record.id) if one.data.get("vm") == path and one.state == DONE]
    moids = {str(one.data["vm_moid"]) for one in steps if one.kind == "registration"}
    if not moids or not any(one.kind == HANDOVER for one in steps):
        return
    known = [vm for vm in result_of(record).vms if vm.moid in moids]
    names = {str(one.data["vm_moid"]): str(one.data["after"]) for one in steps if one.kind == "rename"}
    # The process may have been killed after it handed the VM over, before it wrote the result.
    yield from known or [VmRestored("", names.get(moid, ""), moid, restored=True) for moid in moids]


def _hosts(engine: Engine, record: RestoreRecord) -> list[str]:
    return [str(one.data["host"]) for one in engine.restores.steps(record.id) if one.kind == "mount"]
