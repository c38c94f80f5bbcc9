# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NFS server of this machine: its files of exports, exportfs, and a share brought from plan to force."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from ..durable import remove_file, replace_file
from ..errors import DependencyError, ExportRefused, InputError
from ..process import find, run
from ..storage_host.view import ancestors, host_name, mount_table
from ..text import printable
from ..zfs.command import Zfs
from .clients import Resolved, resolve_clients
from .plan import Plan
from .share import (
    PREFIX,
    Share,
    all_entries,
    check_path,
    contradiction,
    dataset_at,
    differ,
    file_name,
    from_options,
    warnings,
)
from .steps import Steps, argument, back, in_force, is_among, steps, unresolved
from .table import Entry, parse

EXPORTFS_SECONDS = 60.0  # it resolves the names of all clients
ZFS_FILE = "zfs.exports"  # what the property sharenfs writes


class NfsServer:
    """`etc` holds exports and exports.d; `etab` is the table of what is exported now, which exportfs keeps.

    Of that table only the lines for a share's own path and clients are changed; see steps.py.
    """

    def __init__(
        self, etc: Path = Path("/etc"), etab: Path = Path("/var/lib/nfs/etab"), zfs: Zfs | None = None
    ) -> None:
        self._exports, self._folder, self._etab, self._zfs = etc / "exports", etc / "exports.d", etab, zfs or Zfs()

    def shares(self) -> dict[Path, Share]:
        """The shares that have files of ours."""
        found = {file: Share.read(_read(file)) for file in sorted(self._folder.glob(f"{PREFIX}*.exports"))}
        return {file: share for file, share in found.items() if share is not None}

    def exported(self) -> set[str]:
        """The paths that are exported now."""
        return {entry.path for entry in self._entries(self._etab)}

    def dataset_of(self, path: str) -> str:
        """The dataset that a path lies on, "" where it lies on none now, such as while its pool is not imported."""
        visible = {mount.mountpoint: mount for mount in mount_table() if mount.visible}
        mount = next((visible[step] for step in ancestors(path) if step in visible), None)
        return mount.source if mount and mount.fstype == "zfs" and mount.mountpoint != "/" else ""

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """What the options of vmware_nfs_share ask for, checked against this machine. Raises QuiesceError."""
        path, file = parameters["path"], self._file(parameters["path"])
        before = self._own_text(file)
        mount = dataset_at(path, mount_table())
        others, table = self._others(file), self._entries(self._etab)
        here = [entry for entry in others if os.path.realpath(entry.path) == path]
        former = self._former(file)
        resolved = _resolve(parameters["hosts"], here, former, table)
        share = from_options(parameters, mount.mountpoint, resolved)
        mine = share.entries(str(file))
        without_file = [line for line in table if line.path == path and not is_among(line, [*here, *former], resolved)]
        pair = contradiction(mine, [*here, *without_file], resolved)
        if pair:
            own, other = pair
            raise InputError(
                f"{other.place} says '{printable(other)}', which {'contradicts' if differ(own, other) else 'repeats'} "
                f"'{printable(own)}' of {own.place}",
                self._remedy(other, mount.source),
            )
        if mine and mount.mountpoint == path:
            self._refuse_sharenfs(mount.source, path, here)
        plan = Plan(
            path,
            file,
            before,
            share.text,
            share,
            mount.source,
            warnings=tuple(warnings(share, others)) if mine else (),
        )
        return self._with_steps(plan, mine, former, here, table, resolved)

    def plan_removal(self, path: str) -> Plan:
        """To have no share of a path. Raises QuiesceError."""
        file = self._file(path)
        here = [entry for entry in self._others(file) if os.path.realpath(entry.path) == path]
        former, table = self._former(file), self._entries(self._etab)
        plan = Plan(path, file, self._own_text(file), "")
        return self._with_steps(plan, [], former, here, table, _resolve([], here, former, table))

    def carry_out(self, plan: Plan) -> None:
        """Write the file and have the server work by it. Raises ExportRefused; then all is what it was.

        Whatever interrupts this, the file names every client that may be exported, and the next time ends it.
        """
        was = self._in_force(plan.path)
        try:
            self._tell(plan, plan.steps, plan.after)
            self._check(plan)
            self._write(plan.file, plan.after)
        except BaseException as error:
            self._put_back(plan, was, error)
            raise

    def _tell(self, plan: Plan, todo: Steps, text: str) -> None:
        """Have the server export first and withdraw then, so that whoever is covered before and after is so throughout.
        The file gets `text`, which is what it is to hold in the end, only when it names all who are exported by then.
        """
        if todo.export:
            self._write(plan.file, plan.between if todo.unexport else text)
            self._export(todo.export)
        self._unexport(todo.unexport)

    def _check(self, plan: Plan) -> None:
        """Raise ExportRefused unless the table in force is what the plan wants it to be."""
        now = self._in_force(plan.path)
        # A client may have got a name that nobody knew before: that of another entry for one of its addresses.
        resolved = {**resolve_clients(line.client for line in now), **plan.resolved}
        missing = [entry.client for entry in plan.wanted if not in_force([entry], now, resolved)]
        left = [line.client for line in steps(plan.former, plan.wanted, now, resolved).unexport]
        if missing or left:
            said = (
                f"does not export it to {', '.join(missing)}" if missing else f"still exports it to {', '.join(left)}"
            )
            raise _refused({f"nothing, but the NFS server {said}"})

    def _put_back(self, plan: Plan, was: Sequence[Entry], error: BaseException) -> None:
        """Have the file and the table in force be what they were. Raises ExportRefused where that cannot be."""
        try:
            own = [*plan.former, *plan.wanted]
            self._tell(plan, back(was, own, self._in_force(plan.path), plan.resolved), plan.before)
            self._write(plan.file, plan.before)
        except ExportRefused as second:
            raise ExportRefused(
                f"{getattr(error, 'problem', error)}, and the share of {plan.path} could not be put back:"
                f" {second.problem}",
                "Look with 'exportfs -v', and apply the share again",
            ) from error

    def _with_steps(
        self,
        plan: Plan,
        mine: Sequence[Entry],
        former: Sequence[Entry],
        here: Sequence[Entry],
        table: Sequence[Entry],
        resolved: Resolved,
    ) -> Plan:
        """The plan with what exportfs has to be told. Raises ExportRefused where it would drop what is others'."""
        # What another file says of a client of ours counts again when we let go of it.
        wanted = [*mine, *(one for one in here if one.path == plan.path and is_among(one, former, resolved))]
        lines = [line for line in table if line.path == plan.path]
        todo = steps(former, wanted, lines, resolved)
        old = Share.read(plan.before)
        exported = [line for line in lines if is_among(line, former, resolved)]
        lost = unresolved((line for line in table if line not in todo.unexport), resolved) if todo else []
        for line in lost:
            if host_name(line.client) not in resolved:
                raise ExportRefused(
                    f"The NFS server exports {printable(line.path)} to '{printable(line.client)}', a name that cannot"
                    " be resolved at the moment, so exportfs would drop that export",
                    "See why this storage host's resolver does not answer, and try again",
                )
        dropped = [
            f"exportfs drops {printable(line.path)} for '{printable(line.client)}', which is no name any more"
            for line in lost
        ]
        return replace(
            plan,
            wanted=tuple(wanted),
            former=tuple(former),
            exported=(*exported, *(former if old and old.enabled else ())),
            steps=todo,
            resolved=resolved,
            warnings=(*plan.warnings, *dropped),
        )

    def _former(self, file: Path) -> list[Entry]:
        return all_entries(_read(file), str(file))

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

    def _unexport(self, lines: Sequence[Entry]) -> None:
        """Withdraw lines of the table. That one is not there is no failure: _check looks at what is left."""
        if lines:
            _exportfs("-u", *map(argument, lines))

    def _export(self, entries: Sequence[Entry]) -> None:
        """Have the server work by the entries. Raises ExportRefused with what exportfs said."""
        by_options: dict[tuple[str, ...], list[str]] = {}
        for entry in entries:
            by_options.setdefault(entry.options, []).append(argument(entry))
        for options, arguments in by_options.items():
            # -i: by these options alone, whatever the files say
            done = _exportfs("-i", "-o", ",".join(options), *arguments)
            if done.returncode:
                said = {line.strip() for line in (done.stdout + done.stderr).splitlines()} - {""}
                raise _refused(said or {f"nothing (exit status {done.returncode})"})

    def _remedy(self, other: Entry, dataset: str) -> str:
        if Path(other.file).name == ZFS_FILE:
            return f"Run 'zfs set sharenfs=off {dataset}', whose property it comes from, or ask for the same options"
        if other.file == str(self._etab):
            return f"It is in no file: leave out that client, or run 'exportfs -u {argument(other)}' if nobody needs it"
        return "Remove that entry, or ask for the same options"

    def _write(self, file: Path, text: str) -> None:
        """Have the file hold this text, or not be there; on disk, and never half of it."""
        if _read(file) == text:
            return
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


def _resolve(hosts: Iterable[str], *entries: Iterable[Entry]) -> Resolved:
    return resolve_clients([*hosts, *(entry.client for each in entries for entry in each)])


def _exportfs(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run exportfs. Raises DependencyError where there is none, ExportRefused where it does not end."""
    command = find("exportfs")
    if command is None:
        raise DependencyError(
            "This storage host has no command exportfs",
            "Install its NFS server, which is the package nfs-kernel-server or nfs-utils",
        )
    try:
        return run([command, *arguments], EXPORTFS_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused({str(error)}) from error


def _refused(said: Iterable[str]) -> ExportRefused:
    told = printable(" | ".join(sorted(said)), 600)
    return ExportRefused(f"exportfs refuses the share: {told}", "Fix what it names; the exports are what they were")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ExportRefused(f"{file} cannot be read: {error.strerror}", "Run as root (become: true)") from error
