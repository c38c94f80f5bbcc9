# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How `vmware-zfs` prints: lines with a priority for the systemd journal, errors, JSON, tables, times."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any, Sequence, TextIO

from ..errors import QuiesceError
from ..text import printable, table

ERROR, WARNING = 3, 4  # priorities of syslog(3)


def say(line: str, priority: int = 0) -> None:
    """Print one line. Control characters are escaped, because names come from vSphere and are not trusted."""
    sys.stdout.write(marked(sys.stdout, priority) + printable(line, None) + "\n")


def complain(error: QuiesceError, outlook: str = "") -> None:
    with suppress(OSError):  # a broken pipe
        sys.stdout.flush()  # the error must be the last line if both streams are the same
    sys.stderr.write(f"{marked(sys.stderr, ERROR)}{f'vmware-zfs: {error} {outlook}'.rstrip()}\n")


def marked(stream: TextIO, priority: int) -> str:
    """Return the priority prefix for a line if the systemd journal reads the stream, otherwise "".

    JOURNAL_STREAM contains the device and inode of the journal's stream (systemd.exec(5), sd-daemon(3)).
    """
    try:
        there = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return ""
    in_journal = os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"
    return f"<{priority}>" if priority and in_journal else ""


def print_json(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")  # only ASCII characters


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    sys.stdout.write(table(head, rows, width) + "\n")


def local_time(time: str) -> str:
    """Return an ISO 8601 time as local time with the offset to UTC, such as 2026-01-31 03:00:00+01:00."""
    return datetime.fromisoformat(time.replace("Z", "+00:00")).astimezone().isoformat(" ", "seconds")


def seconds_text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
