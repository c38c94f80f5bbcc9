# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what administrators sort VMs by: folders, resource pools, custom attributes and tags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import AbstractSet, Any, Mapping, Sequence

from . import inventory, sdk
from .inventory_paths import FOLDERS, POOLS, read_paths
from .session import Session, understands
from .tags import Tag, read_tags

KINDS = frozenset({"folder", "resource_pool", "attributes", "tags"})
_PURPOSE = "read the labels of VMs"
_PROPERTIES = {
    "folder": ("parent", "parentVApp"),
    "resource_pool": ("resourcePool",),
    "attributes": ("customValue",),
}


@dataclass(frozen=True)
class VmLabels:
    """The labels of a VM. A label is None if it was not requested, or if the account could not read it.

    `folder` and `resource_pool` are paths in the form of inventory_paths.canonical(). A vApp counts as a folder and as
    a resource pool of its VMs. A template has no resource pool: "".
    """

    folder: str | None = None
    resource_pool: str | None = None
    attributes: Mapping[str, str] | None = None  # name -> value
    tags: frozenset[Tag] | None = None  # (category, name)


def read_labels(
    session: Session, moids: Sequence[str], kinds: AbstractSet[str], categories: AbstractSet[str] | None = None
) -> dict[str, VmLabels]:
    """Return the labels of `kinds` (a subset of KINDS) of each VM, by managed object ID. Other labels are not read.

    If `categories` is given, only tags of these categories are read, which needs fewer requests. Folders, resource
    pools and attributes need a call for each 500 VMs and about ten more. Raises TagsUnreadable if tags are requested
    and the server does not return them (for example an ESXi host), and what Session.call raises.
    """
    moids = list(dict.fromkeys(moids))
    if not moids:
        return {}
    tags = read_tags(session, moids, categories) if "tags" in kinds else {}
    return _read(session, moids, kinds, tags)


@understands
def _read(
    session: Session, moids: Sequence[str], kinds: AbstractSet[str], tags: Mapping[str, frozenset[Tag] | None]
) -> dict[str, VmLabels]:
    properties = [path for kind in sorted(kinds & _PROPERTIES.keys()) for path in _PROPERTIES[kind]]
    machines = inventory.objects_of(session, sdk.vim.VirtualMachine, moids)
    found = inventory.read(session, machines, properties, _PURPOSE, patient=True) if properties else {}
    folders = _paths(session, found, _PROPERTIES["folder"], FOLDERS) if "folder" in kinds else {}
    pools = _paths(session, found, _PROPERTIES["resource_pool"], POOLS) if "resource_pool" in kinds else {}
    names = _attribute_names(session) if "attributes" in kinds else None
    return {
        moid: VmLabels(
            folder=folders.get(moid),
            resource_pool=pools.get(moid, _without_pool(found.get(moid)) if "resource_pool" in kinds else None),
            attributes=_attributes(found.get(moid), names),
            tags=tags.get(moid),
        )
        for moid in moids
    }


def _paths(
    session: Session, found: Mapping[str, inventory.Properties], properties: Sequence[str], of_vapps: Sequence[str]
) -> dict[str, str]:
    """Return the path of the object that one of `properties` of a VM names, by managed object ID of the VM."""
    homes = {
        moid: next((known[path] for path in properties if known.get(path) is not None), None)
        for moid, known in found.items()
    }
    paths = read_paths(session, [home for home in homes.values() if home is not None], of_vapps)
    return {moid: paths[home._moId] for moid, home in homes.items() if home is not None and home._moId in paths}


def _without_pool(known: inventory.Properties | None) -> str | None:
    """Return "" for a VM that certainly has no resource pool."""
    if known is None or "resourcePool" in known or "resourcePool" in known.get(inventory.UNREAD, {}):
        return None
    return ""


def _attribute_names(session: Session) -> dict[int, str] | None:
    """Return the names of the custom attributes by key. None if the account cannot read them. An ESXi host has none."""
    manager = getattr(session.content, "customFieldsManager", None)
    if manager is None:
        return {}
    found = inventory.read(session, [manager], ["field"], "read the names of the custom attributes", patient=True)
    known = found.get(manager._moId, {})
    if inventory.UNREAD in known:
        return None
    return {int(field.key): str(inventory.bounded(field.name)) for field in known.get("field", ())}


def _attributes(known: inventory.Properties | None, names: Mapping[int, str] | None) -> dict[str, str] | None:
    if known is None or names is None or "customValue" in known.get(inventory.UNREAD, {}):
        return None
    values: list[Any] = [one for one in known.get("customValue", ()) if hasattr(one, "value")]
    return {names[one.key]: str(inventory.bounded(one.value)) for one in values if one.key in names}
