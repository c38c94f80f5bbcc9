# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with several accounts: no entry is closed because one of the accounts does not see its VM."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    ConnectionFailed,
    LoginRefused,
    QuiesceError,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery import server_recovery
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.recovery.server_recovery import (
    Server,
    ServerRecovery,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal_entries import Entry
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_snapshots import VmState

SEEN, UNREAD = VmState("poweredOn", False, ()), VmState("poweredOn", False, (), seen=False)


def entry(number: int, vm: str, username: str) -> Entry:
    return Entry("run", "vc", 443, vm, "", vm, "vmware-zfs run", username=username, id=number)


class World:
    """A server on which each account sees some VMs. `done` is the completed work: account and VM."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **sees: dict[str, VmState] | QuiesceError) -> None:
        self.sees, self.logins, self.closed = sees, list[str](), list[str]()
        self.done: list[tuple[str, str]] = []
        monkeypatch.setattr(
            server_recovery, "states", lambda session, vms: {vm: session.sees[vm] for vm in vms if vm in session.sees}
        )
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def connect(self, endpoint: Any, username: str, password: Secret) -> Any:
        self.logins.append(username)
        sees = self.sees[username]
        if isinstance(sees, QuiesceError):
            raise sees
        return type(
            "Session", (), {"username": username, "sees": sees, "close": lambda me: self.closed.append(username)}
        )()

    def run(self, *entries: Entry, further: Callable[[Any], None] | None = None, tries: int = 1) -> ServerRecovery:
        server = Server("vc", 443, entries=list(entries))
        for number, username in enumerate(self.sees, 1):
            server.add(Credential("vc", username, "tank", id=number), Secret(username))

        def work(session: Any, given: Sequence[Entry]) -> None:
            self.done += [(session.username, one.vm_moid) for one in given]

        def guarded(task: Callable[[], None], given: Sequence[Entry]) -> bool:
            task()
            return True

        visited = ServerRecovery(server, work, guarded, further)
        visited.run(self.connect, (0.0,) * tries)
        assert sorted(self.closed) == sorted(set(self.logins) & set(self.closed)), "each session is closed once"
        return visited


def test_each_entry_is_seen_to_by_its_own_account(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a={"vm-1": SEEN, "vm-2": SEEN}, b={"vm-1": SEEN, "vm-2": SEEN})
    world.run(entry(1, "vm-1", "a"), entry(2, "vm-2", "b"))
    assert world.done == [("a", "vm-1"), ("b", "vm-2")] and world.closed == ["b", "a"]


def test_an_account_that_is_not_needed_does_not_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a={}, b={"vm-2": SEEN})
    world.run(entry(2, "vm-2", "b"))
    assert world.done == [("b", "vm-2")] and world.logins == ["b"]


@pytest.mark.parametrize("username", ["", "a", "of yesterday"])
def test_what_one_does_not_see_another_may(monkeypatch: pytest.MonkeyPatch, username: str) -> None:
    world = World(monkeypatch, a={}, b={"vm-2": SEEN})
    visited = world.run(entry(2, "vm-2", username))
    assert world.done == [("b", "vm-2")] and visited.left == []


def test_what_nobody_sees_is_absent_once_all_have_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a={}, b={})
    visited = world.run(entry(1, "vm-1", "b"), entry(2, "vm-2", ""))
    assert (
        sorted(world.done) == [("b", "vm-1"), ("b", "vm-2")]
        and visited.left == []
        and sorted(world.logins) == ["a", "b"]
    )


def test_who_knows_that_there_is_something_unread_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a={}, b={"vm-1": UNREAD})
    world.run(entry(1, "vm-1", ""))
    assert world.done == [("b", "vm-1")], "a would take it for absent"


@pytest.mark.parametrize("error", [LoginRefused("refused"), ConnectionFailed("away")])
def test_nothing_is_absent_while_an_account_cannot_look(monkeypatch: pytest.MonkeyPatch, error: QuiesceError) -> None:
    world = World(monkeypatch, a={"vm-1": SEEN}, b=error)
    visited = world.run(entry(1, "vm-1", "a"), entry(2, "vm-2", "b"), entry(3, "vm-3", "a"), tries=3)
    assert world.done == [("a", "vm-1")] and [one.vm_moid for one in visited.left] == ["vm-2", "vm-3"]
    tries = 1 if isinstance(error, LoginRefused) else 3  # repeated refused logins lock the account
    assert world.logins.count("b") == tries and world.logins.count("a") == 1


def test_every_account_looks_further(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, a={"vm-1": SEEN}, b={})
    looked: list[str] = []
    world.run(entry(1, "vm-1", "a"), further=lambda session: looked.append(session.username))
    assert looked == ["a", "b"] and world.done == [("a", "vm-1")]
