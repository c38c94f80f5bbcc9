# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The property collector of a fake vSphere server: reads by dotted path, traversals, filters and waits for updates."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, Sequence

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk
from pyVmomi import VmomiSupport

from .rules import make_fault

_type_of: Callable[[str], Any] = VmomiSupport.GetVmodlType
Face = Callable[[Any], "dict[str, Any] | None"]  # a reference -> its properties, None if it is not there
DENIED = "(denied)"  # among the properties of an object that may not be read: whether the whole call is refused then


def contents(spec: Any, face: Face) -> Iterator[Any]:
    """What a filter specification selects, as ObjectContent. Raises vSphere's faults for what is wrong with it."""
    query = sdk.vmodl.query.PropertyCollector
    for reference in _select(spec, face):
        paths = _paths(spec, reference)
        if paths is None:
            continue
        properties = face(reference) or {}
        if DENIED in properties:
            fault = make_fault("NoPermission", object=reference, privilegeId="System.Read")
            if properties[DENIED]:
                raise fault
            missing = [query.MissingProperty(path=path, fault=fault) for path in dict.fromkeys(paths)]
            yield query.ObjectContent(obj=reference, propSet=[], missingSet=missing)
            continue
        values = [(path, value_of(properties, path)) for path in dict.fromkeys(paths)]
        yield query.ObjectContent(
            obj=reference,
            propSet=[
                sdk.vmodl.DynamicProperty(name=path, val=_array(value))
                for path, value in values
                if value is not None and not (isinstance(value, str) and not value)
            ],
        )


def _array(value: Any) -> Any:
    """A list as pyVmomi has it, where it is one."""
    if not isinstance(value, list) or isinstance(value, VmomiSupport.Array):
        return value
    managed = bool(value) and isinstance(value[0], VmomiSupport.ManagedObject)
    return _type_of("vmodl.ManagedObject[]" if managed else "vmodl.DynamicData[]")(value)


def value_of(properties: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, None where it is unset. Raises InvalidProperty for a path that there is not."""
    first, *rest = path.split(".")
    if first not in properties:
        raise make_fault("InvalidProperty", name=path)
    value = properties[first]
    for part in rest:
        if value is None:
            return None
        if not hasattr(value, part):
            raise make_fault("InvalidProperty", name=path)
        value = getattr(value, part)
    return value


def _select(spec: Any, face: Face) -> list[Any]:
    """The objects that a specification selects, each once, in order."""
    found: dict[Any, None] = {}
    for item in spec.objectSet:
        if face(item.obj) is None:
            if not spec.reportMissingObjectsInResults:
                raise make_fault("ManagedObjectNotFound", obj=item.obj)
            continue
        if not item.selectSet or not item.skip:
            found[item.obj] = None
        for step in item.selectSet:
            _follow(item.obj, step, face, found)
    return list(found)


def _follow(reference: Any, step: Any, face: Face, found: dict[Any, None]) -> None:
    if not issubclass(type(reference), step.type):
        return
    next_ones = value_of(face(reference) or {}, step.path) or []
    for child in next_ones if isinstance(next_ones, list) else [next_ones]:
        if not step.skip:
            found[child] = None
        for further in step.selectSet or ():
            _follow(child, further, face, found)


def _paths(spec: Any, reference: Any) -> list[str] | None:
    """The paths that are wanted of an object, None when the specification is not about objects of its type."""
    wanted = [one for one in spec.propSet if issubclass(type(reference), one.type)]
    return [path for one in wanted for path in one.pathSet] if wanted else None


class Filter:
    """What one filter watches, and what it last reported of it."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec
        self.reported: dict[Any, dict[str, Any]] = {}
        self.missing: set[Any] = set()
        self.hidden: set[Any] = set()  # what the client was told that it may not read

    def update(self, face: Face) -> Any:
        """What is new, as PropertyFilterUpdate without its filter; None if nothing is."""
        query = sdk.vmodl.query.PropertyCollector
        changes, missing = [], []
        found = list(contents(self.spec, face))
        now = {one.obj: {item.name: item.val for item in one.propSet} for one in found}
        hidden = {one.obj: one.missingSet for one in found if one.missingSet}
        for reference, values in now.items():
            before = self.reported.get(reference)
            different = [
                query.Change(name=path, op="assign", val=value)
                for path, value in values.items()
                if before is None or path not in before or before[path] != value
            ]
            unset = [path for path in before or () if path not in values and reference not in hidden]
            different += [query.Change(name=path, op="assign") for path in unset]
            unread = hidden[reference] if reference in hidden and reference not in self.hidden else []
            if before is None or different or unread:
                kind = "enter" if before is None else "modify"
                changes.append(query.ObjectUpdate(obj=reference, kind=kind, changeSet=different, missingSet=unread))
        for reference in self.reported.keys() - now.keys():
            changes.append(query.ObjectUpdate(obj=reference, kind="leave"))
        for item in self.spec.objectSet:
            if face(item.obj) is None and item.obj not in self.missing:
                self.missing.add(item.obj)
                fault = make_fault("ManagedObjectNotFound", obj=item.obj)
                missing.append(query.MissingObject(obj=item.obj, fault=fault))
        self.reported, self.hidden = now, set(hidden)
        return query.FilterUpdate(objectSet=changes, missingSet=missing) if changes or missing else None


class Collector:
    """One property collector, with its filters. `version` is that of its last answer."""

    def __init__(self) -> None:
        self.filters: list[tuple[Any, Filter]] = []  # each with the reference to it
        self._version = 0
        self._last: Any = None  # the last answer, for a client that did not get it

    def wait(self, version: str, seconds: float | None, changed: Any, ended: Callable[[], bool], face: Face) -> Any:
        """The next UpdateSet, None when there is none in time. `changed` is the condition to wait on, which is held."""
        if version == str(self._version - 1) and self._last is not None:
            return self._last
        if version == "":
            for _unused, one in self.filters:
                one.reported, one.missing, one.hidden = {}, set(), set()
        elif version != str(self._version):
            raise make_fault("InvalidCollectorVersion")
        self._last = None
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            if ended():
                raise make_fault("NotAuthenticated", object=sdk.vim.Folder("group-d1"), privilegeId="System.View")
            updates = list(self._updates(face))
            if updates:
                self._version += 1
                self._last = sdk.vmodl.query.PropertyCollector.UpdateSet(version=str(self._version), filterSet=updates)
                return self._last
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            changed.wait(left)

    def _updates(self, face: Face) -> Iterator[Any]:
        for reference, one in self.filters:
            update = one.update(face)
            if update is not None:
                update.filter = reference
                yield update


def pages_of(objects: Sequence[Any], most: int | None) -> list[list[Any]]:
    """An answer cut into pages of at most so many objects."""
    size = most or max(1, len(objects))
    return [list(objects[at : at + size]) for at in range(0, len(objects), size)]
