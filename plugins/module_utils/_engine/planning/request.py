# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for a run, as plain data that is checked before the run begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..addresses import split_aliases
from ..errors import InputError
from ..policy import Policy
from ..seconds import check_seconds
from ..state.dataset_policies import DatasetPolicies


@dataclass(frozen=True)
class Request:
    """The request for a coordinated snapshot: datasets, name and policy.

    `aliases` are additional names and addresses of this storage host that ESXi hosts use. `lock_timeout` is the maximum
    time (seconds) to wait for another run on the same datasets. `stored` are the policies that are stored for datasets
    and apply to the VMs on them; a run adds them.
    """

    dataset: str
    snapshot: str  # the part after the @
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    task: str = ""  # key of the snapshot task, or "" for a request by a user
    lock_timeout: float = 60.0
    policy: Policy = field(default_factory=Policy)
    stored: tuple[DatasetPolicies, ...] = ()

    def check(self) -> None:
        """Raise InputError for invalid or contradictory values.

        This checks the options of a user. A run accepts settings that an older release has stored.
        """
        self.policy.check()
        check_seconds("lock_timeout", self.lock_timeout, zero=True)
        split_aliases(self.aliases)
        if not all(entry.strip() for entry in self.policy.exclude_vms):
            raise InputError("exclude_vms has an empty entry", "Set a VM, or remove the entry")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], snapshot: str, task: str = "") -> Request:
        """Return the request that the options of a module describe."""
        return cls(
            dataset=options["dataset"],
            snapshot=snapshot,
            recursive=options["recursive"],
            exclude=tuple(options["exclude"]),
            aliases=tuple(options["aliases"]),
            task=task,
            lock_timeout=options["lock_timeout"],
            policy=Policy.from_options(options),
        )
