# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine runs other programs, without a shell; zfs has a way of its own (zfs/command.py)."""

from __future__ import annotations

import subprocess
from typing import Mapping, Sequence


def run(
    command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What the command did. Raises OSError, and subprocess.TimeoutExpired after `seconds`."""
    # AnsibleModule.run_command is not there on the storage host's own schedule.
    return subprocess.run(  # pylint: disable=ansible-bad-function
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )
