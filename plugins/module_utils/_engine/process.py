# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs of the coordinator without a shell and finds them in all system folders.

door/local.py runs the programs of the storage host, in the same environment.
"""

from __future__ import annotations

import os
import subprocess
from typing import Sequence

SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def environment() -> dict[str, str]:
    """Return the environment for other programs: the system folders are appended to PATH, and messages are in English.

    cron sets PATH to /usr/bin:/bin, and the PATH of a user often has no sbin folder.
    """
    path = os.pathsep.join((os.environ.get("PATH") or os.defpath, *SYSTEM_FOLDERS))
    return {**os.environ, "PATH": path, "LC_ALL": "C", "LANG": "C"}


def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command and return its result. Raises OSError, and subprocess.TimeoutExpired after `seconds`."""
    # AnsibleModule.run_command is not available when the storage host runs its schedule by itself.
    return subprocess.run(  # pylint: disable=ansible-bad-function
        command,
        env=environment(),  # the command itself is also found on this PATH
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
