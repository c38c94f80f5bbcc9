# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores when each VM was last tried in a drill, so that all VMs have their turn."""

from __future__ import annotations

from dataclasses import dataclass

from .database import Database, utc_now


@dataclass(frozen=True)
class Turn:
    """The last time that a VM was tried. `tried` is UTC in ISO 8601. `verdict` is "" if the drill did not end."""

    vm: str
    name: str
    snapshot: str
    drill: str
    tried: str
    verdict: str = ""


class Drills:
    """The turns of VMs in a state database. It is thread-safe. A VM is `dataset/path of its .vmx file`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def turns(self) -> dict[str, Turn]:
        """Return the last turn of each VM that was tried, the longest ago first, whatever the clock said."""
        rows = self._database.rows("SELECT * FROM drilled_vm ORDER BY rowid")
        return {row["vm"]: Turn(**dict(row)) for row in rows}

    def begin(self, vm: str, name: str, snapshot: str, drill: str) -> None:
        """Record that a VM is tried now. This counts as its turn, even if the drill is killed."""
        with self._database.transaction() as connection:  # a row that is replaced becomes the last one
            connection.execute(
                "INSERT OR REPLACE INTO drilled_vm (vm, name, snapshot, drill, tried) VALUES (?, ?, ?, ?, ?)",
                (vm, name, snapshot, drill, utc_now()),
            )

    def end(self, vm: str, drill: str, verdict: str) -> None:
        """Record the verdict on a VM, unless a later drill has tried it in the meantime."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE drilled_vm SET verdict = ? WHERE vm = ? AND drill = ?", (verdict, vm, drill))
