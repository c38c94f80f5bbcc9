# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NFS server of this machine: its exports files, exportfs, and how the plan for a share is made and carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any, Iterable, Mapping, Sequence

from ..addresses import host_name
from ..errors import ExportRefused, InputError
from ..grouping import grouped
from ..paths import ancestors
from ..storage_host.mounts import mount_table
from ..text import printable
from ..zfs.command import Zfs
from ..zfs.names import is_path_of_restores
from . import share as shares
from .clients import Resolved, resolve_clients
from .exportfs import exportfs, refused
from .plan import Plan
from .share import Share, differ
from .steps import Steps, argument, back, in_force, is_among, steps, unresolved
from .table import Entry, parse

ETC, ETAB = PurePath("/etc"), PurePath("/var/lib/nfs/etab")
ZFS_FILE = "zfs.exports"  # written by ZFS for the property sharenfs


class NfsServer:
    """The NFS server. `etc` contains exports and exports.d. `etab` is the table of active exports of exportfs.

    Only the lines for a share's path and clients are changed in this table. See steps.py.
    """

    def __init__(self, etc: PurePath = ETC, etab: PurePath = ETAB, zfs: Zfs | None = None) -> None:
        self._exports, self._folder, self._etab, self._zfs = etc / "exports", etc / "exports.d", etab, zfs or Zfs()
        self.host = self._zfs.host

    def shares(self) -> dict[PurePath, Share]:
        """Return the shares of vmware_nfs_share, by file. Exports of clones belong to restores and are left out."""
        found = {file: Share.read(self._read(file)) for file in self._files() if file.name.startswith(shares.PREFIX)}
        return {
            file: share for file, share in found.items() if share is not None and not is_path_of_restores(share.path)
        }

    def exported(self) -> set[str]:
        """Return the paths that are currently exported."""
        return {entry.path for entry in self._entries(self._etab)}

    def dataset_of(self, path: str) -> str:
        """Return the dataset of a path, or "" if it is on none, for example because the pool is not imported."""
        visible = {mount.mountpoint: mount for mount in mount_table(self.host) if mount.visible}
        mount = next((visible[step] for step in ancestors(path) if step in visible), None)
        return mount.source if mount and mount.fstype == "zfs" and mount.mountpoint != "/" else ""

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """Plan the share that the options of vmware_nfs_share request. Raises QuiesceError."""
        path, file = parameters["path"], self._file(parameters["path"])
        before = self._own_text(file)
        mount = shares.dataset_at(self.host, path, mount_table(self.host))
        others, table = self._others(file), self._entries(self._etab)
        here = [entry for entry in others if self.host.real_path(entry.path) == path]
        former = self._former(file)
        resolved = self._resolve(parameters["hosts"], here, former, table)
        share = shares.from_options(self.host, parameters, mount.mountpoint, resolved)
        mine = share.entries(str(file))
        without_file = [line for line in table if line.path == path and not is_among(line, [*here, *former], resolved)]
        pair = shares.contradiction(mine, [*here, *without_file], resolved)
        if pair:
            own, other = pair
            raise InputError(
                f"{other.place} has '{printable(other)}', which"
                f" {'conflicts with' if differ(own, other) else 'repeats'} '{printable(own)}' in {own.place}",
                self._remedy(other, mount.source),
            )
        if mine and mount.mountpoint == path:
            self._refuse_sharenfs(mount.source, path, here)
        notes = tuple(shares.warnings(share, others)) if mine else ()
        plan = Plan(
            path, file, before, share.text, share, mount.source, former=tuple(former), resolved=resolved, warnings=notes
        )
        return self._with_steps(plan, mine, here, table)

    def plan_removal(self, path: str) -> Plan:
        """Plan the removal of the share of a path. Raises QuiesceError."""
        file = self._file(path)
        here = [entry for entry in self._others(file) if self.host.real_path(entry.path) == path]
        former, table = self._former(file), self._entries(self._etab)
        resolved = self._resolve([], here, former, table)
        plan = Plan(path, file, self._own_text(file), "", former=tuple(former), resolved=resolved)
        return self._with_steps(plan, [], here, table)

    def carry_out(self, plan: Plan) -> None:
        """Write the file and update the active exports. If this raises ExportRefused, the old state is restored.

        If it is interrupted, the file names every client that may be exported, and the next call completes the change.
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
        """Export new entries first, then withdraw old ones, so that a client in both never loses access. While both are
        exported, the file contains both. `text` is the final text of the file.
        """
        if todo.export:
            self._write(plan.file, plan.between if todo.unexport else text)
            self._export(todo.export)
        self._unexport(todo.unexport)

    def _check(self, plan: Plan) -> None:
        """Raise ExportRefused unless the active exports match the plan."""
        now = self._in_force(plan.path)
        # exportfs may have written another name of a client, which is not in the plan: resolve the names again.
        resolved = {**resolve_clients(self.host, (line.client for line in now)), **plan.resolved}
        missing = [entry.client for entry in plan.wanted if not in_force([entry], now, resolved)]
        left = [line.client for line in steps(plan.former, plan.wanted, now, resolved).unexport]
        if missing or left:
            said = (
                f"does not export it to {', '.join(missing)}" if missing else f"still exports it to {', '.join(left)}"
            )
            raise refused({f"nothing, but the NFS server {said}"})

    def _put_back(self, plan: Plan, was: Sequence[Entry], error: BaseException) -> None:
        """Restore the file and the active exports. Raises ExportRefused if this fails."""
        try:
            own = [*plan.former, *plan.wanted]
            self._tell(plan, back(was, own, self._in_force(plan.path), plan.resolved), plan.before)
            self._write(plan.file, plan.before)
        except ExportRefused as second:
            raise ExportRefused(
                f"{getattr(error, 'problem', error)}, and the former share of {plan.path} could not be restored:"
                f" {second.problem}",
                "Check the exports with 'exportfs -v', and apply the share again",
            ) from error

    def _with_steps(self, plan: Plan, mine: Sequence[Entry], here: Sequence[Entry], table: Sequence[Entry]) -> Plan:
        """Add the steps for exportfs to the plan. Raises ExportRefused if exportfs would drop an export of others."""
        former, resolved = plan.former, plan.resolved
        # If another file has an entry for a client of this share, it applies again when the share no longer has one.
        wanted = [*mine, *(one for one in here if one.path == plan.path and is_among(one, former, resolved))]
        lines = [line for line in table if line.path == plan.path]
        todo = steps(former, wanted, lines, resolved)
        old = Share.read(plan.before)
        exported = [line for line in lines if is_among(line, former, resolved)]
        lost = unresolved((line for line in table if line not in todo.unexport), resolved) if todo else []
        for line in lost:
            if host_name(line.client) not in resolved:
                raise ExportRefused(
                    f"The NFS server exports {printable(line.path)} to '{printable(line.client)}', a host name that"
                    " currently cannot be resolved, so exportfs would drop that export",
                    "Check why the resolver of this storage host does not answer, and try again",
                )
        dropped = [
            f"exportfs drops {printable(line.path)} for '{printable(line.client)}', because this name no longer exists"
            for line in lost
        ]
        return replace(
            plan,
            wanted=tuple(wanted),
            exported=(*exported, *(former if old and old.enabled else ())),
            steps=todo,
            warnings=(*plan.warnings, *dropped),
        )

    def _former(self, file: PurePath) -> list[Entry]:
        return shares.all_entries(self._read(file), str(file))

    def _file(self, path: str) -> PurePath:
        return self._folder / shares.file_name(shares.check_path(path))

    def _own_text(self, file: PurePath) -> str:
        text = self._read(file)
        if text and Share.read(text) is None:
            raise InputError(f"{file} was not written by vmware_nfs_share", "Move the file to another directory")
        return text

    def _others(self, own: PurePath) -> list[Entry]:
        files = [self._exports, *self._files()]
        return [entry for file in files if file != own for entry in self._entries(file)]

    def _files(self) -> list[PurePath]:
        try:
            names = self.host.list_folder(str(self._folder))
        except OSError as error:
            raise _unreadable(self._folder, error) from error
        return [self._folder / name for name in names if name.endswith(".exports")]

    def _in_force(self, path: str) -> list[Entry]:
        return [entry for entry in self._entries(self._etab) if entry.path == path]

    def _entries(self, file: PurePath) -> list[Entry]:
        return parse(self._read(file), str(file))

    def _refuse_sharenfs(self, dataset: str, path: str, here: list[Entry]) -> None:
        """Raise InputError if ZFS also exports the dataset, unless its entries are in the file of ZFS."""
        value = self._zfs.run("get", "-H", "-p", "-o", "value", "sharenfs", dataset).strip()
        if value not in ("off", "-") and not any(PurePath(entry.file).name == ZFS_FILE for entry in here):
            raise InputError(
                f"The property sharenfs of {dataset} is '{printable(value)}', which also exports {path}",
                f"Run 'zfs set sharenfs=off {dataset}'",
            )

    def _unexport(self, lines: Sequence[Entry]) -> None:
        """Withdraw lines of the table. Errors are ignored, because _check verifies the result."""
        if lines:
            exportfs(self.host, "-u", *map(argument, lines))

    def _export(self, entries: Sequence[Entry]) -> None:
        """Export the entries. Raises ExportRefused with the output of exportfs."""
        for options, arguments in grouped((entry.options, argument(entry)) for entry in entries).items():
            # -i: use only these options and ignore the exports files
            done = exportfs(self.host, "-i", "-o", ",".join(options), *arguments)
            if done.status:
                said = {line.strip() for line in (done.output + done.complaint).splitlines()} - {""}
                raise refused(said or {f"nothing (exit status {done.status})"})

    def _remedy(self, other: Entry, dataset: str) -> str:
        if PurePath(other.file).name == ZFS_FILE:
            return f"Run 'zfs set sharenfs=off {dataset}' to remove the entry, or request the same options"
        if other.file == str(self._etab):
            return (
                "No file contains the entry: remove the client from this share, "
                f"or run 'exportfs -u {argument(other)}' if nothing uses it"
            )
        return "Remove that entry, or request the same options"

    def _write(self, file: PurePath, text: str) -> None:
        """Write the file atomically and sync it to disk, or remove it if `text` is empty."""
        if self._read(file) == text:
            return
        try:
            if text:
                self.host.replace_file(str(file), text, 0o644)
            else:
                self.host.remove_file(str(file))
        except OSError as error:
            raise ExportRefused(
                f"{file} cannot be written: {error.strerror}",
                "Run as root (become: true), and check the free space with 'df'",
            ) from error

    def _read(self, file: PurePath) -> str:
        try:
            return self.host.read(str(file))
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise _unreadable(file, error) from error

    def _resolve(self, hosts: Iterable[str], *entries: Iterable[Entry]) -> Resolved:
        return resolve_clients(self.host, [*hosts, *(entry.client for each in entries for entry in each)])


def _unreadable(file: PurePath, error: OSError) -> ExportRefused:
    return ExportRefused(f"{file} cannot be read: {error.strerror}", "Run as root (become: true)")
