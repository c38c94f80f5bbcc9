# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several servers in parallel: no server waits for another, and a look does not delay work."""

from __future__ import annotations

import threading
from typing import Any, Callable

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.side_by_side import SideBySide

LOGINS: list[Any] = [type("ServerLogin", (), {"name": name})() for name in "ab"]
A, B = LOGINS


def name(login: Any) -> str:
    return str(login.name)


@pytest.fixture
def gate() -> Any:
    """An event that a server without an answer waits for. It is always set at the end."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_each_site_is_worked_at_and_its_result_is_named() -> None:
    both = SideBySide(LOGINS)
    assert both.work(name).wait() == [(A, "a"), (B, "b")]
    assert both.look(lambda login: name(login) * 2).wait() == [(A, "aa"), (B, "bb")]
    both.close()


def test_no_site_waits_for_another(gate: threading.Event) -> None:
    both = SideBySide(LOGINS)
    done = threading.Event()

    def work(login: Any) -> str:
        if login is A:
            assert gate.wait(60)
        else:
            done.set()
        return name(login)

    pending = both.work(work)
    assert done.wait(60)
    assert pending.wait(until=done.is_set) == [(A, None), (B, "b")]
    gate.set()
    assert pending.wait() == [(A, "a"), (B, "b")]
    both.close()


def test_work_at_a_site_is_done_in_its_order() -> None:
    both = SideBySide(LOGINS)
    seen: list[tuple[str, int]] = []

    def work(number: int) -> Callable[[Any], None]:
        return lambda login: seen.append((name(login), number))

    pending = [both.work(work(number)) for number in range(20)]
    for one in pending:
        one.wait()
    assert [number for server, number in seen if server == "a"] == list(range(20))
    both.close()


def test_a_look_without_an_answer_keeps_no_work_waiting(gate: threading.Event) -> None:
    both = SideBySide(LOGINS)
    look = both.look(lambda login: gate.wait(60))
    assert both.work(name).wait() == [(A, "a"), (B, "b")]
    assert look.wait(until=lambda: True) == [(A, None), (B, None)]
    gate.set()
    assert look.wait() == [(A, True), (B, True)]
    both.close()


def test_one_site_can_be_looked_at_alone_and_nobody_waits_for_it() -> None:
    """Its result, or its error, is for the next look."""
    both = SideBySide(LOGINS)
    seen: list[str] = []

    def fail() -> None:
        seen.append("fail")
        raise ValueError("at a")

    both.look_at(A, fail)
    both.look_at(A, lambda: seen.append("a"))
    assert both.look(lambda login: list(seen) if login is A else None).wait() == [(A, ["fail", "a"]), (B, None)]
    both.close()


def test_one_site_can_be_waited_for_alone(gate: threading.Event) -> None:
    both = SideBySide(LOGINS)
    look = both.look(lambda login: login is B or gate.wait(60))
    look.wait_at(B, until=lambda: False)  # returns although A does not answer
    answers = iter([False, False, True])
    look.wait_at(A, until=lambda: next(answers))
    assert list(answers) == []
    gate.set()
    both.close()


def test_an_error_is_raised_once_nothing_is_waited_for(gate: threading.Event) -> None:
    both = SideBySide(LOGINS)

    def fail(login: Any) -> None:
        if login is A:
            raise ValueError("at a")
        gate.wait(60)

    pending = both.work(fail)
    pending.wait_at(A, until=lambda: False)  # raises nothing
    with pytest.raises(ValueError, match="at a"):
        pending.wait(until=lambda: True)
    gate.set()
    both.close()


def test_no_site_at_all_is_no_work() -> None:
    both = SideBySide([])
    assert both.work(lambda login: login).wait() == []
    both.close()
