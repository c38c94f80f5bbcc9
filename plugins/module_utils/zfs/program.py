# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel programs (zfs-program(8)): many snapshots in one process and one transaction group, which plain commands take
one by one.
"""

from __future__ import annotations

import json
from typing import Callable, Iterable, Mapping, Sequence

from ..errors import ZfsError
from .command import Zfs
from .names import pool_of

_BATCH = 100  # snapshots of a program: while it runs, the pool writes nothing else


def run(
    zfs: Zfs, script: str, words: Sequence[str], snapshots: Mapping[str, str], timeout: Callable[[], float]
) -> dict[str, str]:
    """What `script` says of each of `snapshots`: names (`dataset@name`) with the word that it is given for them.

    Its arguments are `words`, then those of a batch of snapshots of one pool. `timeout` gives the seconds for it.
    """
    said: dict[str, str] = {}
    for names in _by_pool(snapshots).values():
        for begin in range(0, len(names), _BATCH):
            batch = names[begin : begin + _BATCH]
            given = [*words, *(snapshots[name] for name in batch)]
            output = zfs.run("program", "-j", pool_of(batch[0]), "-", *given, timeout=timeout(), script=script)
            answer = json.loads(output).get("return")
            if answer is None:
                raise ZfsError(
                    f"'zfs program' on {pool_of(batch[0])} did not say what it did", "Look with 'zfs list -t snapshot'"
                )
            said.update(answer)
    return said


def _by_pool(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(pool_of(name), []).append(name)
    return found
