# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual environment with the libraries that the engine needs, apart from the system's Python."""

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

REQUIRED = {"pyVmomi": PYVMOMI, "cryptography": CRYPTOGRAPHY}  # distribution: oldest version that will do
# pyVmomi 9.1 and later refuse to be imported by Python 3.9, which pip does not know.
_CEILINGS = ("pyVmomi<9.1; python_version < '3.10'",)
_ASK_SECONDS = 120.0
_BUILD_SECONDS = 1800.0  # pip has limits of its own for each download
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
    """The virtual environment in `folder`, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"

    def versions(self) -> dict[str, str | None] | None:
        """The version of each library that is needed, None for one that is missing; None when its Python does not run.

        Its Python itself is asked: after an upgrade of the system's Python the files are there and yet not found.
        """
        try:
            done = _run([str(self.python), "-I", "-c", _VERSIONS, *REQUIRED], _ASK_SECONDS)
        except DependencyError:
            return None
        found: dict[str, str | None] = json.loads(done)
        return found

    def build(self, base: str, wheels: Path | None) -> None:
        """Bring in what is missing or too old, with the interpreter `base` where there is no environment that runs.

        Libraries come from the folder `wheels` alone, or from the index that pip is configured for. Raises
        InputError, DependencyError.
        """
        if wheels is not None and not wheels.is_dir():
            raise InputError(f"The folder of wheels {wheels} is not on this host", "Put it there, or name another one")
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
                f"{self.folder} still lacks {' and '.join(missing)} after pip brought them in",
                f"Look with '{self.python} -m pip list', or remove {self.folder} to have it made anew",
            )
        _sync(
            self.folder
        )  # pip leaves that to the system, and a power cut within half a minute would leave empty files

    def remove(self) -> None:
        """Remove the environment. Raises DependencyError."""
        try:
            shutil.rmtree(self.folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DependencyError(f"{self.folder} cannot be removed: {error.strerror}", "Run as root") from error


def lacking(versions: Mapping[str, str | None] | None) -> list[str]:
    """The libraries (with the oldest version that will do) that are missing or too old."""
    found = versions or {}
    return [f"{name}>={oldest}" for name, oldest in REQUIRED.items() if _numbers(found.get(name)) < _numbers(oldest)]


def _numbers(version: str | None) -> list[int]:
    """`8.0.3.0.1` as [8, 0, 3, 0, 1]; what is missing is older than everything."""
    return [int(number) for number in re.findall(r"\d+", version or "")]


def _sync(folder: Path) -> None:
    """Have the file system of `folder` on disk, as well as can be: sync(2) waits for all of them, and for ever where a
    pool is suspended.
    """
    try:
        run(["sync", "-f", str(folder)], _SYNC_SECONDS)
    except (OSError, subprocess.SubprocessError):
        pass


def _run(command: Sequence[str], seconds: float) -> str:
    """What a command printed. Raises DependencyError with what it complained of."""
    shown = " ".join(command[:4]) if "-c" not in command else command[0]
    try:
        done = run(command, seconds)
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError(f"'{shown}' cannot be run: {printable(error)}", "Check runtime_python") from error
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith(("ERROR", "Error"))] or said[-3:]
        raise DependencyError(
            f"'{shown}' failed: {printable(' '.join(errors) or 'it said nothing', 600)}",
            "Mend that; a host without a package index gets its libraries from a folder of wheels (runtime_wheels)",
        )
    return done.stdout
