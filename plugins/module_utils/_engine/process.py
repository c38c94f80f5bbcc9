# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine runs other programs: without a shell, and found wherever a system keeps them. zfs has a way of its own
(zfs/command.py), in the same environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Sequence

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def environment() -> dict[str, str]:
    """The environment for other programs: PATH goes on with the system's folders, and messages are in English.

    cron's PATH is /usr/bin:/bin, and a user's own often has no sbin either.
    """
    path = os.pathsep.join((os.environ.get("PATH") or os.defpath, *SYSTEM_FOLDERS))
    return {**os.environ, "PATH": path, "LC_ALL": "C", "LANG": "C"}


def find(command: str) -> str | None:
    """Where a command is, None where this system has none of that name."""
    return shutil.which(command, path=environment()["PATH"])


def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """What the command did. Raises OSError, and subprocess.TimeoutExpired after `seconds`."""
    # AnsibleModule.run_command is not there on the storage host's own schedule.
    return subprocess.run(  # pylint: disable=ansible-bad-function
        command,
        env=environment(),  # the command itself is looked up on this PATH as well
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
