# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMware snapshots that carry our mark and that no open entry of the journal knows, by searching all of vSphere."""

from __future__ import annotations

from dataclasses import dataclass

from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Bearer, search
from .engine import Engine
from .identity import NAME_PREFIX, Origin, origin_of
from .journal import CREATED, ENDED, Entry
from .settle import is_forgotten


@dataclass(frozen=True)
class Orphan:
    """One of them, as an entry that is not in the journal yet, and where it comes from.

    `restored`: its run was seen to its end and its VM is off, as one is that was registered from a clone of the ZFS
    snapshot. Such a VM has yet to be reverted to it.
    """

    entry: Entry
    origin: Origin
    restored: bool


def find(engine: Engine, session: Session, hostname: str, port: int) -> list[Orphan]:
    """The orphans on a server (by the name that the credentials have for it) of this storage host's dead runs.

    The database was lost or restored, a VM came back, or was restored itself.
    """
    known = {(entry.vm, entry.name) for entry in engine.journal.open_entries()}
    alive = {holder.run for holder in engine.locks.holders()}  # before the search: they may end during it
    found = []
    for vm, snapshot in search(session, NAME_PREFIX):
        origin = origin_of(engine.host, snapshot.name, snapshot.description)
        if origin is None or origin.run in alive or engine.locks.is_alive(origin.run):
            continue
        if (vm.moid, snapshot.name) not in known:
            entry = Entry(
                origin.run,
                hostname,
                port,
                vm.moid,
                vm.instance_uuid,
                vm.name,
                snapshot.name,
                snapshot.moid,
                CREATED,
            )
            found.append(Orphan(entry, origin, _is_restored(engine, origin, vm)))
    return found


def _is_restored(engine: Engine, origin: Origin, vm: Bearer) -> bool:
    if vm.power != "poweredOff":
        return False
    run = engine.journal.run(origin.run)
    return is_forgotten(origin.run) if run is None else run.state == ENDED
