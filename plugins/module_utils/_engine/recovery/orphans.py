# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMware snapshots that carry our mark and that no open entry of the journal knows, by searching all of vSphere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Collection

from ..state.creation import Creation
from ..state.engine import Engine
from ..state.identity import NAME_PREFIX, Origin, begun, origin_of
from ..state.journal import CREATED, REMEMBERED, Entry
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Bearer, Search, search
from ..vsphere.whereabouts import RESTORED

_RESTORED = (
    "its run is over and the VM is off, so this may be what a restored VM has to be reverted to; "
    "revert the VM to it, or remove it by hand"
)
_FORMER = (
    "it carries a former identity of this storage host, and a run on a clone of this host may be under way that needs "
    "it; run 'vmware-zfs recover' on the clone, or remove it by hand if there is none"
)


@dataclass(frozen=True)
class Orphan:
    """One of them, as an entry that is not in the journal yet, or under another server's name. `needed` says why it may
    be needed and is left to people, "" if it is not.
    """

    entry: Entry
    needed: str


def find(engine: Engine, session: Session, homeless: Collection[Entry]) -> tuple[list[Orphan], Search]:
    """The orphans on the session's server of this storage host's dead runs, and what was searched; `homeless` are
    entries whose server nobody names.

    The database was lost or restored, a VM came back, or was restored itself, or the server has another name today. One
    with a former identity is taken for dead only if the journal knows its run: a clone of this host, with a journal of
    its own since, may have a run under way.
    """
    hostname, port = session.endpoint.hostname, session.endpoint.port
    here = [one for one in engine.journal.open_entries() if (one.hostname, one.port) == (hostname, port)]
    known = {(vm, entry.name) for entry in here for vm in (entry.vm_moid, entry.instance_uuid) if vm}
    lives = engine.locks.living()  # before the search: they may end during it
    found = []
    searched = search(session, NAME_PREFIX)
    for vm, snapshot in searched.found:
        origin = origin_of(engine.host, snapshot.name, snapshot.description)
        if origin is None or lives(origin.run):
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
    """A VM that is off may be one that was registered from a clone of the ZFS snapshot, and is not reverted yet."""
    off = vm.power != "poweredOn"
    if moved is not None:  # of a server with another name today, or of a copy of its VM elsewhere
        return RESTORED if off and vm.moid != moved.vm_moid else ""
    run = engine.journal.run(origin.run)
    if not origin.sure and (run is None or engine.host.copied_just_now()):
        return _FORMER
    # What the journal has entered of the run is known before: this VM is not among it.
    return _RESTORED if off and (run is not None or _is_forgotten(origin.run)) else ""


def _is_forgotten(run: str) -> bool:
    """Whether the run began so long ago that the journal need not know it any more, though it came to its end."""
    when = begun(run)
    return when is not None and when < datetime.now(timezone.utc) - REMEMBERED
