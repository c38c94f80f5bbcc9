# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of ansible-playbook for site.yml, shortened to one line per role."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Iterator

CHECKS = "checks"
ROLES = {
    CHECKS: "all lists and the storage host, before the first change",
    "runtime": "the engine, its libraries and its timers",
    "credentials": "the login to vCenter",
    "nfs_share": "the NFS export of /tank/vmware",
    "nfs_datastore": "the datastore on the ESXi hosts",
    "snapshot_task": "a ZFS snapshot every minute, kept for a week",
}
_INCLUDED = re.compile(r"included: quiesce\.vmware_zfs\.(\w+) for ")
_RECAP = re.compile(r"^storage\s.* changed=(\d+) ")


@dataclass
class RoleLines:
    """Reads the output line by line. site.yml includes each role to check, then to apply, then to remove."""

    changed: int | None = None  # from the recap; None until the playbook has ended
    _part: str = ""
    _began: float = field(default_factory=time.monotonic)
    _changes: int = 0
    _included: list[str] = field(default_factory=list)

    def read(self, line: str) -> Iterator[str]:
        """The lines to show after this line of Ansible's."""
        recap = _RECAP.match(line)
        if found := _INCLUDED.match(line):
            self._included.append(found[1])
            visit = self._included.count(found[1])
            yield from self._enter({1: CHECKS, 2: found[1]}.get(visit, ""))
        elif recap:
            self.changed = int(recap[1])
            yield from self._enter("")
        elif line.startswith("changed: "):
            self._changes += 1

    def _enter(self, part: str) -> Iterator[str]:
        if part == self._part:
            return
        seconds = time.monotonic() - self._began
        if self._part:
            yield f"  {self._part:14} {ROLES.get(self._part, ''):56} changed={self._changes} {seconds:6.0f} s"
        self._part, self._began, self._changes = part, time.monotonic(), 0
