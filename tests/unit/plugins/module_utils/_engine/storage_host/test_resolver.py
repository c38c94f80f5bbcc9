# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the storage host are asked side by side, and none of them can hang a run."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host import resolver
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.storage_host.resolver import ask_all


def test_questions_are_answered_side_by_side() -> None:
    gate = threading.Barrier(5, timeout=10)
    assert ask_all(lambda number: number + gate.wait() * 0, range(5), 10) == {n: n for n in range(5)}


def test_more_questions_than_threads_are_all_answered() -> None:
    count = resolver.LOOKUP_THREADS * 3
    assert ask_all(str, range(count), 10) == {number: str(number) for number in range(count)}


def test_a_question_that_hangs_delays_nobody_beyond_the_limit() -> None:
    never = threading.Event()
    try:
        began = time.monotonic()
        answers = ask_all(lambda name: never.wait() if name == "dead" else "alive", ["dead", "nas"], 0.2)
        assert answers == {"nas": "alive"}
        assert time.monotonic() - began < 5
    finally:
        never.set()


def test_a_question_that_hangs_does_not_keep_the_process_alive() -> None:
    program = (
        "import threading\n"
        f"from {resolver.__name__} import ask_all\n"
        "print(ask_all(lambda question: threading.Event().wait(), [1], 0.1))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "{}\n"


def test_no_questions_need_no_time() -> None:
    assert ask_all(str, [], 60) == {}
