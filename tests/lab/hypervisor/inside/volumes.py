# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datastores: the mounts below /vmfs/volumes, and paths of the form `[datastore] folder/file`."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from pathlib import Path

from . import kernel
from .errors import Refused

VOLUMES = Path("/vmfs/volumes")
_PATH = re.compile(r"\[([^\]/]+)\] ?(.*)")
# As ESXi mounts NFS 3: over TCP, and a call that gets no answer is repeated until it does.
_OPTIONS = "vers=3,proto=tcp,mountproto=tcp,nolock,hard,addr={server},timeo=50,actimeo=1,lookupcache=none"

_mounting = threading.Lock()


def uuid(server: str, export: str) -> str:
    """Return the UUID of an NFS datastore, which is the same on every host. The lab's vCenter computes it too."""
    digest = hashlib.sha256(f"{server}:{export}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:16]}"


def mount(server: str, export: str, name: str) -> str:
    """Mount an NFS export as a datastore, unless it is mounted. Return its UUID. `name` is a link to it."""
    target, link = VOLUMES / uuid(server, export), VOLUMES / name
    with _mounting:
        target.mkdir(parents=True, exist_ok=True)
        if not target.is_mount():
            _mount_nfs(server, export, target)
        link.unlink(missing_ok=True)
        link.symlink_to(target.name)
    return target.name


def _mount_nfs(server: str, export: str, target: Path) -> None:
    try:
        kernel.mount(f"{server}:{export}", target, "nfs", kernel.NOATIME, _OPTIONS.format(server=server))
    except OSError as error:
        target.rmdir()
        raise Refused("PlatformConfigFault", f"{server}:{export} cannot be mounted: {error.strerror}") from None


def unmount(name: str) -> None:
    """Unmount a datastore by its name or UUID. Raises Refused if it is not mounted, or if a file in it is open."""
    target = (VOLUMES / name).resolve()
    with _mounting:
        if not target.is_mount():
            raise Refused("NotFound", f"the datastore {name} is not mounted")
        try:
            kernel.unmount(target)
        except OSError as error:
            raise Refused("ResourceInUse", f"the datastore {name} cannot be unmounted: {error.strerror}") from None
        target.rmdir()
        for link in VOLUMES.iterdir():
            if link.is_symlink() and os.readlink(link) == target.name:
                link.unlink()


def locate(datastore_path: str) -> Path:
    """Return the file of a path `[datastore] folder/file`, below the UUID of the datastore.

    The datastore is named by its name or its UUID.
    """
    found = _PATH.fullmatch(datastore_path)
    if found is None:
        raise Refused("InvalidDatastorePath", f"{datastore_path} is not a path of the form [datastore] folder/file")
    volume = VOLUMES / found[1]
    if not volume.is_dir():
        raise Refused("InvalidDatastore", f"the datastore {found[1]} is not mounted")
    path = volume.resolve() / found[2]
    if ".." in path.parts:
        raise Refused("InvalidDatastorePath", f"{datastore_path} leaves the datastore")
    return path


def resolve(folder: Path, name: str) -> Path:
    """Return the file that a file in `folder` names: in the same folder, or with its whole path.

    A path below /vmfs/volumes can have the name of a datastore. It is returned with the UUID.
    """
    path = folder / name
    parts = path.parts
    if path.is_relative_to(VOLUMES) and len(parts) > 3 and (VOLUMES / parts[3]).is_symlink():
        return (VOLUMES / parts[3]).resolve().joinpath(*parts[4:])
    return path


def named(file: Path, folder: Path) -> str:
    """Return how a file in `folder` names another one: without the folder if they are in the same one."""
    return file.name if file.parent == folder else str(file)
