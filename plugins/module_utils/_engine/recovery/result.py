# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a recovery."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import RunFailed
from ..text import counted, vm_on
from .leftovers import Leftover


@dataclass
class Recovery:
    """What a recovery found and did.

    `removed`, `left` and `watched` are VMware snapshots. The `reason` of each one in `left` is why it still exists.
    Those in `watched` were not found but may still appear; the next recovery checks for them again (leftovers.py).
    `sealed` are ZFS snapshots whose complete record was set. `lowered` are ZFS snapshots of release 1.0.0 whose level
    was reduced, because their record showed a level that was not verified. `undone_restores` are the IDs of killed
    restores of which nothing is left.
    """

    removed: list[Leftover] = field(default_factory=list)
    left: list[Leftover] = field(default_factory=list)
    watched: list[Leftover] = field(default_factory=list)
    sealed: list[str] = field(default_factory=list)
    lowered: list[str] = field(default_factory=list)
    undone_restores: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return asdict(self)

    def require_clean(self) -> dict[str, Any]:
        """Return plain data. Raises RunFailed if VMware snapshots are left, so that this is never overlooked."""
        if self.left:
            first = self.left[0]
            raise RunFailed(
                f"{counted(len(self.left), 'VMware snapshot')} may still exist, for example '{first.vmware_snapshot}' "
                f"of the {vm_on(first.vm, first.server)}: {first.reason.rstrip('.')}",
                "Fix the cause and run the recovery again; it also runs every hour",
                **self.as_dict(),
            )
        return self.as_dict()
