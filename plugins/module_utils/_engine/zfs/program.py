# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel programs (zfs-program(8)): many snapshots in one process and one transaction group, which plain commands take
one by one. What a program that fails has done until then stays done.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping, Sequence

from ..errors import ZfsError
from .command import Zfs
from .names import pool_of

MOST_SNAPSHOTS = 100  # of a program: while it runs, the pool writes nothing else


def run(zfs: Zfs, script: str, snapshots: Mapping[str, str], timeout: float) -> dict[str, str]:
    """What `script` says of each of `snapshots`: names (`dataset@name`) with the word that it is given for them.

    A program gets those of one pool, a hundred at a time, and `timeout` seconds.
    """
    said: dict[str, str] = {}
    for pool, names in _by_pool(snapshots).items():
        for begin in range(0, len(names), MOST_SNAPSHOTS):
            batch = names[begin : begin + MOST_SNAPSHOTS]
            said.update(call(zfs, pool, script, [snapshots[name] for name in batch], timeout))
    return said


def call(zfs: Zfs, pool: str, script: str, words: Sequence[str], timeout: float) -> dict[str, Any]:
    """Run one program with `words` as its arguments; return what it says. Raises ZfsError."""
    output = zfs.run("program", "-j", pool, "-", *words, timeout=timeout, script=script)
    try:
        answer = json.loads(output).get("return")
    except (ValueError, AttributeError):
        answer = None
    if not isinstance(answer, dict):
        raise ZfsError(f"'zfs program' on {pool} did not report what it did", "Check with 'zfs list -t snapshot'")
    return answer


def _by_pool(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(pool_of(name), []).append(name)
    return found
