# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMware snapshots of dead runs in the journal, with the texts that recovery and status share.

`left` are those that exist or may exist. `watched` are those that were not found but may still appear, for example with
their VM. Users do not have to act on those; recovery checks for them again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..state.engine import Engine
from ..state.journal_entries import Entry
from ..text import printable
from ..vsphere.session import Endpoint
from .dead_restores import dead_restores

WATCHED = "it was not found, but it or its VM may still appear; recovery checks for it until that is impossible"
_NOT_CHECKED = "its run ended early, and no recovery has checked for it yet"


@dataclass(frozen=True)
class Leftover:
    """A VMware snapshot of a dead run, for results."""

    run_id: str
    server: str
    vm: str
    moid: str
    vmware_snapshot: str
    vmware_snapshot_moid: str
    reason: str


@dataclass(frozen=True)
class Leftovers:
    """The leftovers of dead runs. `problems` are sentences about records that could not be written yet, and about
    interrupted restores.
    """

    left: list[Leftover]
    watched: list[Leftover]
    problems: list[str]

    def as_dict(self) -> dict[str, list[Any]]:
        """Return plain data for results: JSON types."""
        return asdict(self)


def leftover(entry: Entry, reason: str) -> Leftover:
    """Describe an entry of the journal for results."""
    return Leftover(
        run_id=entry.run,
        server=str(Endpoint(entry.hostname, entry.port)),
        vm=entry.vm_name,
        moid=entry.vm_moid,
        vmware_snapshot=entry.name,
        vmware_snapshot_moid=entry.snapshot_moid,
        reason=reason,
    )


def open_entries(engine: Engine) -> tuple[list[Entry], list[Entry]]:
    """Return the open entries of dead runs: those that are left, and those that are only watched."""
    dead = [entry for entry in engine.journal.open_entries() if not engine.locks.is_alive(entry.run)]
    return [entry for entry in dead if not entry.watched], [entry for entry in dead if entry.watched]


def leftovers(engine: Engine) -> Leftovers:
    """Return the leftovers of dead runs from the journal, without contacting a server."""
    left, watched = open_entries(engine)
    unsealed = [run for run in engine.journal.unsealed_runs() if not engine.locks.is_alive(run)]
    names = [one.snapshot for run in unsealed for one in engine.journal.seals(run)]
    return Leftovers(
        left=[leftover(entry, entry.note or _NOT_CHECKED) for entry in left],
        watched=[leftover(entry, WATCHED) for entry in watched],
        problems=[
            *(
                f"The record of {name} is complete but not written yet, so its level is crash; recovery writes it."
                for name in names
            ),
            *(
                f"The {one.what} {one.id} of '{printable(one.vm, 80)}' was interrupted; recovery undoes it."
                for one in dead_restores(engine)
            ),
        ],
    )
