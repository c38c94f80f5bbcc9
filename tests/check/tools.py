# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers of the checks: the tree as it would be committed, and the tools of the current virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..lab.commands import ask

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TOOLS = Path(sys.executable).parent


def files(*patterns: str) -> list[str]:
    """Return the files of the project as paths below ROOT: committed files and new files that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


def copy_tree(destination: Path) -> Path:
    """Copy `files()` to `destination` and delete all other files there.

    Create a separate repository, because tools that list files with git would find nothing in an ignored folder.
    """
    shutil.rmtree(destination, ignore_errors=True)
    for name in files():
        target = destination / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    subprocess.run(["git", "init", "--quiet", str(destination)], check=True)
    return destination


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the virtual environment and return its output. Raises AssertionError with the output on failure."""
    done = ask(
        [str(TOOLS / command[0]), *command[1:]],
        None,
        cwd,
        **{"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}", **environment},
    )
    assert done.returncode == 0, f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}"
    return done
