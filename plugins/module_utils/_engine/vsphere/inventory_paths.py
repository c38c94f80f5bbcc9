# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of folders and resource pools in a server's inventory.

A path starts with "/" and the datacenter: "/DC0/vm/prod/web", "/DC0/host/Cluster/Resources/prod". The names in it are
encoded as in the vSphere API ("%2f" for a "/" in a name). Other tools (govc, community.vmware) show the same paths.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Iterable, Mapping, Sequence

from . import inventory, sdk
from .session import Session, understands

FOLDERS = ("parentFolder", "parentVApp")  # what leads from a vApp to the folder that contains it
POOLS = ("parent",)  # and to the resource pool that contains it
_PURPOSE = "read the folders and resource pools of VMs"
_DEEPEST = 64  # levels of the inventory that are read


@lru_cache(maxsize=1024)  # policies compare the same few paths with each VM
def canonical(path: str) -> str:
    """Return the one form of a path that users may write in several ways.

    The first "/" can be missing, the last one is ignored, and characters that need no encoding may be encoded.
    """
    parts = (inventory.escape(inventory.unescape(part)) for part in path.split("/") if part)
    return "/" + "/".join(parts)


@understands
def read_paths(session: Session, objects: Iterable[Any], of_vapps: Sequence[str]) -> dict[str, str]:
    """Return the paths of folders or pools, by managed object ID. Those that the account cannot read are absent.

    Needs one call for each level of the inventory, and a second one where there are vApps. `of_vapps` is FOLDERS or
    POOLS.
    """
    starts = {item._moId: item for item in objects}
    root = session.content.rootFolder._moId
    known: dict[str, tuple[str, str]] = {root: ("", "")}  # -> (name, parent)
    level = starts
    for _unused in range(_DEEPEST):
        level = {moid: item for moid, item in level.items() if moid not in known}
        if not level:
            break
        level = _read_level(session, list(level.values()), of_vapps, known)
    paths = {moid: _path(moid, known, root) for moid in starts}
    return {moid: path for moid, path in paths.items() if path}


def _read_level(
    session: Session, objects: Sequence[Any], of_vapps: Sequence[str], known: dict[str, tuple[str, str]]
) -> dict[str, Any]:
    """Add the objects to `known`, and return their parents."""
    vapp = sdk.vim.VirtualApp
    parents: dict[str, Any] = {}
    for kind, up in ((vapp, of_vapps), (sdk.vim.ManagedEntity, POOLS)):
        some = [item for item in objects if isinstance(item, vapp) is (kind is vapp)]
        found = inventory.read(session, some, ["name", *up], _PURPOSE, patient=True, kind=kind)
        for item in some:
            properties = found.get(item._moId, {})
            parent = next((properties[path] for path in up if properties.get(path) is not None), None)
            known[item._moId] = (str(properties.get("name", "")), getattr(parent, "_moId", ""))
            if parent is not None:
                parents[parent._moId] = parent
    return parents


def _path(moid: str, known: Mapping[str, tuple[str, str]], root: str) -> str:
    """Return the path of an object, or "" if an object above it could not be read or the parents form a circle."""
    names: list[str] = []
    while moid != root and len(names) < _DEEPEST:
        name, moid = known.get(moid, ("", ""))
        if not name:
            return ""
        names.append(inventory.escape(inventory.unescape(name)))
    return "/" + "/".join(reversed(names)) if moid == root else ""
