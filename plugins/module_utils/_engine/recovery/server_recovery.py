# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Visits a server on which VMware snapshots may be left, with every account that it takes to see to all of them.

An account sees what its role lets it see: that it does not see a VM says nothing of the VM.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Callable, Iterator, Sequence

from ..errors import LoginRefused, QuiesceError
from ..secret import Secret
from ..state.credentials import Credential, endpoint_of
from ..state.journal import Entry
from ..vsphere.session import Connect, Session
from ..vsphere.vm_snapshots import states
from ..vsphere.whereabouts import locate

Work = Callable[[Session, Sequence[Entry]], None]
Guarded = Callable[[Callable[[], None], Sequence[Entry]], bool]


@dataclass
class Server:
    """A server with what has to be removed there. `accounts` are the stored ones by username, with each password that
    is stored for it; `failed` says which of them cannot log in, and why.
    """

    hostname: str
    port: int
    accounts: dict[str, dict[Secret, Credential]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, credential: Credential, password: Secret) -> None:
        self.accounts.setdefault(credential.username, {}).setdefault(password, credential)

    def sessions(self, connect: Connect, stack: ExitStack, pauses: tuple[float, ...]) -> Iterator[Session]:
        """Log in with one account after the other, those first that entries were made by; `stack` logs out.

        An account that cannot log in is tried again after each of the `pauses` (seconds), unless it was refused.
        """
        asked = {entry.username for entry in self.entries}
        waiting = {
            name: dict(self.accounts[name]) for name in sorted(self.accounts, key=lambda name: name not in asked)
        }
        for pause in pauses:
            time.sleep(pause if waiting else 0.0)
            for username, passwords in list(waiting.items()):
                session = self._log_in(connect, username, passwords)
                if session is not None:
                    stack.callback(session.close)
                    self.failed.pop(username, None)
                    yield session
                if session is not None or not passwords:
                    del waiting[username]

    def _log_in(self, connect: Connect, username: str, passwords: dict[Secret, Credential]) -> Session | None:
        """A session by one of the passwords; those that are refused are taken out, to try again would lock it."""
        for password, credential in list(passwords.items()):
            try:
                return connect(endpoint_of(credential), username, password)
            except QuiesceError as error:
                self.failed[username] = str(error)
                if isinstance(error, LoginRefused):
                    del passwords[password]
        return None


class ServerRecovery:
    """Has the `work` done on a server for each of its entries: by the entry's own account, or else by any that sees its
    VM. What none of them sees is absent for all, once all have looked.

    `guarded` does a work for entries and notes what failed; it returns whether it succeeded. `look_further` is called
    once with each account. After `run` those are `left` that nobody could see to, because an account cannot log in.
    """

    def __init__(
        self, server: Server, work: Work, guarded: Guarded, look_further: Callable[[Session], None] | None
    ) -> None:
        self._server, self._work, self._guarded, self._look_further = server, work, guarded, look_further
        self._unread: dict[Entry, Session] = {}  # who has its VM in the inventory, but does not see what it bears
        self.left = server.entries

    def run(self, connect: Connect, pauses: tuple[float, ...]) -> None:
        opened: dict[str, Session] = {}
        with ExitStack() as stack:
            for session in self._server.sessions(connect, stack, pauses):
                opened[session.username] = session
                others = self._server.accounts.keys() - {session.username}
                own = [one for one in self.left if one.username not in others]
                self.left = [one for one in self.left if one.username in others] + self._see_to(session, own)
                if self._look_further is not None:
                    self._look_further(session)
                elif not self.left:
                    return
            for session in opened.values():
                self.left = self._see_to(session, self.left)
            if opened and not self._server.failed:
                self._see_to_unseen(opened)

    def _see_to(self, session: Session, entries: Sequence[Entry]) -> list[Entry]:
        """Do the work for those whose VM the session sees; returns the others."""
        seen: dict[Entry, None] = {}

        def look_and_work() -> None:
            now = states(session, [entry.vm_moid for entry in entries])
            for entry in entries:
                found = locate(session, entry.vm_moid, entry.instance_uuid, entry.name, now.get(entry.vm_moid))
                if found is not None and not found.state.seen:
                    self._unread[entry] = session
                elif found is not None:
                    seen[entry] = None
            if seen:
                self._work(session, list(seen))

        if entries and not self._guarded(look_and_work, entries):
            return []
        return [entry for entry in entries if entry not in seen]

    def _see_to_unseen(self, opened: dict[str, Session]) -> None:
        """Do the work for the rest, each by the session that knows most of it."""
        first = next(iter(opened.values()))
        best = {one: self._unread.get(one) or opened.get(one.username, first) for one in self.left}
        for session in opened.values():
            mine = [one for one in self.left if best[one] is session]
            if mine:
                self._guarded(partial(self._work, session, mine), mine)
        self.left = []
