# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the folder of a VM from a ZFS snapshot into a new folder of the same dataset, and removes such a copy.

The new folder is created under a temporary name, gets a file that marks it as ours, and only then its final name. So a
folder that a killed restore left is always recognised, and a folder of anyone else is never removed.
"""

from __future__ import annotations

import errno
import posixpath
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Iterator, Mapping

from ..door.host import Found, StorageHost
from ..errors import InputError, RestoreFailed
from ..text import printable, reason_of, size_text
from ..zfs import block_cloning
from ..zfs.command import Zfs
from ..zfs.names import SnapshotName, pool_of
from ..zfs.room import Room, room
from .stale_files import is_stale

MARKER = ".vmware-zfs-restore"  # contains the ID of the restore
_DRAFT = f".{MARKER}.new"  # while the marker is written, see durable.replace_file
TEMPORARY = ".vmware-zfs-"  # with the ID of the restore
_PART = 256 * 1024 * 1024  # bytes between two reports of progress


Progress = Callable[[int, int], None]  # bytes that are copied, and all bytes


@dataclass(frozen=True)
class CopyPlan:
    """What to copy. `bytes` is the size of the files, `allocated` what they use on disk.

    `left_out` are the files that are not copied. `shares`: this host and the pool can share blocks, so the copy is
    expected to need no room.
    """

    dataset: str  # that of the new folder
    source: str  # the folder in the snapshot
    files: tuple[Found, ...] = ()
    folders: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    shares: bool = False

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def allocated(self) -> int:
        return sum(file.allocated for file in self.files)


@dataclass(frozen=True)
class Place:
    """Where a copy goes. `temporary` is in the same folder as `path`, and `marker` is the ID of the restore.

    This is the data of the step.
    """

    path: str
    temporary: str
    marker: str

    @classmethod
    def beside(cls, parent: str, name: str, restore: str) -> Place:
        """Return the place of a folder `name` in the folder `parent`. Raises InputError for an impossible name."""
        if not name or name in (".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > 255:
            raise InputError(f"'{printable(name, 80)}' cannot be the name of a folder", "Choose another name")
        return cls(posixpath.join(parent, name), posixpath.join(parent, TEMPORARY + restore), restore)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Place:
        """Return the place in the data of a step."""
        return cls(data["path"], data["temporary"], data["marker"])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Copied:
    """The result of a copy. `shared`: the pool's counter proves that most blocks were shared instead of copied."""

    bytes: int
    files: int
    shared: bool


def plan_copy(zfs: Zfs, mountpoint: str, snapshot: str, folder: str, dataset: str = "") -> CopyPlan:
    """Plan a copy of `folder` from a snapshot (`dataset@name`) into `dataset`. Changes nothing.

    `mountpoint` is that of the dataset of the snapshot, `folder` is relative to it, and `dataset` is the same dataset
    unless it is given. Raises InputError if the snapshot has no such folder or if there is no room, and ZfsError.
    """
    own, short = SnapshotName.of(snapshot)
    dataset = dataset or own
    _check_folder(folder, snapshot, dataset != own)
    source = posixpath.normpath(posixpath.join(mountpoint, ".zfs/snapshot", short, folder))
    shares = block_cloning.is_expected(zfs, pool_of(dataset))
    plan = _selected(CopyPlan(dataset, source, shares=shares), _listed(zfs.host, source, snapshot, folder))
    _require_room(room(zfs, dataset), plan)
    return plan


def require_free(host: StorageHost, place: Place) -> None:
    """Raise InputError if the name of the new folder is taken."""
    if host.exists(place.path):
        raise InputError(
            f"The folder {printable(place.path)} exists already", "Choose another name for the restored VM"
        )


def copy_folder(zfs: Zfs, plan: CopyPlan, place: Place, progress: Progress = lambda done, total: None) -> Copied:
    """Create the folder and copy the files. Raises InputError if its name is taken, RestoreFailed, and ZfsError.

    Nothing is removed if this fails: see remove_copy.
    """
    pool = pool_of(plan.dataset)
    before = block_cloning.saved(zfs, pool) if plan.shares else None
    with _sentences(place.path):
        _create(zfs.host, place)
        for folder in plan.folders:
            zfs.host.make_folder(f"{place.path}/{folder}", 0o700)
        _copy_files(zfs.host, plan, place, progress)
        for folder in (*(f"/{one}" for one in reversed(plan.folders)), ""):  # last, because copying changes their times
            zfs.host.copy_attributes(plan.source + folder, place.path + folder)
    after = block_cloning.saved(zfs, pool)
    gained = after - before if after is not None and before is not None else 0
    return Copied(plan.bytes, len(plan.files), gained > 0 and 2 * gained >= plan.allocated)


def hand_over(host: StorageHost, place: Place) -> None:
    """Remove the marker of a finished copy, so that nothing of this collection ever removes the folder."""
    with _sentences(place.path):
        host.remove_file(f"{place.path}/{MARKER}")


def remove_copy(host: StorageHost, place: Place) -> str:
    """Remove a copy, whatever part of it exists, but never a folder without our marker.

    Returns "", or why something stays. It may be called again after any interruption.
    """
    try:
        if host.exists(place.temporary):
            if not _is_marked(host, place.temporary, place.marker) and not _is_unused(host, place.temporary):
                return f"{printable(place.temporary)} does not contain the marker of this restore, so it is kept"
            host.remove_tree(place.temporary, last=MARKER)
        if _is_marked(host, place.path, place.marker):
            host.rename_new(place.path, place.temporary)
            host.remove_tree(place.temporary, last=MARKER)
    except OSError as error:
        return f"{printable(error.filename or place.path)} cannot be removed: {reason_of(error)}"
    return ""


def _check_folder(folder: str, snapshot: str, elsewhere: bool) -> None:
    if folder.startswith("/") or ".." in folder.split("/"):
        raise InputError(f"'{printable(folder, 80)}' is not a folder of {snapshot}", "Give a path below its mountpoint")
    if not folder.strip("./") and not elsewhere:
        raise InputError(
            f"{snapshot} has the files of the VM directly in the root of the dataset, not in a folder",
            "Restore the VM from a clone instead",
        )


def _listed(host: StorageHost, source: str, snapshot: str, folder: str) -> list[Found]:
    try:
        return host.tree(source)
    except (FileNotFoundError, NotADirectoryError):
        if host.is_folder(source.removesuffix(f"/{folder}")):
            raise InputError(
                f"The snapshot {snapshot} has no folder '{printable(folder, 80)}'", "Choose another snapshot"
            ) from None
        raise InputError(
            f"The content of the snapshot {snapshot} is not visible at {printable(source)}",
            "Check that its dataset is mounted, and that its property snapdir is not 'disabled'",
        ) from None
    except OSError as error:
        raise InputError(
            f"The folder {printable(source)} cannot be read: {reason_of(error)}", "Check the pool with 'zpool status'"
        ) from error


def _selected(plan: CopyPlan, found: list[Found]) -> CopyPlan:
    """Add what to copy to the plan, without stale locks and swap files, symbolic links and other file systems."""
    left_out = [one.path for one in found if one.kind == "other" or is_stale(posixpath.basename(one.path))]
    return replace(
        plan,
        files=tuple(one for one in found if one.kind == "file" and one.path not in left_out),
        folders=tuple(one.path for one in found if one.kind == "folder"),
        left_out=tuple(left_out),
    )


def _require_room(free: Room, plan: CopyPlan) -> None:
    """Raise InputError if the copy does not fit. Shared blocks need no room in the pool, but they count in quotas."""
    needed = plan.allocated
    if free.quota is not None and needed > free.quota:
        raise InputError(
            f"The copy needs {size_text(needed)}, and the quota of {free.limiting} leaves {size_text(free.quota)}",
            "Raise the quota, or restore the VM from a clone instead",
        )
    if not plan.shares and needed > free.available:
        raise InputError(
            f"The copy needs {size_text(needed)}, and {plan.dataset} has {size_text(free.available)} available",
            "Free some space, or restore the VM from a clone instead",
        )


def _create(host: StorageHost, place: Place) -> None:
    """Create the folder with its marker. Raises InputError if its name is taken."""
    host.make_folder(place.temporary, 0o700)
    host.replace_file(f"{place.temporary}/{MARKER}", place.marker + "\n", 0o600)
    try:
        host.rename_new(place.temporary, place.path)
    except FileExistsError:
        require_free(host, place)
        raise


def _copy_files(host: StorageHost, plan: CopyPlan, place: Place, progress: Progress) -> None:
    complete = 0
    for file in plan.files:
        at: int | None = 0
        while at is not None:
            at = host.copy_part(f"{plan.source}/{file.path}", f"{place.path}/{file.path}", at, _PART)
            progress(complete + (file.size if at is None else at), plan.bytes)
        complete += file.size


def _is_marked(host: StorageHost, folder: str, marker: str) -> bool:
    try:
        return host.read(f"{folder}/{MARKER}").strip() == marker
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_unused(host: StorageHost, folder: str) -> bool:
    """Return whether nothing is in the temporary folder but a marker that was never finished."""
    return set(host.list_folder(folder)) <= {_DRAFT}


@contextmanager
def _sentences(path: str) -> Iterator[None]:
    """Convert errors of the door to RestoreFailed."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise RestoreFailed(
            f"The copy {printable(path)} could not be made: {reason_of(error)}",
            "Free some space or raise the quota, and try again" if full else "Fix the cause, and try again",
        ) from error
