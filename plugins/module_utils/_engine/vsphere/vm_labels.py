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


def paths_of(kinds: AbstractSet[str]) -> list[str]:
    """Return the properties of a VM that its labels of `kinds` (a subset of KINDS) are made of."""
    return [path for kind in sorted(kinds & _PROPERTIES.keys()) for path in _PROPERTIES[kind]]


def read_labels(
    session: Session,
    found: Mapping[str, inventory.Properties],
    kinds: AbstractSet[str],
    categories: AbstractSet[str] | None = None,
) -> dict[str, VmLabels]:
    """Return the labels of `kinds` of each VM, by managed object ID. Other labels are not read.

    `found` are the properties paths_of(kinds) of the VMs, and maybe others. If `categories` is given, only tags of
    these categories are read, which needs fewer requests. Folders, resource pools and attributes need about ten calls.
    Raises TagsUnreadable if tags are requested and the server does not return them (for example an ESXi host), and
    what Session.call raises.
    """
    if not found:
        return {}
    tags = read_tags(session, list(found), categories) if "tags" in kinds else {}
    return _read(session, found, kinds, tags)


@understands
def _read(
    session: Session,
    found: Mapping[str, inventory.Properties],
    kinds: AbstractSet[str],
    tags: Mapping[str, frozenset[Tag] | None],
) -> dict[str, VmLabels]:
    folders = _paths(session, found, _PROPERTIES["folder"], FOLDERS) if "folder" in kinds else {}
    pools = _paths(session, found, _PROPERTIES["resource_pool"], POOLS) if "resource_pool" in kinds else {}
    names = _attribute_names(session, found) if "attributes" in kinds else None
    return {
        moid: VmLabels(
            folder=folders.get(moid),
            resource_pool=pools.get(moid, _without_pool(known) if "resource_pool" in kinds else None),
            attributes=_attributes(known, names),
            tags=tags.get(moid),
        )
        for moid, known in found.items()
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


def _without_pool(known: inventory.Properties) -> str | None:
    """Return "" for a VM that certainly has no resource pool."""
    if "resourcePool" in known or "resourcePool" in known.get(inventory.UNREAD, {}):
        return None
    return ""


def _attribute_names(session: Session, found: Mapping[str, inventory.Properties]) -> dict[int, str]:
    """Return the names of the custom attributes by key. They are not read if no VM has an attribute."""
    example = next((moid for moid, known in found.items() if known.get("customValue")), None)
    if example is None:
        return {}
    names = _names_in(session, getattr(session.content, "customFieldsManager", None), "field")
    # An account with permissions only on some VMs may not read the manager.
    return names or _names_in(session, session.managed_object(sdk.vim.VirtualMachine, example), "availableField")


def _names_in(session: Session, source: Any, path: str) -> dict[int, str]:
    if source is None:
        return {}
    found = inventory.read(session, [source], [path], "read the names of the custom attributes", patient=True)
    fields = found.get(source._moId, {}).get(path, ())
    return {int(field.key): str(inventory.bounded(field.name)) for field in fields}


def _attributes(known: inventory.Properties, names: Mapping[int, str] | None) -> dict[str, str] | None:
    if names is None or "customValue" in known.get(inventory.UNREAD, {}):
        return None
    values = known.get("customValue", ())
    if any(value.key not in names for value in values):
        return None
    return {names[one.key]: str(inventory.bounded(one.value)) for one in values if hasattr(one, "value")}
