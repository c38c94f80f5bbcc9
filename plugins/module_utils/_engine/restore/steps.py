# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore in the journal, with the VM that each is for."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Iterator, Mapping

from ..state.restores import Restores

# kinds of steps
HOLD, FOLDER, HANDOVER, LIVING_OFF = "hold", "folder", "handover", "living_off"
REGISTRATION = "registration"


@dataclass(frozen=True)
class VmSteps:
    """The journal of one VM of a restore, or with `vm` "" of what all its VMs share."""

    restores: Restores
    restore: str
    vm: str = ""

    def intend(self, kind: str, data: Mapping[str, Any]) -> int:
        """Write a step before it is carried out, and return its ID."""
        return self.restores.intend(self.restore, kind, {**data, "vm": self.vm})

    def done(self, step: int, **more: Any) -> None:
        """Record that a step was carried out. `more` is added to its data."""
        self.restores.done(step, **more)

    def undone(self, step: int) -> None:
        """Record that nothing of a step exists any more."""
        self.restores.undone(step)

    def hand_over(self) -> None:
        """Record that all of this is complete and belongs to the user. Recovery leaves it from now on."""
        self.done(self.intend(HANDOVER, {}))

    @contextmanager
    def step(self, kind: str, data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Write a step, and record it as done if the block succeeds. What the block puts in the dict is added."""
        number = self.intend(kind, data)
        more: dict[str, Any] = {}
        yield more
        self.done(number, **more)
