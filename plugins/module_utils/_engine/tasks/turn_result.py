# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a turn of a snapshot task."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import QuiesceError
from .retire import Retirement


@dataclass
class TurnResult:
    """What a turn of a snapshot task did.

    `task` is the ID of the task. `skipped` is why no ZFS snapshot was taken, or "". `snapshot` is the result of the
    run, or None. `incomplete` are sentences that explain why the ZFS snapshot is not complete; empty if it is complete
    or did not have to be. `tolerated`: the task allows this. `retired` is None if retention was not applied.

    `failure` is the error of a failed turn. `again`: the turn failed before it held or took anything, so it stays due
    and is tried again.
    """

    task: int
    tolerated: bool
    skipped: str = ""
    snapshot: dict[str, Any] | None = None
    incomplete: list[str] = field(default_factory=list)
    retired: Retirement | None = None
    failure: QuiesceError | None = None
    again: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types. The failure is included as text."""
        return {
            "task": self.task,
            "skipped": self.skipped,
            "tolerated": self.tolerated,
            "snapshot": self.snapshot,
            "incomplete": self.incomplete,
            "retired": None if self.retired is None else asdict(self.retired),
            "failure": "" if self.failure is None else str(self.failure),
        }

    def require_success(self) -> TurnResult:
        """Return this result, or raise the failure."""
        if self.failure is not None:
            raise self.failure
        return self
