# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Handles all VMware snapshots that may be left on a server, with as many accounts as necessary.

An account sees only the VMs that its role allows. A VM that one account cannot see may still exist.
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
from ..state.journal_entries import Entry
from ..vsphere.session import Connect, Session
from ..vsphere.vm_snapshots import states
from ..vsphere.whereabouts import locate

Work = Callable[[Session, Sequence[Entry]], None]
Guarded = Callable[[Callable[[], None], Sequence[Entry]], bool]


@dataclass
class Server:
    """A server and the entries to remove there.

    `accounts` maps usernames to the stored credentials, by password. `failed` maps usernames that cannot log in to the
    reason.
    """

    hostname: str
    port: int
    accounts: dict[str, dict[Secret, Credential]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, credential: Credential, password: Secret) -> None:
        self.accounts.setdefault(credential.username, {}).setdefault(password, credential)

    def sessions(self, connect: Connect, stack: ExitStack, pauses: tuple[float, ...]) -> Iterator[Session]:
        """Log in with each account; those that created entries come first. `stack` logs out.

        If an account cannot log in, try again after each of the `pauses` (seconds), unless its login was refused.
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
        """Log in with one of the passwords. Refused ones are removed, because repeated failures lock the account."""
        for password, credential in list(passwords.items()):
            try:
                return connect(endpoint_of(credential), username, password)
            except QuiesceError as error:
                self.failed[username] = str(error)
                if isinstance(error, LoginRefused):
                    del passwords[password]
        return None


class ServerRecovery:
    """Does the `work` for each entry of a server with the account that created it, or another one that sees its VM.

    A VMware snapshot is absent if no account sees its VM and all accounts have logged in. `guarded` does the work for
    entries, records failures, and returns whether the work succeeded. `look_further` is called once with each account's
    session. After `run`, `left` are the entries that could not be handled because an account cannot log in.
    """

    def __init__(
        self, server: Server, work: Work, guarded: Guarded, look_further: Callable[[Session], None] | None
    ) -> None:
        self._server, self._work, self._guarded, self._look_further = server, work, guarded, look_further
        self._unread: dict[Entry, Session] = {}  # a session that sees the VM, but not its VMware snapshots
        self.left = server.entries

    def run(self, connect: Connect, pauses: tuple[float, ...]) -> None:
        opened: dict[str, Session] = {}
        with ExitStack() as stack:
            for session in self._server.sessions(connect, stack, pauses):
                opened[session.username] = session
                others = self._server.accounts.keys() - {session.username}
                own = [one for one in self.left if one.username not in others]
                self.left = [one for one in self.left if one.username in others] + self._handle(session, own)
                if self._look_further is not None:
                    self._look_further(session)
                elif not self.left:
                    return
            for session in opened.values():
                self.left = self._handle(session, self.left)
            if opened and not self._server.failed:
                self._handle_unseen(opened)

    def _handle(self, session: Session, entries: Sequence[Entry]) -> list[Entry]:
        """Do the work for the entries whose VM the session sees. Returns the others."""
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

    def _handle_unseen(self, opened: dict[str, Session]) -> None:
        """Do the work for the remaining entries, each with the session that can read most of its VM."""
        first = next(iter(opened.values()))
        best = {one: self._unread.get(one) or opened.get(one.username, first) for one in self.left}
        for session in opened.values():
            entries = [one for one in self.left if best[one] is session]
            if entries:
                self._guarded(partial(self._work, session, entries), entries)
        self.left = []
