# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoes what a restore did on the storage host, step by step: a hold, a folder, a clone, an export.

Each undo looks first, and changes only what has the mark of the restore. The thing may not exist, because the restore
was killed before it created it. An undo can be repeated.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

from ..errors import QuiesceError
from ..exports.server import NfsServer
from ..zfs import clones
from ..zfs.command import Zfs
from ..zfs.holds import release
from .clones import Export, withdraw
from .folder_copy import Place, remove_copy

Data = Mapping[str, Any]


def undo(zfs: Zfs, kind: str, data: Data, server: NfsServer | None = None) -> str:
    """Undo one step of the journal. Returns "" if nothing of it exists any more, or else a sentence: what is left, and
    why. Raises KeyError for a step of another kind.

    Before a folder is removed or a clone destroyed, the caller must know that no VM is registered there.
    """
    try:
        return _UNDO[kind](zfs, data, server or NfsServer(zfs=zfs))
    except QuiesceError as error:
        return str(error).rstrip(".")


def _hold(zfs: Zfs, data: Data, server: NfsServer) -> str:
    release(zfs, data["snapshot"], data["tag"])
    return ""


def _folder(zfs: Zfs, data: Data, server: NfsServer) -> str:
    return remove_copy(zfs.host, Place.of(data))


def _clone(zfs: Zfs, data: Data, server: NfsServer) -> str:
    return clones.destroy(zfs, clones.Clone.of(data), str(data.get("guid") or ""))


def _export(zfs: Zfs, data: Data, server: NfsServer) -> str:
    withdraw(server, Export.of(data))
    return ""


_UNDO: Mapping[str, Callable[[Zfs, Data, NfsServer], str]] = {
    "hold": _hold,
    "folder": _folder,
    "clone": _clone,
    "export": _export,
}
KINDS = frozenset(_UNDO)
