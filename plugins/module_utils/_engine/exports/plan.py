# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done about one share, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .clients import Resolved
from .share import Share, keeps
from .steps import Steps, is_among
from .table import Entry, escaped


@dataclass(frozen=True)
class Plan:
    """What is to be done about one share. `before` and `after` are its file's text, "" where there is no file."""

    path: str
    file: Path
    before: str
    after: str
    share: Share | None = None  # None: to be removed
    dataset: str = ""
    wanted: tuple[Entry, ...] = ()  # what has to be in force in the end
    former: tuple[Entry, ...] = ()  # the entries that the file has, or had before it was disabled
    exported: tuple[Entry, ...] = ()  # what it exports now, or would at the next start of the NFS server
    steps: Steps = field(default_factory=Steps)
    resolved: Resolved = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.before != self.after or bool(self.steps)

    @property
    def withdraws(self) -> bool:
        """Whether an ESXi host may lose the share, or may do less there: VMs could lose their disks."""
        return not all(keeps(entry, self.wanted, self.resolved) for entry in self.exported)

    @property
    def between(self) -> str:
        """The file's text while what is new is exported and what is old is not yet withdrawn: both are in it."""
        text = (self.share or Share(self.path, (), ())).text
        going = [entry for entry in self.former if is_among(entry, self.steps.unexport, self.resolved)]
        lines = [f"{escaped(entry.path)} {entry.client}({','.join(entry.options)})\n" for entry in going]
        return text + "".join(lines)

    def diff(self) -> dict[str, str]:
        """For Ansible's diff mode: the file; when it is as it has to be, what else there is to do."""
        if self.before == self.after and self.changed:
            return {"prepared": f"{self.file} stays as it is; the NFS server, which does not work by it, is told to.\n"}
        heads = {"before_header": str(self.file), "after_header": str(self.file)}
        return {"before": self.before, "after": self.after, **heads}
