# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMware snapshots that carry our mark and that no open entry of the journal knows, by searching all of vSphere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Collection

from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Bearer, search
from .creation import Creation
from .engine import Engine
from .identity import NAME_PREFIX, Origin, begun, origin_of
from .journal import CREATED, ENDED, REMEMBERED, Entry


@dataclass(frozen=True)
class Orphan:
    """One of them, as an entry that is not in the journal yet, or under another server's name.

    `restored`: its run was seen to its end and its VM is off, as one that was registered from a clone of the ZFS
    snapshot. Such a VM has yet to be reverted to it.
    """

    entry: Entry
    restored: bool


def find(engine: Engine, session: Session, homeless: Collection[Entry]) -> list[Orphan]:
    """The orphans on the session's server of this storage host's dead runs; `homeless` are entries whose server nobody
    names.

    The database was lost or restored, a VM came back, or was restored itself, or the server has another name today.
    """
    hostname, port = session.endpoint.hostname, session.endpoint.port
    here = [one for one in engine.journal.open_entries() if (one.hostname, one.port) == (hostname, port)]
    known = {(vm, entry.name) for entry in here for vm in (entry.vm, entry.instance_uuid) if vm}
    alive = {holder.run for holder in engine.locks.holders()}  # before the search: they may end during it
    found = []
    for vm, snapshot in search(session, NAME_PREFIX):
        origin = origin_of(engine.host, snapshot.name, snapshot.description)
        if origin is None or origin.run in alive or engine.locks.is_alive(origin.run):
            continue
        if (vm.moid, snapshot.name) in known or (vm.instance_uuid, snapshot.name) in known:
            continue
        moved = next((one for one in homeless if _is_of(one, vm) and one.name == snapshot.name), None)
        entry = moved or Entry(
            origin.run,
            hostname,
            port,
            vm.moid,
            vm.instance_uuid,
            vm.name,
            snapshot.name,
            snapshot.moid,
            CREATED,
            creation=Creation.MADE,
        )
        entry = replace(entry, hostname=hostname, port=port, vm=vm.moid, username=session.username)
        found.append(Orphan(entry, moved is None and _is_restored(engine, origin, vm)))
    return found


def _is_of(entry: Entry, vm: Bearer) -> bool:
    return bool(vm.instance_uuid) and entry.instance_uuid == vm.instance_uuid


def _is_restored(engine: Engine, origin: Origin, vm: Bearer) -> bool:
    if vm.power != "poweredOff":
        return False
    run = engine.journal.run(origin.run)
    return _is_forgotten(origin.run) if run is None else run.state == ENDED


def _is_forgotten(run: str) -> bool:
    """Whether the run began so long ago that the journal need not know it any more, though it came to its end."""
    when = begun(run)
    return when is not None and when < datetime.now(timezone.utc) - REMEMBERED
