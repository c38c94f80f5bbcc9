# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs channel programs (zfs-program(8)), which process many snapshots in one process and one transaction group.

If a program fails, the changes that it has already made remain.
"""

from __future__ import annotations

import json
from typing import Any, Mapping, Sequence

from ..errors import ZfsError
from ..grouping import grouped
from .command import Zfs
from .names import pool_of

MOST_SNAPSHOTS = 100  # per program, because the pool writes nothing else while it runs


def run(zfs: Zfs, script: str, snapshots: Mapping[str, str], timeout: float) -> dict[str, str]:
    """Run `script` for `snapshots`, which maps names (`dataset@name`) to the script's argument for each.

    Each program processes at most a hundred snapshots of one pool and may take `timeout` seconds. Returns what the
    script reported for each snapshot.
    """
    reported: dict[str, str] = {}
    for pool, names in grouped((pool_of(name), name) for name in snapshots).items():
        for begin in range(0, len(names), MOST_SNAPSHOTS):
            batch = names[begin : begin + MOST_SNAPSHOTS]
            reported.update(call(zfs, pool, script, [snapshots[name] for name in batch], timeout))
    return reported


def call(zfs: Zfs, pool: str, script: str, words: Sequence[str], timeout: float) -> dict[str, Any]:
    """Run one program with `words` as its arguments and return its result. Raises ZfsError."""
    output = zfs.run("program", "-j", pool, "-", *words, timeout=timeout, script=script)
    try:
        answer = json.loads(output).get("return")
    except (ValueError, AttributeError):
        answer = None
    if not isinstance(answer, dict):
        raise ZfsError(
            f"'zfs program' on {pool} did not report a result", "Check the snapshots with 'zfs list -t snapshot'"
        )
    return answer
