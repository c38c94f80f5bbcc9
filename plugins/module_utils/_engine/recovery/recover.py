# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery: removes VMware snapshots of runs that are no longer alive.

The journal shows which VMware snapshots may exist. With `scan`, recovery also searches vSphere for VMware snapshots
that are not in the journal. VMware snapshots of live runs and VMware snapshots that this host did not create are never
changed.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from typing import Callable, Sequence

from ..errors import QuiesceError
from ..planning.connector import with_connector
from ..planning.server_logins import newest_first
from ..policy import Limits
from ..snapshots.release import UNMERGED, UNSEEN, Release, Removal
from ..state.creation import Creation
from ..state.engine import Engine
from ..state.journal import REMEMBERED, ignore_registry_errors
from ..state.journal_entries import ABSENT, INTENDED, Entry
from ..text import counted, printable
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Search, states
from ..vsphere.whereabouts import RESTORED, locate
from . import dead_restores, dead_runs, orphans, runs_v1
from .leftovers import WATCHED, leftover, open_entries
from .result import Recovery
from .server_recovery import Server, ServerRecovery, Work
from .slow_pools import SlowPools

_BACKOFF = (0.0, 2.0, 5.0, 10.0)  # seconds before each attempt to reach a server
_LIMIT = 1800.0  # seconds for all removals on one server; merging large delta files is slow
_LIMIT_BEFORE_RUN = 120.0  # the same before a run, so that leftovers of earlier runs do not delay it
# Seconds to check for a VMware snapshot if the end of its creation was not seen. Until then, the server may still
# process the call, or an ESXi host may run the task although vCenter does not show it. This also applies if the VM is
# missing.
_SETTLED_AFTER = 1800.0
_INHERITED = (
    "this storage host is a copy of the machine on which its run began, and the run may still be alive there; "
    "recovery handles it when the copy has been up for an hour"
)


def before_run(engine: Engine, pool: str) -> Recovery:
    """Remove leftovers of earlier runs before a run on `pool`, with only one attempt to reach each server.

    Does nothing if another recovery is active. Does not write records on other pools, because these may hang.
    """
    with engine.locks.recovery() as free:
        return _Recovery(engine, tries=1, limit=_LIMIT_BEFORE_RUN, pool=pool).run() if free else Recovery()


def recover(
    engine: Engine, scan: bool = False, dry: bool = False, lock_timeout: float = 60.0, only: str = ""
) -> Recovery:
    """Remove the leftovers of dead runs and undo dead restores, or with `dry` only return what would be done.

    `only` is "runs" or "restores" for one of the two.

    Tries several times to reach each server. Waits up to `lock_timeout` seconds for another recovery. Also deletes old
    runs from the journal. Raises LockTimeout, RegistryError.
    """
    engine = with_connector(engine)
    if dry:
        return _Recovery(engine, tries=1, limit=_LIMIT_BEFORE_RUN).look(scan, only)
    with engine.locks.recovery(lock_timeout):
        done = _Recovery(engine, tries=len(_BACKOFF), limit=_LIMIT).run(scan, only)
        old = datetime.now(timezone.utc) - REMEMBERED
        ignore_registry_errors(lambda: engine.journal.forget(before=old))
        ignore_registry_errors(lambda: engine.restores.forget(before=old))
        return done


class _Recovery:
    def __init__(self, engine: Engine, tries: int, limit: float, pool: str = "") -> None:
        self._engine, self._tries, self._limit, self._pool = engine, tries, limit, pool
        self._done = Recovery()
        self._dry = False
        self._reported: set[int] = set()  # IDs of entries that are in the result
        self._found: set[tuple[str, int, str, str]] = set()  # found by a scan: server, VM and VMware snapshot
        self._searched: dict[str, list[Search]] = {}  # server -> one search for each account
        self._homeless: list[Entry] = []  # no credential names their server; a scan may find them on another one
        self._lock = threading.Lock()  # for the attributes above

    def run(self, scan: bool = False, only: str = "") -> Recovery:
        """Recover runs and undo restores, or `only` one of them: "runs" or "restores"."""
        if only != "restores":
            self._recover_runs(scan)
        if only != "runs" and not self._pool:  # not before a run, because a restore does not hinder it
            undone, left = dead_restores.undo_dead(self._engine)
            self._done.undone_restores += undone
            self._done.problems += left
        return self._done

    def _recover_runs(self, scan: bool) -> None:
        """Remove VMware snapshots first, then write records, because VMs do not depend on records."""
        slow = SlowPools()
        lowered, problems = runs_v1.settle(self._engine, self._pool, slow)
        self._at_each(scan, self._remove)
        ended = dead_runs.end(self._engine, self._pool, slow)
        self._done.lowered += lowered
        self._done.sealed += ended.sealed
        self._done.problems += [*problems, *ended.problems]
        self._watch()

    def look(self, scan: bool, only: str = "") -> Recovery:
        """Return what `run` would do: remove open entries of the journal that still exist in vSphere, undo restores."""
        self._dry = True
        if only != "restores":
            self._at_each(scan, self._show)
            self._watch()
        if only != "runs":
            self._done.undone_restores += [one.id for one in dead_restores.dead_restores(self._engine)]
        return self._done

    def _at_each(self, scan: bool, work: Work) -> None:
        """Do the work for the entries of every server and, with `scan`, for VMware snapshots found there."""
        servers = self._servers(scan)
        if servers:
            with ThreadPoolExecutor(max_workers=len(servers)) as pool:
                list(pool.map(lambda server: self._visit(server, scan, work), servers))
        for entry in self._homeless:
            self._leave([entry], _no_credential(entry))
        for place, searches in self._searched.items():
            unread = {moid: name for searched in searches for moid, name in searched.unread.items()}
            for moid in frozenset().union(*(searched.read for searched in searches)):
                unread.pop(moid, None)
            if unread:
                self._done.problems.append(_unread(place, list(unread.values())))

    def _visit(self, server: Server, scan: bool, work: Work) -> None:
        def look_further(session: Session) -> None:
            found: list[Entry] = []
            self._guarded(lambda: found.extend(self._orphans(session)))
            self._guarded(lambda: work(session, found), found)

        recovery = ServerRecovery(server, work, self._guarded, look_further if scan else None)
        recovery.run(self._engine.connect, _BACKOFF[: self._tries])
        for entry in recovery.left:
            reason = server.failed.get(entry.username) or next(iter(server.failed.values()), _no_credential(server))
            self._leave([entry], reason)
        if scan and not recovery.left:
            self._done.problems += server.failed.values()

    def _orphans(self, session: Session) -> list[Entry]:
        """Return the found orphans to remove. Those that may still be needed are left to the user."""
        found, searched = orphans.find(self._engine, session, list(self._homeless))
        with self._lock:
            self._searched.setdefault(str(session.endpoint), []).append(searched)
            found = [orphan for orphan in found if _place_of(orphan.entry) not in self._found]  # not by another account
            self._found.update(_place_of(orphan.entry) for orphan in found)
            ids = {orphan.entry.id for orphan in found}
            self._homeless = [entry for entry in self._homeless if entry.id not in ids]
        for orphan in found:
            if orphan.needed:
                self._leave([orphan.entry], orphan.needed)
        return [orphan.entry for orphan in found if not orphan.needed]

    def _guarded(self, work: Callable[[], None], entries: Sequence[Entry] = ()) -> bool:
        """Do the work. Returns whether it succeeded; otherwise the entries are left."""
        try:
            work()
        except QuiesceError as error:
            self._leave(entries, str(error))
            if not entries:
                self._done.problems.append(str(error))
            return False
        return True

    def _servers(self, scan: bool) -> list[Server]:
        """Return the servers to handle, with the current credentials and not those of the dead runs."""
        servers: dict[tuple[str, int], Server] = {}
        stored: set[tuple[str, int]] = set()
        alive_elsewhere = self._engine.journal.inherited() if self._engine.host.copied_just_now() else ()
        for entry in [entry for entries in open_entries(self._engine) for entry in entries]:
            if entry.run in alive_elsewhere:
                self._leave([entry], _INHERITED)
            else:
                key = (entry.hostname, entry.port)
                servers.setdefault(key, Server(*key)).entries.append(entry)
        for credential in newest_first(self._engine.credentials.for_snapshots()):
            key = (credential.hostname, credential.port)
            stored.add(key)
            if scan:
                servers.setdefault(key, Server(*key))
            if key in servers:
                try:
                    servers[key].add(credential, self._engine.credentials.password(credential))
                except QuiesceError as error:
                    servers[key].failed[credential.username] = str(error)
                    self._done.problems.append(str(error))
        if scan:  # the server may have another name now and be found under that name
            for key in servers.keys() - stored:
                self._homeless += servers.pop(key).entries
        return list(servers.values())

    def _remove(self, session: Session, entries: Sequence[Entry]) -> None:
        self._engine.journal.move(one for one in entries if one.id and _place_of(one) in self._found)
        new = [entry for entry in entries if not entry.id]
        ids = self._engine.journal.intend(new)
        entries = [entry for entry in entries if entry.id] + [
            replace(entry, id=number) for entry, number in zip(new, ids)
        ]
        # Without the managed object ID of the VMware snapshot, which may belong to another one if the server was
        # reinstalled. Release finds the VMware snapshot by its name in the VM's snapshot tree.
        removals = [
            Removal(
                entry.id,
                entry.vm_moid,
                entry.name,
                entry.instance_uuid,
                creation=_creation_of(entry),
                needed_consolidation=entry.needed_consolidation if entry.removal_asked else None,
            )
            for entry in entries
        ]
        Release(session, self._engine.journal, Limits(), time.monotonic() + self._limit).run(removals)
        for entry, removal in zip(entries, removals):
            if not removal.gone:
                self._leave([entry], removal.reason)
            elif removal.existed:
                self._done.removed.append(leftover(entry, removal.reason))
            if removal.unconsolidated:
                self._leave([entry], removal.reason)

    def _show(self, session: Session, entries: Sequence[Entry]) -> None:
        now = states(session, [entry.vm_moid for entry in entries])
        for entry in entries:
            where = locate(session, entry.vm_moid, entry.instance_uuid, entry.name, now.get(entry.vm_moid))
            if where is not None and where.restored:
                self._leave([entry], RESTORED)
            elif where is not None and where.state.named(entry.name):
                self._done.removed.append(leftover(entry, ""))
                self._reported.add(entry.id)
            elif where is not None and not where.state.seen:
                self._leave([entry], UNSEEN)
            elif (
                where is not None
                and where.state.consolidation_needed
                and entry.removal_asked
                and not entry.needed_consolidation
            ):
                self._leave([entry], entry.note or UNMERGED)

    def _leave(self, entries: Sequence[Entry], reason: str) -> None:
        """Add the entries to the result, and the reason to the journal, so that `status` shows the same."""
        self._done.left += [leftover(entry, reason) for entry in entries]
        self._reported.update(entry.id for entry in entries)
        if not self._dry:
            ignore_registry_errors(
                lambda: self._engine.journal.note({entry.id: reason for entry in entries if entry.id})
            )

    def _watch(self) -> None:
        """Add the remaining open entries to the result as watched."""
        watched = open_entries(self._engine)[1]
        self._done.watched = [leftover(entry, WATCHED) for entry in watched if entry.id not in self._reported]


def _place_of(entry: Entry) -> tuple[str, int, str, str]:
    return entry.hostname, entry.port, entry.vm_moid, entry.name


def _unread(place: str, names: Sequence[str]) -> str:
    shown = ", ".join(f"'{printable(name, 80)}'" for name in names[:3]) + (" ..." if len(names) > 3 else "")
    return (
        f"No stored account can read the snapshots of {counted(len(names), 'VM')} on {place} ({shown}), so the "
        "scan did not include them; grant an account System.View and System.Read on them, or check them manually."
    )


def _no_credential(place: Server | Entry) -> str:
    return (
        f"No credential for {place.hostname}:{place.port} is stored; store one with vmware_cred or, if the server has "
        "another name now, run 'vmware-zfs recover --scan'."
    )


def _creation_of(entry: Entry) -> Creation:
    """Return the status of the creation. If the VMware snapshot was not found before, it may still appear."""
    if _is_overdue(entry):
        return Creation.OVERDUE
    not_found = entry.state in (INTENDED, ABSENT)
    return Creation.UNANSWERED if not_found and entry.creation is Creation.MADE else entry.creation


def _is_overdue(entry: Entry) -> bool:
    """Return whether the VMware snapshot has been absent for so long that it will not appear."""
    return entry.state == ABSENT and entry.unchanged_for >= _SETTLED_AFTER  # negative if the clock was set back
