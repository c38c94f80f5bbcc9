# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of the engine on the storage host, which works without a controller.

Each copy is in a separate directory that never changes. The symbolic link `current` is replaced atomically to switch to
another copy. A process that runs from a copy locks its directory, and the kernel releases the lock with the process. A
copy is removed only if no process uses it.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping

from ..durable import lock_folder, replace_file, sync_folder, write_file
from ..errors import DependencyError
from ..process import run
from ..text import printable

if TYPE_CHECKING:
    # Ansible packs every imported file, even if the import does not run. This import packs the complete engine.
    from ..cli import main  # noqa: F401

PACKAGE = "vmware_zfs_engine"  # the engine's name in the copy; its imports are relative, so any name works
_LEFT_OUT = ("runtime", "__pycache__")  # only used by the Ansible modules
_COMPILE_SECONDS = 600.0

# The command resolves `current` once, so that a process continues with the copy that it started with. -I ignores
# PYTHONPATH and similar variables, so that root runs no other code. -u keeps the lines of a service's log in order.
_COMMAND = """\
#!{python} -Iu
# Written by the role quiesce.vmware_zfs.runtime.
import fcntl
import os
import sys

engine = os.path.realpath("{current}")
fcntl.flock(os.open(engine, os.O_RDONLY), fcntl.LOCK_SH)
sys.path.insert(0, engine)

from {package}.cli.main import main

sys.exit(main())
"""


def sources() -> dict[str, bytes]:
    """Return the engine's files by their path in the package, from a directory or from Ansible's zip file.

    Raises DependencyError if they cannot be read, for example because another program than Ansible runs the module.
    """
    try:
        found = dict(_read(importlib.resources.files(__package__.rpartition(".")[0]), ""))
    except Exception as error:
        raise DependencyError(
            f"The engine of this module cannot be read ({type(error).__name__}: {printable(error, 200)})",
            "If the play uses Mitogen, set 'strategy: linear' in the play",
        ) from error
    if "cli/main.py" not in found:
        raise DependencyError("The engine of this module is not complete", "Reinstall the collection")
    return found


def _read(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: str(entry.name)):
        if entry.name in _LEFT_OUT:
            continue
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


def digest(files: Mapping[str, bytes]) -> str:
    """Return a hash of names and contents, which identifies a version of the engine."""
    summary = hashlib.sha256()
    for name, content in sorted(files.items()):
        summary.update(f"{name}\0{len(content)}\0".encode() + content)
    return summary.hexdigest()[:16]


class EngineCopy:
    """The copies in `folder`, and the `command` that runs the current copy with `python`."""

    def __init__(self, folder: Path, command: Path, python: Path) -> None:
        self._folder, self._command, self._python = folder, command, python
        self._current = folder / "current"

    def digest(self) -> str | None:
        """Return the digest of the current copy on disk, or None if there is none."""
        package = self._current / PACKAGE
        return digest(dict(_read(package, ""))) if package.is_dir() else None

    def command_text(self) -> str:
        """Return the required text of the command."""
        return _COMMAND.format(python=self._python, current=self._current, package=PACKAGE)

    def has_command(self) -> bool:
        """Return whether the command exists with the required text."""
        try:
            return self._command.read_text() == self.command_text() and os.access(self._command, os.X_OK)
        except (OSError, UnicodeDecodeError):
            return False

    def install(self, files: Mapping[str, bytes]) -> None:
        """Make `files` the current copy. The previous copy is kept. Older copies are removed unless they are in use.

        If this raises DependencyError, the current copy has not changed.
        """
        with _sentences(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with lock_folder(self._folder):
                before = self._current.resolve()
                fresh = Path(tempfile.mkdtemp(prefix=f"{digest(files)}-", dir=self._folder))
                try:
                    self._write(fresh, files)
                except BaseException:
                    shutil.rmtree(fresh, ignore_errors=True)
                    raise
                link = self._folder / "current.new"
                link.unlink(missing_ok=True)
                link.symlink_to(fresh.name)
                os.replace(link, self._current)
                sync_folder(self._folder)
                self._prune(keep=(fresh, before))

    def install_command(self) -> None:
        """Install the command. Raises DependencyError."""
        with _sentences(self._command):
            self._command.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._command, self.command_text().encode(), 0o755)

    def remove(self) -> None:
        """Remove the command and all copies, even if they are in use. Raises DependencyError."""
        with _sentences(self._folder):
            self._command.unlink(missing_ok=True)
            if self._folder.exists():
                shutil.rmtree(self._folder)

    def _write(self, fresh: Path, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = fresh / PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, content)
        # Compile now, because the services that run the engine cannot write to this directory.
        compiled = run([str(self._python), "-I", "-m", "compileall", "-q", str(fresh)], _COMPILE_SECONDS)
        if compiled.returncode:
            raise DependencyError(
                f"{self._python} cannot compile the engine: {compiled.stdout.strip() or compiled.stderr.strip()}",
                "Create the virtual environment with Python 3.9 or later",
            )
        fresh.chmod(0o755)
        for folder, _folders, _files in os.walk(fresh):
            sync_folder(Path(folder))

    def _prune(self, keep: tuple[Path, ...]) -> None:
        for copy in self._folder.iterdir():
            if copy.is_dir() and not copy.is_symlink() and copy not in keep:
                with lock_folder(copy, wait=False) as free:
                    if free:
                        shutil.rmtree(copy)


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "strerror", None) or error
        raise DependencyError(
            f"{path} cannot be written: {said}", "Run as root (become: true), and check the free space with 'df'"
        ) from error
