# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tags of VMs from a vCenter. A tag has a category and a name."""

from __future__ import annotations

from typing import Any, Collection, Iterator, Sequence

from ..errors import PermissionDenied, TagsUnreadable, VSphereError
from . import inventory
from .rest import Rest
from .session import MISREAD, Session

PURPOSE = "read the tags of VMs"
_MOST = 10_000  # categories, or tags
_LONGEST = 1024  # characters of an ID
_MOST_REFUSED = 50  # maximum number of requests that a server may refuse because of one VM

Tag = tuple[str, str]


def read_tags(
    session: Session, moids: Sequence[str], categories: Collection[str] | None = None
) -> dict[str, frozenset[Tag] | None]:
    """Return the tags (category, name) of VMs, by managed object ID. If `categories` is given, read only their tags.

    The value is None for a VM that the account may not read. Tags that the account may not read are absent, because the
    server does not say that they exist. Needs one request for each 500 VMs, one for each category of the server, and
    one for each tag of `categories` that a VM has. Raises TagsUnreadable.
    """
    if not moids:
        return {}
    if str(session.content.about.apiType) != "VirtualCenter":
        raise TagsUnreadable(
            f"{session.endpoint} is an ESXi host, and only a vCenter has tags",
            "Remove the tags from the policies, or use a credential for the vCenter that manages this host",
        )
    try:
        with Rest(session, PURPOSE) as rest:
            return _Reader(rest).read(moids, categories)
    except VSphereError as error:
        raise _unreadable(error.problem, error.remedy) from None
    except MISREAD as error:
        wrong = session.no_answer(PURPOSE, error)
        raise _unreadable(wrong.problem, wrong.remedy) from None


def _unreadable(problem: str, remedy: str) -> TagsUnreadable:
    return TagsUnreadable(f"The tags of VMs cannot be read: {problem}", remedy)


class _Reader:
    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._ids: dict[str, str] = {}  # all IDs of attached tags, so that each is kept in memory once

    def read(self, moids: Sequence[str], wanted: Collection[str] | None) -> dict[str, frozenset[Tag] | None]:
        categories = {key: name for key, name in self._categories() if wanted is None or name in wanted}
        if not categories:
            return dict.fromkeys(moids, frozenset())
        attached = self._attached(moids)
        used = set(self._ids)
        if wanted is not None:
            used &= {tag for category in categories for tag in self._tags_of(category)}
        tags = dict(self._tags(used, categories))
        return {
            moid: None if found is None else frozenset(tags[tag] for tag in found if tag in tags)
            for moid, found in attached.items()
        }

    def _categories(self) -> Iterator[tuple[str, str]]:
        """Yield the ID and name of each category."""
        for key in _ids(self._rest.collection("category")):
            found = self._rest.get("category", key)
            if found is not None:
                yield key, _text(found["name"])

    def _tags(self, keys: Collection[str], categories: dict[str, str]) -> Iterator[tuple[str, Tag]]:
        """Yield the ID of each tag, and the tag."""
        for key in sorted(keys):
            found = self._rest.get("tag", key)
            if found is not None and found["category_id"] in categories:
                yield key, (categories[found["category_id"]], _text(found["name"]))

    def _tags_of(self, category: str) -> list[str]:
        action = "list-tags-for-category"
        if self._rest.form.wrapped:
            return _ids(self._rest.act("tag", action, {}, item=category))
        return _ids(self._rest.act("tag", action, {"category_id": category}))

    def _attached(self, moids: Sequence[str]) -> dict[str, frozenset[str] | None]:
        """Return the IDs of the tags of each VM. None for a VM that the account may not read."""
        found: dict[str, frozenset[str] | None] = {}
        waiting = [moids[at : at + inventory.PAGE] for at in range(0, len(moids), inventory.PAGE)]
        refusals, refused = 0, None
        while waiting:
            some = waiting.pop()
            try:
                found.update(self._attached_to(some))
            except PermissionDenied as error:
                refusals, refused = refusals + 1, error
                if refusals > _MOST_REFUSED:
                    raise
                if len(some) == 1:
                    found[some[0]] = None
                else:  # the server does not name the VM
                    middle = len(some) // 2
                    waiting += [some[:middle], some[middle:]]
        if refused is not None and all(tags is None for tags in found.values()):
            raise refused
        return found

    def _attached_to(self, moids: Sequence[str]) -> dict[str, frozenset[str]]:
        objects = [{"type": "VirtualMachine", "id": moid} for moid in moids]
        found = self._rest.act("tag-association", "list-attached-tags-on-objects", {"object_ids": objects})
        tags: dict[str, frozenset[str]] = dict.fromkeys(moids, frozenset())  # VMs without tags may be absent
        for one in found:
            if one["object_id"]["type"] == "VirtualMachine" and one["object_id"]["id"] in tags:
                tags[one["object_id"]["id"]] |= frozenset(self._shared(key) for key in _ids(one["tag_ids"]))
        return tags

    def _shared(self, key: str) -> str:
        if len(self._ids) > _MOST:
            raise ValueError("the VMs have more tags than a vCenter supports")
        return self._ids.setdefault(key, key)


def _ids(found: Any) -> list[str]:
    if not isinstance(found, list) or len(found) > _MOST or not all(map(_is_id, found)):
        raise ValueError("the response is not a list of IDs")
    return found


def _is_id(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= _LONGEST


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError("a name is not a text")
    return str(inventory.bounded(name))
