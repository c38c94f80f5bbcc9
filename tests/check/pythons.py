# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python versions of this machine."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

NAME_YOURSELF = "import ensurepip, os, ssl, sys, venv; print(os.path.realpath(sys._base_executable))"


@cache
def interpreter(minor: int) -> str:
    """Return the path of a Python 3.<minor> that can create virtual environments, or "" if there is none.

    PATH may contain the shims of a version manager, which work only for the selected version. Return the real path
    instead of a shim.
    """
    name = f"python3.{minor}"
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    managed = [
        found
        for folder in folders
        if folder.name == "shims"
        for found in sorted((folder.parent / "versions").glob(f"3.{minor}.*/bin"))
    ]
    for candidate in (folder / name for folder in (*folders, *managed)):
        real = real_path(str(candidate))
        if real:
            return real
    return ""


def real_path(python: str) -> str:
    """Return the executable of an interpreter outside of virtual environments, or "" if it does not work."""
    try:
        done = subprocess.run([python, "-I", "-c", NAME_YOURSELF], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
