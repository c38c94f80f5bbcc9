# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queries to the storage host that can be slow or hang: host names, and anything else in parallel with a time limit."""

from __future__ import annotations

import queue
import threading
import time
from typing import Callable, Iterable, TypeVar

from ..addresses import Address, address, host_name
from ..door.host import StorageHost

Question = TypeVar("Question")
Answer = TypeVar("Answer")

LOOKUP_SECONDS = 5.0  # for all host names together; a healthy resolver needs milliseconds
LOOKUP_THREADS = 16


def resolve(host: StorageHost, name: str) -> dict[str, frozenset[Address]]:
    """Return the addresses of a host name by that name and by its canonical name, which exportfs writes instead of an
    alias. A name that does not exist has no addresses. The result is empty if the resolver fails temporarily. This call
    has no time limit.
    """
    answers = host.look_up(name)
    if answers is None:
        return {}
    names = {name, *(host_name(canonical) for _unused, canonical in answers if canonical)}
    return dict.fromkeys(names, _addresses(answers))


def addresses_of(host: StorageHost, name: str) -> frozenset[Address] | None:
    """Return the addresses of a host name, or None if the resolver fails temporarily."""
    answers = host.look_up(name)
    return None if answers is None else _addresses(answers)


def _addresses(answers: Iterable[tuple[str, str]]) -> frozenset[Address]:
    return frozenset(found for text, _unused in answers if (found := address(text)) is not None)


def ask_all(ask: Callable[[Question], Answer], questions: Iterable[Question], limit: float) -> dict[Question, Answer]:
    """Ask all questions in parallel. Return the answers that arrive within `limit` seconds.

    The threads are daemons, because a system call that hangs cannot be stopped and must not keep the process alive.
    """
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    answered: queue.SimpleQueue[tuple[Question, Answer]] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)
    count = waiting.qsize()

    def work() -> None:
        while True:
            try:
                question = waiting.get_nowait()
            except queue.Empty:
                return
            answered.put((question, ask(question)))

    for _unused in range(min(count, LOOKUP_THREADS)):
        threading.Thread(target=work, daemon=True).start()
    answers: dict[Question, Answer] = {}
    deadline = time.monotonic() + limit
    try:
        while len(answers) < count:
            question, answer = answered.get(timeout=max(0.0, deadline - time.monotonic()))
            answers[question] = answer
    except queue.Empty:
        pass
    return answers
