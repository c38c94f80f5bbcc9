# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bulk property reads: many objects, one call, dotted paths.

Whole objects (vm.runtime) cost more and break pyVmomi on servers that leave enumerations empty, and every attribute of
a managed object is a call of its own; so all reading goes through here.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Iterator, Sequence

from ..errors import PermissionDenied, SessionLost
from ..text import printable
from . import faults, sdk
from .session import Session, understands

_TRIES = 3  # reads of a view whose session ends meanwhile
_MOST_REFUSED = 200  # calls that a server may refuse because of one object, before nobody asks it any more
_ESCAPE = re.compile("%(25|2f|5c)", re.IGNORECASE)
_LONGEST = 1024  # characters of a text; vSphere takes 80 for a name
PAGE = 500  # objects per answer: bounds the memory that one answer takes on either side
MOST = 200_000  # objects in all pages of an answer; a vCenter takes 45,000 VMs

# Dotted path -> value. A path that is unset or could not be read is absent; in the second case UNREAD has it, with the
# privilege that the account lacks for it, or "".
Properties = dict[str, Any]
UNREAD = "(unread)"


@understands
def read(
    session: Session, objects: Sequence[Any], paths: Sequence[str], purpose: str, patient: bool = False
) -> dict[str, Properties]:
    """The properties `paths` of `objects` of one type, by managed object ID; objects that are gone are absent.

    Raises PermissionDenied for an object that may not be read; when `patient`, its properties are merely unread.
    """
    if not objects:
        return {}

    def some(chosen: Sequence[Any]) -> dict[str, Properties]:
        object_set = [sdk.vmodl.query.PropertyCollector.ObjectSpec(obj=item) for item in chosen]
        return dict(_retrieve(session, object_set, type(objects[0]), paths, purpose, patient))

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
    """The same of all `kind` objects that the property `reference` of any of `sources` lists, in one call.

    When `patient` it takes more calls where the server refuses all of them for the sake of one.
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
    """What `retrieve` says of `objects`, and of those for whose sake the server refuses the whole call that they are
    unread.
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
            middle = 0 if refused else len(left) // 2  # it does not say which one
            waiting += [part for part in (left[:middle], left[middle:]) if part]
    return found


def referenced(sources: Sequence[Any], reference: str) -> list[Any]:
    """The object set of a filter: the objects that the property `reference` of any of `sources` lists."""
    collector = sdk.vmodl.query.PropertyCollector
    step = collector.TraversalSpec(name=reference, type=type(sources[0]), path=reference, skip=False)
    return [collector.ObjectSpec(obj=source, skip=True, selectSet=[step]) for source in sources]


def read_all(
    session: Session, kind: Any, paths: Sequence[str], purpose: str, patient: bool = False
) -> dict[str, Properties]:
    """The properties `paths` of every `kind` object below the root folder. Costs time with their number: never for VMs
    in a run. `patient` as in `read`.
    """
    for _unused in range(_TRIES):
        logins = session.logins
        found = _read_view(session, kind, paths, purpose, patient)
        if session.logins == logins:  # a view is lost with its session, and reads as an empty one then
            return found
    raise SessionLost(f"{session.endpoint} ended session after session while it was asked to {purpose}", "Try again")


@understands
def _read_view(session: Session, kind: Any, paths: Sequence[str], purpose: str, patient: bool) -> dict[str, Properties]:
    view = session.call(
        purpose,
        session.content.viewManager.CreateContainerView,
        container=session.content.rootFolder,
        type=[kind],
        recursive=True,
    )
    return read_referenced(session, [view], "view", kind, paths, purpose, patient)  # the view goes with the session


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
        if not before < len(seen) <= MOST:  # a page that brings nothing new may be followed by as many as one likes
            raise session.no_answer(purpose, ValueError("its pages have no end"))
        page = session.call(purpose, collector.ContinueRetrievePropertiesEx, token=page.token)


def filter_spec(object_set: list[Any], kind: Any, paths: Sequence[str]) -> Any:
    """The properties `paths` of the `kind` objects that an object set selects."""
    types = sdk.vmodl.query.PropertyCollector
    return types.FilterSpec(
        objectSet=object_set,
        propSet=[types.PropertySpec(type=kind, pathSet=list(paths), all=False)],
        reportMissingObjectsInResults=True,
    )


def unread_of(item: Any) -> dict[str, str]:
    """The paths of an object that could not be read, each with the privilege that the account lacks for it, or ""."""
    return {
        missing.path: printable(getattr(faults.bare(missing.fault), "privilegeId", None) or "", 100)
        for missing in item.missingSet or ()
    }


def refuse_unreadable(session: Session, item: Any, purpose: str) -> None:
    """Raise PermissionDenied for an object that may not be read: taken for one without the property, it would look
    clean.
    """
    for missing in item.missingSet or ():
        if faults.kind_of(faults.bare(missing.fault)) == "NoPermission":
            raise faults.translate(faults.bare(missing.fault), str(session.endpoint), purpose, session.username)


def bounded(value: Any) -> Any:
    """A text of a sensible length: what is longer than any that vSphere makes would only fill records and logs."""
    return str(value[:_LONGEST]) if isinstance(value, str) and len(value) > _LONGEST else value


def unescape(name: str) -> str:
    """A vSphere name as people see it: servers hand out '%', '/' and '\\' as %25, %2f and %5c (API:
    ManagedEntity.name), and nothing else in that way.
    """
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), name)


def objects_of(session: Session, kind: Any, moids: Iterable[str]) -> list[Any]:
    """pyVmomi objects for managed object IDs; no call is made."""
    return [session.managed_object(kind, moid) for moid in moids]
