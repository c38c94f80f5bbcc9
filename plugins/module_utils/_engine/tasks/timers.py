# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd timers of snapshot tasks: one unit file for each task, which is written, started and removed with it."""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Sequence

from ..durable import remove_file, replace_file
from ..errors import DependencyError, InputError
from ..process import run
from ..text import printable

SERVICE = "vmware-zfs-task@.service"  # the role runtime installs it
_UNIT = "vmware-zfs-task@{id}.timer"
_SECONDS = 60.0

# It only wakes, and `vmware-zfs run --scheduled` looks whether the task is due (schedule/occurrences.py): therefore it
# also wakes once after the host's start, for what was missed, and needs no Persistent=. Hosts of a fleet wake apart,
# each as late as ever; before systemd 247, which knows no FixedRandomDelay=, as late as it happens.
_TEXT = """\
# Written by quiesce.vmware_zfs.vmware_snapshot_task.
[Unit]
Description=Snapshots of {dataset}

[Timer]
OnActiveSec=30s
{calendar}
AccuracySec=1s
RandomizedDelaySec={jitter}s
FixedRandomDelay=yes

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True)
class Timer:
    """A task's timer as it is, or as it is wanted. `text` is the unit file's, "" where there is none."""

    text: str = ""
    enabled: bool = False
    active: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


NONE = Timer()


def wanted(dataset: str, calendar: Sequence[str], jitter: int, enabled: bool) -> Timer:
    """The timer of a task that is to wake at the OnCalendar= values `calendar`, up to `jitter` seconds later."""
    lines = "\n".join(f"OnCalendar={line}" for line in calendar)
    return Timer(_TEXT.format(dataset=dataset, calendar=lines, jitter=jitter), enabled, enabled)


class Timers:
    """The timers on this host. `systemctl` is looked up on PATH."""

    def __init__(self, folder: Path = Path("/etc/systemd/system"), systemctl: str = "systemctl") -> None:
        self._folder = folder
        self._systemctl = systemctl

    def has_service(self) -> bool:
        """Whether the role runtime has brought the unit that runs tasks."""
        return (self._folder / SERVICE).exists()

    def require(self) -> None:
        """Raise InputError unless the runtime's service is there, without which a timer would start nothing."""
        if not self.has_service():
            raise InputError(
                f"The unit {SERVICE} is not on this host, so nothing would run the task",
                "Apply the role quiesce.vmware_zfs.runtime first, or set enabled to false",
            )

    def read(self, task_id: int) -> Timer:
        """The timer of the task as it is."""
        unit = _UNIT.format(id=task_id)
        try:
            text = (self._folder / unit).read_text(encoding="utf-8")
        except FileNotFoundError:
            return NONE
        shown = self._run("show", unit, "--property=UnitFileState,ActiveState")
        facts = dict(line.partition("=")[::2] for line in shown.splitlines())
        return Timer(text, facts.get("UnitFileState") == "enabled", facts.get("ActiveState") == "active")

    def change(self, task_id: int, before: Timer, after: Timer) -> None:
        """Make the timer what `after` says. Raises DependencyError."""
        unit = _UNIT.format(id=task_id)
        if not after.active and before.text:
            self._run("disable", "--now", unit)
        if before.text != after.text:
            self._write(self._folder / unit, after.text)
            self._run("daemon-reload")
        if after.active and before != after:
            self._run("enable", unit)
            self._run("restart", unit)

    def _write(self, path: Path, text: str) -> None:
        try:
            if text:
                replace_file(path, text.encode(), 0o644)
            else:
                remove_file(path)
        except OSError as error:
            raise DependencyError(
                f"{path} cannot be written: {error.strerror}", "Run as root (become: true)"
            ) from error

    def _run(self, *arguments: str) -> str:
        command = [self._systemctl, *arguments]
        try:
            done = run(command, _SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            raise DependencyError(
                f"'{' '.join(command)}' cannot be run: {printable(error)}",
                "Snapshot tasks need systemd; without it have cron call 'vmware-zfs run'",
            ) from error
        if done.returncode:
            raise DependencyError(
                f"'{' '.join(command)}' failed: {printable(done.stderr.strip() or 'it said nothing', 600)}",
                "Mend that and apply the task again",
            )
        return done.stdout
