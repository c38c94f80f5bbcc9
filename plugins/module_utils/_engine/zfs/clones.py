# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of ZFS snapshots for restores, in one dataset of each pool, with one dataset below it for each restore.

A clone has a user property with the ID of its restore. Only a clone that has it, and that is still a clone, is ever
destroyed. Datasets are destroyed one by one, never with their children or clones.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Mapping

from ..errors import DatasetNotFound, SnapshotExists, ZfsError
from ..text import printable
from .command import Zfs
from .names import is_of_restores, pool_of, restores_of

RESTORE = "quiesce.vmware_zfs:restore"  # on a clone: the ID of its restore
RESTORES = "quiesce.vmware_zfs:restores"  # "yes" on the dataset that contains all clones of a pool
_ATTEMPTS = 3  # another restore may remove the empty dataset of the pool in the meantime
# Seconds. The NFS server uses a clone for some time after its export was withdrawn: files of an NFS 4.1 client that
# does not answer stay open for a lease of 90 s (nfsd.man, /proc/fs/nfsd/nfsv4leasetime).
_PATIENCE = 100.0
_PAUSE = 1.0
_RMDIR_SECONDS = 10.0
# Not mounted, not shared, and not for the tools that take snapshots of everything.
_OPTIONS = {"canmount": "noauto", "sharenfs": "off", "sharesmb": "off", "com.sun:auto-snapshot": "false"}


@dataclass(frozen=True)
class Clone:
    """A clone to create. `origin` is its snapshot, `restore` the ID of the restore. This is the data of its step.

    `mountpoint` is a path on the storage host. It includes the altroot of the pool.
    """

    dataset: str
    origin: str
    mountpoint: str
    restore: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Clone:
        """Return the clone in the data of a step."""
        return cls(data["dataset"], data["origin"], data["mountpoint"], data["restore"])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Existing:
    """The current state of a dataset. `restore` is its own property RESTORE, "" without one. `origin` is "" unless it
    is a clone.
    """

    guid: str
    origin: str
    mountpoint: str
    mounted: bool
    restore: str


def folder_of(pool: str, restore: str) -> str:
    """Return the dataset that contains the clones of a restore."""
    return f"{restores_of(pool)}/{restore}"


def create(zfs: Zfs, clone: Clone) -> Existing:
    """Create and mount a clone, and the datasets above it. Raises ZfsError; then `destroy` removes what exists."""
    for attempt in range(1, _ATTEMPTS + 1):
        _create_above(zfs, pool_of(clone.dataset), clone.restore)
        try:
            options = {"canmount": "on", "mountpoint": _without_altroot(clone), RESTORE: clone.restore}
            zfs.run("clone", *_words(options), clone.origin, clone.dataset)
            break
        except DatasetNotFound:
            if attempt == _ATTEMPTS:
                raise
    found = look(zfs, clone.dataset)
    if found is None or not found.mounted or found.mountpoint != clone.mountpoint:
        raise ZfsError(
            f"The clone {clone.dataset} was not mounted at {printable(clone.mountpoint)}",
            f"Check why 'zfs mount {clone.dataset}' fails, and try again",
        )
    return found


def _without_altroot(clone: Clone) -> str:
    """Return the mountpoint as the property has it. ZFS adds the altroot."""
    return clone.mountpoint[clone.mountpoint.index(f"/{restores_of(pool_of(clone.dataset))}/") :]


def look(zfs: Zfs, dataset: str) -> Existing | None:
    """Return the current state of a dataset, or None if it does not exist.

    Raises ZfsError if the output cannot be trusted.
    """
    keys = ("guid", "origin", RESTORE, "mountpoint", "mounted")
    try:
        rows = zfs.rows("get", "-H", "-p", "-o", "property,value,source", ",".join(keys), dataset)
    except DatasetNotFound:
        return None
    # A value with line breaks adds rows. The last property is one that users cannot set.
    if [row[0] for row in rows] != list(keys) or any(len(row) != 3 for row in rows):
        raise ZfsError(
            f"The properties of {dataset} cannot be read, because one of them contains line breaks",
            f"Check them with 'zfs get all {dataset}'",
        )
    values = {key: "" if row[1] == "-" else row[1] for key, row in zip(keys, rows)}
    restore = values[RESTORE] if rows[2][2] == "local" else ""
    return Existing(values["guid"], values["origin"], values["mountpoint"], values["mounted"] == "yes", restore)


def destroy(zfs: Zfs, clone: Clone, guid: str = "") -> str:
    """Destroy a clone, and the datasets above it if they are empty. Returns "", or why something stays.

    `guid` is known if the clone was created before. It may be called again after any interruption.
    """
    try:
        found = look(zfs, clone.dataset)
        reason = "" if found is None else _objection(found, clone, guid) or _destroy(zfs, clone.dataset)
        if not reason:
            _remove_folder(zfs, clone.mountpoint if found is None else found.mountpoint)
            _destroy_above(zfs, pool_of(clone.dataset), clone.restore)
    except ZfsError as error:
        reason = error.problem
    return reason and f"The clone {clone.dataset} still exists: {reason}"


def _objection(found: Existing, clone: Clone, guid: str) -> str:
    """Return why a dataset is not the clone that the restore created, or ""."""
    if not is_of_restores(clone.dataset) or found.restore != clone.restore:
        return f"its property {RESTORE} is not {clone.restore}, so it belongs to someone else"
    if not found.origin:
        return "it was promoted, so it is no longer a clone; destroy it by hand if it is not needed"
    if (found.guid != guid) if guid else (found.origin != clone.origin):
        return "another dataset has its name now"
    return ""


def _destroy(zfs: Zfs, dataset: str) -> str:
    """Destroy one dataset. Wait while it is in use. Returns "", or why it could not be destroyed."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            zfs.run("destroy", dataset)
            return ""
        except DatasetNotFound:
            return ""
        except ZfsError as error:
            if "has children" in error.problem or "has dependent clones" in error.problem:
                return "it has snapshots or child datasets that this restore did not create; destroy them first"
            if "busy" not in error.problem or time.monotonic() > end:
                return printable(error.problem)
        time.sleep(_PAUSE)


def _create_above(zfs: Zfs, pool: str, restore: str) -> None:
    """Create the dataset of the pool and that of the restore, unless they exist. Raises ZfsError."""
    top = restores_of(pool)
    options = {**_OPTIONS, "mountpoint": f"/{top}", RESTORES: "yes"}
    _create_one(zfs, top, options, RESTORES, "yes")
    _create_one(zfs, folder_of(pool, restore), {"canmount": "noauto", RESTORE: restore}, RESTORE, restore)


def _create_one(zfs: Zfs, dataset: str, options: Mapping[str, str], key: str, owner: str) -> None:
    try:
        zfs.run("create", *_words(options), dataset)
    except SnapshotExists as error:
        if _mountpoint_of_owned(zfs, dataset, key, owner) is None:
            raise ZfsError(
                f"The dataset {dataset} exists, and this collection did not create it",
                f"Rename it with 'zfs rename', because its name is reserved for restores ({key} is not '{owner}')",
            ) from error


def _destroy_above(zfs: Zfs, pool: str, restore: str) -> None:
    """Destroy the dataset of the restore and that of the pool, if they are ours and empty."""
    for dataset, key, owner in ((folder_of(pool, restore), RESTORE, restore), (restores_of(pool), RESTORES, "yes")):
        mountpoint = _mountpoint_of_owned(zfs, dataset, key, owner)
        if mountpoint is not None:
            try:
                zfs.run("destroy", dataset)
            except DatasetNotFound:
                pass
            except ZfsError:
                return  # it has children: other clones, or something of a user
            _remove_folder(zfs, mountpoint)


def _mountpoint_of_owned(zfs: Zfs, dataset: str, key: str, owner: str) -> str | None:
    """Return the mountpoint of a dataset whose property `key` was set to `owner` on it, or None for any other."""
    try:
        rows = zfs.rows("get", "-H", "-p", "-o", "value,source", f"{key},mountpoint", dataset)
    except DatasetNotFound:
        return None
    return rows[1][0] if len(rows) == 2 and rows[0] == [owner, "local"] else None


def _remove_folder(zfs: Zfs, path: str) -> None:
    """Remove an empty folder that was created for a mount. rmdir removes nothing else."""
    if path.startswith("/"):
        try:
            zfs.host.run(["rmdir", path], _RMDIR_SECONDS)
        except OSError:
            pass


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
