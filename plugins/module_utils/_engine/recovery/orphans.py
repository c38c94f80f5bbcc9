# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Searches vSphere for VMware snapshots that have this host's mark but no open entry in the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Collection

from ..state.creation import Creation
from ..state.engine import Engine
from ..state.identity import NAME_PREFIX, Origin, begun, origin_of
from ..state.journal import REMEMBERED
from ..state.journal_entries import CREATED, Entry
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Bearer, Search, search
from ..vsphere.whereabouts import RESTORED

_RESTORED = (
    "its run has ended and the VM is off, so the VM may have been restored; if so, revert it to this "
    "VMware snapshot; if not, remove the VMware snapshot manually"
)
_FORMER = (
    "it has a former identity of this storage host, so it may belong to an active run on a clone of this host; "
    "run 'vmware-zfs recover' on the clone or, if there is no clone, remove it manually"
)


@dataclass(frozen=True)
class Orphan:
    """Such a VMware snapshot. `entry` is not in the journal yet, or only with another server name.

    `needed` is why it may still be needed and is therefore left to the user, or "".
    """

    entry: Entry
    needed: str


def find(engine: Engine, session: Session, homeless: Collection[Entry]) -> tuple[list[Orphan], Search]:
    """Return the orphans of this storage host's dead runs on the session's server, and the search result.

    `homeless` are entries whose server no credential names. Orphans occur if the database was lost or restored, if a VM
    has returned or was restored, or if the server has another name now. A run with a former identity counts as dead
    only if it is in the journal, because a clone of this host, which has its own journal, may have an active run.
    """
    hostname, port = session.endpoint.hostname, session.endpoint.port
    here = [one for one in engine.journal.open_entries() if (one.hostname, one.port) == (hostname, port)]
    known = {(vm, entry.name) for entry in here for vm in (entry.vm_moid, entry.instance_uuid) if vm}
    is_alive = engine.locks.living()  # before the search, because runs may end during it
    found = []
    searched = search(session, NAME_PREFIX)
    for vm, snapshot in searched.found:
        origin = origin_of(engine.host, snapshot.name, snapshot.description)
        if origin is None or is_alive(origin.run):
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
        entry = replace(entry, hostname=hostname, port=port, vm_moid=vm.moid, username=session.username)
        found.append(Orphan(entry, _why_needed(engine, origin, vm, moved)))
    return found, searched


def _is_of(entry: Entry, vm: Bearer) -> bool:
    return bool(vm.instance_uuid) and entry.instance_uuid == vm.instance_uuid


def _why_needed(engine: Engine, origin: Origin, vm: Bearer, moved: Entry | None) -> str:
    """Return why the VMware snapshot may be needed. A VM that is off may be a restored VM that is not reverted yet."""
    off = vm.power != "poweredOn"
    if moved is not None:  # the server has another name now, or a copy of the VM is on another server
        return RESTORED if off and vm.moid != moved.vm_moid else ""
    run = engine.journal.run(origin.run)
    if not origin.sure and (run is None or engine.host.copied_just_now()):
        return _FORMER
    # The journal's entries of this run do not include this VM.
    return _RESTORED if off and (run is not None or _is_forgotten(origin.run)) else ""


def _is_forgotten(run: str) -> bool:
    """Return whether the run began so long ago that the journal may have deleted it after its end."""
    when = begun(run)
    return when is not None and when < datetime.now(timezone.utc) - REMEMBERED
