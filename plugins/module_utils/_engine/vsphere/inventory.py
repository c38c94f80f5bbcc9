# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads properties in bulk: many objects in one call, by dotted paths.

All reads use this module, for two reasons. Each attribute of a managed object costs a separate call. Whole objects
(vm.runtime) are slow to read, and pyVmomi fails on servers that leave enumerations empty.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Iterator, Sequence

from ..errors import PermissionDenied, SessionLost
from ..text import printable
from . import faults, sdk
from .session import Session, understands

_TRIES = 3  # attempts to read a view if its session ends during the read
_MOST_REFUSED = 200  # maximum number of calls that a server may refuse because of one object
_ENCODED = {"%": "%25", "/": "%2f", "\\": "%5c"}
_ESCAPE = re.compile("%(25|2f|5c)", re.IGNORECASE)
_LONGEST = 1024  # characters of a text; vSphere allows 80 for a name
PAGE = 500  # objects per response; limits the memory that a response needs on both sides
MOST = 200_000  # objects in all pages of a response; a vCenter supports 45,000 VMs

# Dotted path -> value. A path that is unset or could not be read is absent. UNREAD maps the paths that could not be
# read to the privilege that the account lacks, or "".
Properties = dict[str, Any]
UNREAD = "(unread)"


@understands
def read(
    session: Session,
    objects: Sequence[Any],
    paths: Sequence[str],
    purpose: str,
    patient: bool = False,
    kind: Any = None,
) -> dict[str, Properties]:
    """Return the properties `paths` of `objects`, by managed object ID. Deleted objects are absent.

    The objects have one type, or `kind` is a type that all their types extend. Raises PermissionDenied for an object
    that the account may not read. If `patient`, the properties of such an object are marked as unread instead.
    """
    if not objects:
        return {}

    def some(chosen: Sequence[Any]) -> dict[str, Properties]:
        object_set = [sdk.vmodl.query.PropertyCollector.ObjectSpec(obj=item) for item in chosen]
        return dict(_retrieve(session, object_set, kind or type(objects[0]), paths, purpose, patient))

    return _without_refused(objects, some, paths) if patient else some(objects)


@understands
def read_referenced(
    session: Session,
    sources: Sequence[Any],
    reference: str,
    kind: Any,
    paths: Sequence[str],
    purpose: str,
    patient: bool = False,
) -> dict[str, Properties]:
    """Like `read`, in one call, for all `kind` objects that the property `reference` of any of `sources` lists.

    If `patient`, it makes more calls if the server refuses the whole call because of one object.
    """
    if not sources:
        return {}
    try:
        return dict(_retrieve(session, referenced(sources, reference), kind, paths, purpose, patient))
    except PermissionDenied:
        if not patient:
            raise
    lists = read(session, sources, [reference], purpose)
    objects = {item._moId: item for properties in lists.values() for item in properties.get(reference, ())}
    return read(session, [item for item in objects.values() if isinstance(item, kind)], paths, purpose, patient=True)


def _without_refused(
    objects: Sequence[Any], retrieve: Callable[[Sequence[Any]], dict[str, Properties]], paths: Sequence[str]
) -> dict[str, Properties]:
    """Return the result of `retrieve` for `objects`, and mark objects as unread if the server refuses calls because of
    them.
    """
    found: dict[str, Properties] = {}
    waiting, refusals = [list(objects)], 0
    while waiting:
        some = waiting.pop()
        try:
            found.update(retrieve(some))
        except PermissionDenied as error:
            refusals += 1
            if refusals > _MOST_REFUSED:
                raise
            refused = [item for item in some if len(some) == 1 or item._moId == error.details.get("object")]
            privilege = str(error.details.get("privilege", ""))
            found.update({item._moId: {UNREAD: dict.fromkeys(paths, privilege)} for item in refused})
            left = [item for item in some if item not in refused]
            middle = 0 if refused else len(left) // 2  # the server did not name the object
            waiting += [part for part in (left[:middle], left[middle:]) if part]
    return found


def referenced(sources: Sequence[Any], reference: str) -> list[Any]:
    """Return the object set of a filter for the objects that the property `reference` of any of `sources` lists."""
    collector = sdk.vmodl.query.PropertyCollector
    step = collector.TraversalSpec(name=reference, type=type(sources[0]), path=reference, skip=False)
    return [collector.ObjectSpec(obj=source, skip=True, selectSet=[step]) for source in sources]


def read_all(
    session: Session, kind: Any, paths: Sequence[str], purpose: str, patient: bool = False
) -> dict[str, Properties]:
    """Return the properties `paths` of every `kind` object below the root folder. `patient` is as in `read`.

    This is slow if there are many objects. Do not use it for VMs during a run.
    """
    for _unused in range(_TRIES):
        logins = session.logins
        found = _read_view(session, kind, paths, purpose, patient)
        if session.logins == logins:  # a view is lost with its session and then reads as empty
            return found
    raise SessionLost(f"{session.endpoint} repeatedly ended the session during the request to {purpose}", "Try again")


@understands
def _read_view(session: Session, kind: Any, paths: Sequence[str], purpose: str, patient: bool) -> dict[str, Properties]:
    view = session.call(
        purpose,
        session.content.viewManager.CreateContainerView,
        container=session.content.rootFolder,
        type=[kind],
        recursive=True,
    )
    return read_referenced(
        session, [view], "view", kind, paths, purpose, patient
    )  # the server deletes the view with the session


def _retrieve(
    session: Session, object_set: list[Any], kind: Any, paths: Sequence[str], purpose: str, patient: bool = False
) -> Iterator[tuple[str, Properties]]:
    collector = session.content.propertyCollector
    options = sdk.vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=PAGE)
    specs = [filter_spec(object_set, kind, paths)]
    page = session.call(purpose, collector.RetrievePropertiesEx, specSet=specs, options=options)
    seen: set[str] = set()
    while page is not None:
        before = len(seen)
        for item in page.objects:
            if not patient:
                refuse_unreadable(session, item, purpose)
            seen.add(item.obj._moId)
            found = {prop.name: bounded(prop.val) for prop in item.propSet}
            unread = unread_of(item)
            yield item.obj._moId, {**found, UNREAD: unread} if unread else found
        if not page.token:
            return
        if not before < len(seen) <= MOST:  # a server could send pages without new objects forever
            raise session.no_answer(purpose, ValueError("the pages of the result never end"))
        page = session.call(purpose, collector.ContinueRetrievePropertiesEx, token=page.token)


def filter_spec(object_set: list[Any], kind: Any, paths: Sequence[str]) -> Any:
    """Return the filter for the properties `paths` of the `kind` objects in an object set."""
    types = sdk.vmodl.query.PropertyCollector
    return types.FilterSpec(
        objectSet=object_set,
        propSet=[types.PropertySpec(type=kind, pathSet=list(paths), all=False)],
        reportMissingObjectsInResults=True,
    )


def unread_of(item: Any) -> dict[str, str]:
    """Return the paths of an object that could not be read, each with the privilege that the account lacks, or ""."""
    return {
        missing.path: printable(getattr(faults.bare(missing.fault), "privilegeId", None) or "", 100)
        for missing in item.missingSet or ()
    }


def refuse_unreadable(session: Session, item: Any, purpose: str) -> None:
    """Raise PermissionDenied for an object that the account may not read.

    Otherwise the object would look as if it did not have the property.
    """
    for missing in item.missingSet or ():
        if faults.kind_of(faults.bare(missing.fault)) == "NoPermission":
            raise faults.translate(faults.bare(missing.fault), str(session.endpoint), purpose, session.username)


def bounded(value: Any) -> Any:
    """Shorten a text that is longer than any vSphere text, so that it does not fill records and logs."""
    return str(value[:_LONGEST]) if isinstance(value, str) and len(value) > _LONGEST else value


def unescape(name: str) -> str:
    """Decode a vSphere name. Servers encode only '%', '/' and '\\', as %25, %2f and %5c (API: ManagedEntity.name)."""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), name)


def escape(name: str) -> str:
    """Encode a name as servers do."""
    return "".join(_ENCODED.get(character, character) for character in name)


def objects_of(session: Session, kind: Any, moids: Iterable[str]) -> list[Any]:
    """Return pyVmomi objects for managed object IDs, without a call."""
    return [session.managed_object(kind, moid) for moid in moids]
