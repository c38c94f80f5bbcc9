# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dead runs left, by the journal, in the same words for everybody who tells of it.

Left is what is there, or may be there for all that is known. Watched is what was looked for and is not there, but may
still come to be, or come back with its VM: nothing has to be done about it, and recovery looks for it again.
"""

from __future__ import annotations

from typing import Any

from ..state.engine import Engine
from ..state.journal import Entry

WATCHED = "it is not there, but may still come to be, or its VM come back; recovery looks for it until that is over"
_NOT_LOOKED_FOR = "its run ended early, and no recovery has looked for it yet"


def leftovers(engine: Engine) -> tuple[list[Entry], list[Entry]]:
    """The open entries of runs that are not alive: those that are left, and those that are only watched."""
    dead = [entry for entry in engine.journal.open_entries() if not engine.locks.is_alive(entry.run)]
    return [entry for entry in dead if not entry.watched], [entry for entry in dead if entry.watched]


def told(entry: Entry, reason: str) -> dict[str, Any]:
    """An entry as plain data, for results."""
    return {
        "run_id": entry.run,
        "server": entry.hostname if entry.port == 443 else f"{entry.hostname}:{entry.port}",
        "vm": entry.vm_name,
        "moid": entry.vm_moid,
        "vmware_snapshot": entry.name,
        "vmware_snapshot_moid": entry.snapshot_moid,
        "reason": reason,
    }


def as_dict(engine: Engine) -> dict[str, list[Any]]:
    """What a recovery would tell of, as the journal knows it, without asking a server: what is `left` and what is
    `watched`, each with its reason, and `problems`, the records that could not be written yet.
    """
    left, watched = leftovers(engine)
    unsealed = [run for run in engine.journal.unsealed_runs() if not engine.locks.is_alive(run)]
    names = [one.snapshot for run in unsealed for one in engine.journal.seals(run)]
    return {
        "left": [told(entry, entry.note or _NOT_LOOKED_FOR) for entry in left],
        "watched": [told(entry, WATCHED) for entry in watched],
        "problems": [
            f"The record of {name} is finished but is not written yet, so it reads as crash; recovery writes it."
            for name in names
        ],
    }
