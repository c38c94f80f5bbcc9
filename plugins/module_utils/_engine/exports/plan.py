# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan for one share, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from .clients import Resolved
from .share import Share, keeps
from .steps import Steps, is_among
from .table import Entry, escaped


@dataclass(frozen=True)
class Plan:
    """The plan for one share. `before` and `after` are the text of its file, "" if there is no file."""

    path: str
    file: PurePath
    before: str
    after: str
    share: Share | None = None  # None: the share is removed
    dataset: str = ""
    wanted: tuple[Entry, ...] = ()  # the entries that must be active after the change
    former: tuple[Entry, ...] = ()  # the entries of the current file, including disabled ones
    exported: tuple[Entry, ...] = ()  # the active entries, and those that the NFS server would export when it restarts
    steps: Steps = field(default_factory=Steps)
    resolved: Resolved = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be done."""
        return self.before != self.after or bool(self.steps)

    @property
    def withdraws(self) -> bool:
        """Whether an ESXi host may lose access to the share, or have fewer rights. VMs could lose their disks."""
        return not all(keeps(entry, self.wanted, self.resolved) for entry in self.exported)

    @property
    def between(self) -> str:
        """The text of the file while new entries are already exported and old ones not yet withdrawn. It has both."""
        text = (self.share or Share(self.path, (), ())).text
        going = [entry for entry in self.former if is_among(entry, self.steps.unexport, self.resolved)]
        lines = [f"{escaped(entry.path)} {entry.client}({','.join(entry.options)})\n" for entry in going]
        return text + "".join(lines)
