# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery: removes the VMware snapshots that runs left behind which are no longer alive.

What may exist is in the journal; with `scan` vSphere is searched as well, for those that only it still knows. Nothing
else is touched: not a VMware snapshot that is not ours, nor one of a run that lives.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Callable, Sequence

from ..errors import QuiesceError, RunFailed
from ..planning.connector import Connector
from ..planning.request import Limits
from ..planning.server_logins import newest_first
from ..snapshots.release import UNMERGED, UNSEEN, Release, Removal
from ..state.creation import Creation
from ..state.engine import Engine
from ..state.journal import ABSENT, INTENDED, REMEMBERED, Entry, ignore_registry_errors
from ..text import counted, printable, vm_on
from ..vsphere.session import Session
from ..vsphere.vm_snapshots import Search, states
from ..vsphere.whereabouts import RESTORED, locate
from . import dead_runs, orphans, runs_v1
from .leftovers import WATCHED, leftovers, told
from .server_recovery import Server, ServerRecovery, Work

_BACKOFF = (0.0, 2.0, 5.0, 10.0)  # seconds before each try to reach a server that is away
_PATIENT = 1800.0  # seconds that the removals on one server may take in all: merging a large delta takes its time
_BRIEF = 120.0  # the same before a run, which is not to be kept waiting by what an earlier one left
# A VMware snapshot whose creation nobody saw end is looked for so long (seconds): the server may still have the call in
# hand, or an ESXi host the task, while vCenter knows nothing of it. The same for one whose VM is not there.
_SETTLED_AFTER = 1800.0
_INHERITED = (
    "this storage host is a copy of the machine on which its run began, and the run may still be alive there; "
    "recovery sees to it when the copy has been up for an hour"
)


@dataclass
class Recovery:
    """What a recovery found and did, as plain data. Each item of `left` says in `reason` why it is still there.

    `watched` are not there, but may still come to be: the next recovery looks for them again (leftovers.py).
    `sealed` are ZFS snapshots whose finished record was set, `lowered` those of release 1.0.0 whose record said more
    than is known.
    """

    removed: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    watched: list[dict[str, Any]] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)
    lowered: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def require_clean(self) -> dict[str, Any]:
        """The same, unless something is left: that is never passed over in silence. Raises RunFailed."""
        if self.left:
            first = self.left[0]
            raise RunFailed(
                f"{counted(len(self.left), 'VMware snapshot')} may still be there, first '{first['vmware_snapshot']}' "
                f"of the {vm_on(first['vm'], first['server'])}: {first['reason'].rstrip('.')}",
                "Fix the cause and recover again; it is tried every hour as well",
                **self.as_dict(),
            )
        return self.as_dict()


def before_run(engine: Engine, pool: str) -> Recovery:
    """What a run of a pool does first: one try at what earlier runs left. A recovery that is under way already is left
    to it, and so are the records of other pools, which may hang.
    """
    with engine.locks.recovery() as free:
        return _Recovery(engine, tries=1, limit=_BRIEF, pool=pool).run() if free else Recovery()


def recover(engine: Engine, scan: bool = False, dry: bool = False, lock_timeout: float = 60.0) -> Recovery:
    """Remove what dead runs left; with `dry` only say what would be removed. Servers that are away are tried again.

    Also has the journal forget runs that ended long ago. Waits up to `lock_timeout` seconds for another recovery.
    Raises LockTimeout, RegistryError.
    """
    engine = replace(engine, connect=Connector(engine.connect))
    if dry:
        return _Recovery(engine, tries=1, limit=_BRIEF).look(scan)
    with engine.locks.recovery(lock_timeout):
        done = _Recovery(engine, tries=len(_BACKOFF), limit=_PATIENT).run(scan)
        ignore_registry_errors(lambda: engine.journal.forget(before=datetime.now(timezone.utc) - REMEMBERED))
        return done


class _Recovery:
    def __init__(self, engine: Engine, tries: int, limit: float, pool: str = "") -> None:
        self._engine, self._tries, self._limit, self._pool = engine, tries, limit, pool
        self._done = Recovery()
        self._dry = False
        self._settled: set[int] = set()  # entries (ids) that were told of already
        self._found: set[tuple[str, int, str, str]] = set()  # by a scan: server, VM and VMware snapshot
        self._searched: dict[str, list[Search]] = {}  # by server, one for each account
        self._homeless: list[Entry] = []  # whose server no credential names, until a scan finds them
        self._alone = threading.Lock()  # what stands above is read and changed by one thread at a time

    def run(self, scan: bool = False) -> Recovery:
        """The VMs first: what becomes of a record changes nothing for them."""
        slow: set[str] = set()  # pools that do not answer in time
        lowered, problems = runs_v1.settle(self._engine, self._pool, slow)
        self._at_each(scan, self._remove)
        ended = dead_runs.end(self._engine, self._pool, slow)
        self._done.lowered += lowered
        self._done.sealed += ended.sealed
        self._done.problems += [*problems, *ended.problems]
        self._watch()
        return self._done

    def look(self, scan: bool) -> Recovery:
        """What `run` would remove: those of the journal's open entries that vSphere still shows."""
        self._dry = True
        self._at_each(scan, self._show)
        self._watch()
        return self._done

    def _at_each(self, scan: bool, work: Work) -> None:
        """Do the work on every server with what is to be removed there; with `scan` also with what is found there."""
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
        """Those that can go; what a restored VM has to be reverted to is left to people."""
        found, searched = orphans.find(self._engine, session, list(self._homeless))
        with self._alone:
            self._searched.setdefault(str(session.endpoint), []).append(searched)
            found = [orphan for orphan in found if _place_of(orphan.entry) not in self._found]  # by another account
            self._found.update(_place_of(orphan.entry) for orphan in found)
            ids = {orphan.entry.id for orphan in found}
            self._homeless = [entry for entry in self._homeless if entry.id not in ids]
        for orphan in found:
            if orphan.needed:
                self._leave([orphan.entry], orphan.needed)
        return [orphan.entry for orphan in found if not orphan.needed]

    def _guarded(self, work: Callable[[], None], entries: Sequence[Entry] = ()) -> bool:
        """Whether the work succeeded; otherwise the entries are left."""
        try:
            work()
        except QuiesceError as error:
            self._leave(entries, str(error))
            if not entries:
                self._done.problems.append(str(error))
            return False
        return True

    def _servers(self, scan: bool) -> list[Server]:
        """The servers to visit. Passwords are read here: the credentials are those of today, not of the dead run."""
        servers: dict[tuple[str, int], Server] = {}
        stored: set[tuple[str, int]] = set()
        alive_elsewhere = self._engine.journal.inherited() if self._engine.host.copied_just_now() else ()
        for entry in [entry for entries in leftovers(self._engine) for entry in entries]:
            if entry.run in alive_elsewhere:
                self._leave([entry], _INHERITED)
            else:
                key = (entry.hostname, entry.port)
                servers.setdefault(key, Server(*key)).entries.append(entry)
        for credential in newest_first(self._engine.credentials.list_all()):
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
        if scan:  # the server may have another name today, and be found by that
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
        # Without its managed object ID: what bears it may be another one's by now, if the server was set up anew. The
        # look at the VM's tree finds the one that bears our name.
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
                self._done.removed.append(told(entry, removal.reason))
            if removal.unconsolidated:
                self._leave([entry], removal.reason)

    def _show(self, session: Session, entries: Sequence[Entry]) -> None:
        now = states(session, [entry.vm_moid for entry in entries])
        for entry in entries:
            where = locate(session, entry.vm_moid, entry.instance_uuid, entry.name, now.get(entry.vm_moid))
            if where is not None and where.restored:
                self._leave([entry], RESTORED)
            elif where is not None and where.state.named(entry.name):
                self._done.removed.append(told(entry, ""))
                self._settled.add(entry.id)
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
        """The journal knows the reason as well, so that status says the same."""
        self._done.left += [told(entry, reason) for entry in entries]
        self._settled.update(entry.id for entry in entries)
        if not self._dry:
            ignore_registry_errors(
                lambda: self._engine.journal.note({entry.id: reason for entry in entries if entry.id})
            )

    def _watch(self) -> None:
        """What is open all the same, after all that was done, is watched."""
        watched = leftovers(self._engine)[1]
        self._done.watched = [told(entry, WATCHED) for entry in watched if entry.id not in self._settled]


def _place_of(entry: Entry) -> tuple[str, int, str, str]:
    return entry.hostname, entry.port, entry.vm_moid, entry.name


def _unread(place: str, names: Sequence[str]) -> str:
    shown = ", ".join(f"'{printable(name, 80)}'" for name in names[:3]) + (" ..." if len(names) > 3 else "")
    return (
        f"No stored account may read the snapshots of {counted(len(names), 'VM')} on {place} ({shown}), so the scan "
        "says nothing of them; give one System.View and System.Read there, or look at them by hand."
    )


def _no_credential(place: Server | Entry) -> str:
    return (
        f"No credential for {place.hostname}:{place.port} is stored any more; store one with vmware_cred, or run "
        "'vmware-zfs recover --scan' if the server has another name today."
    )


def _creation_of(entry: Entry) -> Creation:
    """What to make of the creation; one that was looked for in vain before may come to be, whatever was known of it."""
    if _is_overdue(entry):
        return Creation.OVERDUE
    looked_for = entry.state in (INTENDED, ABSENT)
    return Creation.UNANSWERED if looked_for and entry.creation is Creation.MADE else entry.creation


def _is_overdue(entry: Entry) -> bool:
    """Whether the VMware snapshot was looked for in vain for so long that it will not come to be any more."""
    return entry.state == ABSENT and entry.unchanged_for >= _SETTLED_AFTER  # negative once the clock was set back
