# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems of a run: servers, datastores and volumes whose VMs are unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable

from ..zfs.names import is_within


@dataclass(frozen=True)
class Problem:
    """One sentence. `datasets` are the names of the datasets that the problem may affect; None means all."""

    text: str
    datasets: frozenset[str] | None = None

    def concerns(self, dataset: str) -> bool:
        return self.datasets is None or dataset in self.datasets


def related(datasets: Iterable[str], filesystem: str) -> frozenset[str]:
    """Return those of `datasets` that are `filesystem`, one of its children or one of its parents."""
    return frozenset(name for name in datasets if is_within(name, filesystem) or is_within(filesystem, name))


def texts(problems: Iterable[Problem]) -> list[str]:
    """Return the sentences without duplicates, in their order."""
    return list(dict.fromkeys(problem.text for problem in problems))
