# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment with the libraries that the engine needs, separate from the system's Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Mapping, Sequence

from ..errors import DependencyError, InputError
from ..process import run
from ..state.cipher import MINIMUM as CRYPTOGRAPHY
from ..text import printable
from ..vsphere.sdk import MINIMUM as PYVMOMI

REQUIRED = {"pyVmomi": PYVMOMI, "cryptography": CRYPTOGRAPHY}  # distribution: minimum version
# pyVmomi 9.1 and later do not support Python 3.9, but pip cannot see that in their metadata.
_CEILINGS = ("pyVmomi<9.1; python_version < '3.10'",)
_ASK_SECONDS = 120.0
_BUILD_SECONDS = 1800.0  # pip also has a time limit for each download
_SYNC_SECONDS = 120.0

_VERSIONS = """\
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""


class PythonEnvironment:
    """The virtual environment in `folder`, which may not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    def versions(self) -> dict[str, str | None] | None:
        """Return the version of each required library, with None for a missing one, or None if its Python does not run.

        The environment's Python reports the versions, because after an upgrade of the system's Python, it may not find
        libraries whose files exist.
        """
        try:
            done = _run([str(self.python), "-I", "-c", _VERSIONS, *REQUIRED], _ASK_SECONDS)
        except DependencyError:
            return None
        found: dict[str, str | None] = json.loads(done)
        return found

    def build(self, base: str, wheels: Path | None) -> None:
        """Install libraries that are missing or too old. Create the environment with `base` if there is no working one.

        The libraries come only from the directory `wheels`, or else from the package index that is configured for pip.
        Raises InputError and DependencyError.
        """
        if wheels is not None and not wheels.is_dir():
            raise InputError(
                f"The directory of wheels {wheels} does not exist on this host",
                "Copy it to the host, or set another directory",
            )
        if self.versions() is None:
            _run([base, "-m", "venv", "--clear", str(self.folder)], _BUILD_SECONDS)
        source = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--prefer-binary"]
        wanted = [f"{name}>={version}" for name, version in REQUIRED.items()]
        wanted.extend(_CEILINGS)
        _run([str(self.python), "-I", "-m", "pip", "install", *quiet, *source, *wanted], _BUILD_SECONDS)
        missing = lacking(self.versions())
        if missing:
            raise DependencyError(
                f"{self.folder} still lacks {' and '.join(missing)} after pip installed the libraries",
                f"Check with '{self.python} -m pip list', or remove {self.folder} and run this again",
            )
        _sync(self.folder)  # pip does not sync, and after a power failure files could be empty

    def remove(self) -> None:
        """Remove the environment. Raises DependencyError."""
        try:
            shutil.rmtree(self.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DependencyError(f"{self.folder} cannot be removed: {error.strerror}", "Run as root") from error


def lacking(versions: Mapping[str, str | None] | None) -> list[str]:
    """Return the libraries that are missing or too old, with their minimum versions."""
    found = versions or {}
    return [f"{name}>={oldest}" for name, oldest in REQUIRED.items() if _numbers(found.get(name)) < _numbers(oldest)]


def _numbers(version: str | None) -> list[int]:
    """Return `8.0.3.0.1` as [8, 0, 3, 0, 1]. A missing version is older than all others."""
    return [int(number) for number in re.findall(r"\d+", version or "")]


def _sync(folder: Path) -> None:
    """Sync the file system of `folder` to disk if possible. sync(2) is not used, because it waits for all file systems,
    and would wait forever for a suspended pool.
    """
    try:
        run(["sync", "-f", str(folder)], _SYNC_SECONDS)
    except (OSError, subprocess.SubprocessError):
        pass


def _run(command: Sequence[str], seconds: float) -> str:
    """Return the output of a command. Raises DependencyError with its error messages."""
    shown = " ".join(command[:4]) if "-c" not in command else command[0]
    try:
        done = run(command, seconds)
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError(f"'{shown}' cannot be run: {printable(error)}", "Check runtime_python") from error
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("ERROR", "Error"))] or said[-3:]
        raise DependencyError(
            f"'{shown}' failed: {printable(' '.join(errors) or 'it printed nothing', 600)}",
            "Fix the cause; for a host without a package index, set runtime_wheels to a directory of wheels",
        )
    return done.stdout
