# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datastores: the mounts below /vmfs/volumes, and paths of the form `[datastore] folder/file`."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

from . import kernel
from .errors import Refused

VOLUMES = Path("/vmfs/volumes")
_PATH = re.compile(r"\[([^\]]+)\] (.+)")
# As ESXi mounts NFS 3: over TCP, and a call that gets no answer is repeated until it does.
_OPTIONS = "vers=3,proto=tcp,mountproto=tcp,nolock,hard,addr={server},timeo=50,actimeo=1,lookupcache=none"

_mounting = threading.Lock()


def mount(server: str, export: str, name: str) -> str:
    """Mount an NFS export as a datastore, unless it is mounted. Return its UUID, which stays the same on every host."""
    digest = hashlib.sha256(f"{server}:{export}".encode()).hexdigest()
    uuid = f"{digest[:8]}-{digest[8:16]}"
    target, link = VOLUMES / uuid, VOLUMES / name
    with _mounting:
        target.mkdir(parents=True, exist_ok=True)
        if not target.is_mount():
            _mount_nfs(server, export, target)
        link.unlink(missing_ok=True)
        link.symlink_to(uuid)
    return uuid


def _mount_nfs(server: str, export: str, target: Path) -> None:
    try:
        kernel.mount(f"{server}:{export}", target, "nfs", kernel.NOATIME, _OPTIONS.format(server=server))
    except OSError as error:
        raise Refused("PlatformConfigFault", f"{server}:{export} cannot be mounted: {error.strerror}") from None


def unmount(name: str) -> None:
    with _mounting:
        kernel.unmount((VOLUMES / name).resolve())
        (VOLUMES / name).unlink()


def locate(datastore_path: str) -> Path:
    """Return the file of a path `[datastore] folder/file`, below the UUID of the datastore."""
    found = _PATH.fullmatch(datastore_path)
    if found is None:
        raise Refused("InvalidDatastorePath", f"{datastore_path} is not a path of the form [datastore] folder/file")
    volume = VOLUMES / found[1]
    if not volume.is_symlink():
        raise Refused("InvalidDatastore", f"the datastore {found[1]} is not mounted")
    path = volume.resolve() / found[2]
    if ".." in path.parts:
        raise Refused("InvalidDatastorePath", f"{datastore_path} leaves the datastore")
    return path
