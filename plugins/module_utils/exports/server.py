# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NFS server of this machine: its files of exports, exportfs, and a share brought from plan to force."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterable, Mapping

from ..durable import remove_file, replace_file
from ..errors import DependencyError, ExportRefused, InputError
from ..process import run
from ..storage_host import LOOKUP_SECONDS, ask_all, mount_table, resolve
from ..text import printable
from ..zfs.command import Zfs
from .clients import Resolved, names
from .share import (
    PREFIX,
    Share,
    check_path,
    contradiction,
    dataset_at,
    differ,
    file_name,
    from_options,
    in_force,
    warnings,
)
from .table import Entry, parse

EXPORTFS_SECONDS = 60.0  # it resolves the names of all clients
# What it notes about every entry that leaves subtree_check to the default; never one of ours
_NOTES = re.compile(r"exportfs: .*Neither 'subtree_check' or .*\n.*\n.*NOTE: .*")
ZFS_FILE = "zfs.exports"  # what the property sharenfs writes


@dataclass(frozen=True)
class Plan:
    """What is to be done about one share. `before` and `after` are its file's text, "" where there is no file."""

    path: str
    file: Path
    before: str
    after: str
    share: Share | None = None  # None: to be removed
    dataset: str = ""
    resolved: Resolved = field(default_factory=dict)
    exported: bool = True  # whether the server already works by `after`
    warnings: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        return self.before != self.after or not self.exported

    def diff(self) -> dict[str, str]:
        """For Ansible's diff mode: the file; when it is as it has to be, what else there is to do."""
        if self.before == self.after and self.changed:
            return {"prepared": f"{self.file} stays as it is; the NFS server, which does not export it, is told to.\n"}
        heads = {"before_header": str(self.file), "after_header": str(self.file)}
        return {"before": self.before, "after": self.after, **heads}


class NfsServer:
    """`etc` holds exports and exports.d; `etab` is the table of what is exported now, which exportfs keeps."""

    def __init__(
        self, etc: Path = Path("/etc"), etab: Path = Path("/var/lib/nfs/etab"), zfs: Zfs | None = None
    ) -> None:
        self._exports, self._folder, self._etab, self._zfs = etc / "exports", etc / "exports.d", etab, zfs or Zfs()

    def shares(self) -> dict[Path, Share]:
        """The shares that have files of ours."""
        found = {file: Share.read(_read(file)) for file in sorted(self._folder.glob(f"{PREFIX}*.exports"))}
        return {file: share for file, share in found.items() if share is not None}

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """What the options of vmware_nfs_share ask for, checked against this machine. Raises QuiesceError."""
        path, file = parameters["path"], self._file(parameters["path"])
        mount = dataset_at(path, mount_table())
        others = self._others(file)
        here = [entry for entry in others if os.path.realpath(entry.path) == path]
        now = self._in_force(path)
        asked = names([*parameters["hosts"], *(entry.client for entry in (*here, *now))])
        resolved = ask_all(resolve, asked, LOOKUP_SECONDS)
        share = from_options(parameters, mount.mountpoint, resolved)
        mine = share.entries(str(file))
        pair = contradiction(mine, here, resolved)
        if pair:
            own, other = pair
            raise InputError(
                f"{other.place} says '{printable(other)}', which {'contradicts' if differ(own, other) else 'repeats'} "
                f"'{printable(own)}' of {own.place}",
                _remedy(other, mount.source),
            )
        if mine and mount.mountpoint == path:
            self._refuse_sharenfs(mount.source, path, here)
        return Plan(
            path,
            file,
            self._own_text(file),
            share.text,
            share,
            mount.source,
            resolved,
            in_force(mine, now, resolved),
            tuple(warnings(share, others)) if mine else (),
        )

    def plan_removal(self, path: str) -> Plan:
        """To have no share of a path. Raises QuiesceError."""
        file = self._file(path)
        return Plan(path, file, self._own_text(file), "")

    def carry_out(self, plan: Plan) -> None:
        """Write the file and have the server work by it. Raises ExportRefused; then the file is what it was."""
        try:
            self._write(plan.file, plan.after)
            refused = self._exportfs()
            if refused:
                # Complaints about what others wrote are nothing to stop for: it would be no better without this share.
                self._write(plan.file, plan.before)
                refused -= self._exportfs()
                if refused:
                    raise _refused(refused)
                self._write(plan.file, plan.after)
                self._exportfs()
            mine = plan.share.entries(str(plan.file)) if plan.share else []
            if not in_force(mine, self._in_force(plan.path), plan.resolved):
                raise _refused({"nothing, but it does not export it either"})
        except BaseException:
            self._write(plan.file, plan.before)
            self._exportfs()
            raise

    def _file(self, path: str) -> Path:
        return self._folder / file_name(check_path(path))

    def _own_text(self, file: Path) -> str:
        text = _read(file)
        if text and Share.read(text) is None:
            raise InputError(f"{file} was not written by vmware_nfs_share", "Move it away")
        return text

    def _others(self, own: Path) -> list[Entry]:
        files = [self._exports, *sorted(self._folder.glob("*.exports"))]
        return [entry for file in files if file != own for entry in self._entries(file)]

    def _in_force(self, path: str) -> list[Entry]:
        return [entry for entry in self._entries(self._etab) if entry.path == path]

    def _entries(self, file: Path) -> list[Entry]:
        return parse(_read(file), str(file))

    def _refuse_sharenfs(self, dataset: str, path: str, here: list[Entry]) -> None:
        """Refuse a dataset that ZFS exports as well, unless what it exports can be read and says the same."""
        value = self._zfs.run("get", "-H", "-p", "-o", "value", "sharenfs", dataset).strip()
        if value not in ("off", "-") and not any(Path(entry.file).name == ZFS_FILE for entry in here):
            raise InputError(
                f"The property sharenfs of {dataset} is '{printable(value)}', which exports {path} in a way of its own",
                f"Run 'zfs set sharenfs=off {dataset}'",
            )

    def _exportfs(self) -> set[str]:
        """Have the server work by the files; returns what exportfs refused, line by line, or an empty set."""
        search = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        command = shutil.which("exportfs", path=search)
        if command is None:
            raise DependencyError(
                "This storage host has no command exportfs",
                "Install its NFS server, which is the package nfs-kernel-server or nfs-utils",
            )
        try:
            done = run([command, "-ra"], EXPORTFS_SECONDS, {**os.environ, "PATH": search, "LC_ALL": "C"})
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refused({str(error)}) from error
        said = {line.strip() for line in _NOTES.sub("", done.stdout + done.stderr).splitlines()} - {""}
        return (said or {f"nothing (exit status {done.returncode})"}) if done.returncode else set()

    def _write(self, file: Path, text: str) -> None:
        """Have the file hold this text, or not be there; on disk, and never half of it."""
        try:
            if text:
                file.parent.mkdir(mode=0o755, exist_ok=True)
                replace_file(file, text.encode("utf-8", errors="surrogateescape"), 0o644)
            else:
                remove_file(file)
        except OSError as error:
            raise ExportRefused(
                f"{file} cannot be written: {error.strerror}", "Run as root (become: true), and look for room with 'df'"
            ) from error


def _refused(said: Iterable[str]) -> ExportRefused:
    told = printable(" | ".join(sorted(said)), 600)
    return ExportRefused(f"exportfs refuses the share: {told}", "Mend what it names; the exports are what they were")


def _remedy(other: Entry, dataset: str) -> str:
    if Path(other.file).name == ZFS_FILE:
        return f"Run 'zfs set sharenfs=off {dataset}', whose property it comes from, or ask for the same options"
    return "Remove that entry, or ask for the same options"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ExportRefused(f"{file} cannot be read: {error.strerror}", "Run as root (become: true)") from error
