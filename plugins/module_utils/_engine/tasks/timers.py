# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The systemd timers of snapshot tasks. Each task has a unit file, which is created, started and removed with it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from ..durable import remove_file, replace_file
from ..errors import DependencyError, InputError
from ..process import run
from ..text import printable

SERVICE = "vmware-zfs-task@.service"  # installed by the runtime role
_UNIT = "vmware-zfs-task@{id}.timer"
_SECONDS = 60.0

# The timer only starts `vmware-zfs run --scheduled`, which checks whether the task is due (schedule/occurrences.py).
# It also elapses once after the host starts, for missed runs, so it does not need Persistent=. The delay is different
# on each host and always the same on one host. Before systemd 247, which added FixedRandomDelay=, it is random.
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
    """The current or requested timer of a task. `text` is the text of the unit file, "" if there is none."""

    text: str = ""
    enabled: bool = False
    active: bool = False


NONE = Timer()


def wanted(dataset: str, calendar: Sequence[str], jitter: int, enabled: bool) -> Timer:
    """Return the timer for the OnCalendar= values `calendar` with a delay of up to `jitter` seconds."""
    lines = "\n".join(f"OnCalendar={line}" for line in calendar)
    return Timer(_TEXT.format(dataset=dataset, calendar=lines, jitter=jitter), enabled, enabled)


class Timers:
    """The timers on this host. `systemctl` is found in PATH."""

    def __init__(self, folder: Path = Path("/etc/systemd/system"), systemctl: str = "systemctl") -> None:
        self._folder = folder
        self._systemctl = systemctl

    def has_service(self) -> bool:
        """Return whether the runtime role has installed the unit that runs tasks."""
        return (self._folder / SERVICE).exists()

    def require(self) -> None:
        """Raise InputError if the service of the runtime role is not installed, because a timer would start nothing."""
        if not self.has_service():
            raise InputError(
                f"The unit {SERVICE} is not installed on this host, so the task would not run",
                "Apply the role quiesce.vmware_zfs.runtime first, or set enabled to false",
            )

    def read(self, task_id: int) -> Timer:
        """Return the current timer of the task."""
        unit = _UNIT.format(id=task_id)
        try:
            text = (self._folder / unit).read_text(encoding="utf-8")
        except FileNotFoundError:
            return NONE
        shown = self._run("show", unit, "--property=UnitFileState,ActiveState")
        facts = dict(line.partition("=")[::2] for line in shown.splitlines())
        return Timer(text, facts.get("UnitFileState") == "enabled", facts.get("ActiveState") == "active")

    def change(self, task_id: int, before: Timer, after: Timer) -> None:
        """Change the timer from `before` to `after`. Raises DependencyError."""
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
                "Snapshot tasks need systemd; on a host without it, run 'vmware-zfs run' from cron",
            ) from error
        if done.returncode:
            raise DependencyError(
                f"'{' '.join(command)}' failed: {printable(done.stderr.strip() or 'it printed nothing', 600)}",
                "Fix the cause and apply the task again",
            )
        return done.stdout
