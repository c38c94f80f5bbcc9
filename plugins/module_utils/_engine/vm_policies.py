# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies for single VMs: which VMs they match, and what a run does with them. The first one that matches a VM counts.

This module has their form as plain data. planning/vm_treatments.py applies them. The options are documented in
plugins/doc_fragments/policy.py, and _ansible.py has their argument spec.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Iterable, Mapping, Sequence

from .errors import InputError
from .seconds import check_seconds
from .text import printable

REQUIRED, PREFERRED, NEVER = "required", "preferred", "never"
QUIESCE = (REQUIRED, PREFERRED, NEVER)
FAIL, CONTINUE = "fail", "continue"
ON_FAILURE = (FAIL, CONTINUE)
ACCEPT = ("crash", "filesystem", "application")  # levels of records/levels.py
REPORT, INCLUDE = "report", "include"
ON_SPAN = (REPORT, INCLUDE, FAIL)

_PAIRS = {"attribute": ("name", "value"), "tag": ("category", "name")}
_CHOICES: Mapping[str, Sequence[str]] = {
    "quiesce": QUIESCE,
    "on_failure": ON_FAILURE,
    "accept": ACCEPT,
    "on_span": ON_SPAN,
}
_MOST = 1000  # policies in a list


@dataclass(frozen=True)
class VmMatch:
    """Which VMs a policy matches: those that meet every condition that is not None.

    `name` may be a shell pattern. `attribute` is a custom attribute and its value, which may be a shell pattern. `tag`
    is a category and the name of a tag.
    """

    name: str | None = None
    instance_uuid: str | None = None
    moid: str | None = None
    folder: str | None = None
    resource_pool: str | None = None
    attribute: tuple[str, str] | None = None
    tag: tuple[str, str] | None = None

    @cached_property
    def conditions(self) -> tuple[tuple[str, Any], ...]:
        """The conditions that are not None: name and value."""
        given = [(one.name, getattr(self, one.name)) for one in fields(self)]
        return tuple((name, value) for name, value in given if value is not None)

    def __str__(self) -> str:
        return ", ".join(f"{name} {_shown(name, value)}" for name, value in self.conditions)

    def as_dict(self) -> dict[str, Any]:
        return {name: _plain(name, value) for name, value in self.conditions}


@dataclass(frozen=True)
class VmPolicy:
    """A policy for the VMs that `match` selects. What is None is as in the options of the run.

    A stored policy that this release cannot read has the reason in `unusable` and its stored form in `stored`. Its
    `match` is None if it is not known which VMs it matches.
    """

    match: VmMatch | None
    quiesce: str | None = None
    on_failure: str | None = None
    accept: str | None = None
    exclude: bool = False
    vm_timeout: float | None = None
    on_span: str | None = None
    unusable: str = ""
    stored: Any = None

    def as_dict(self) -> Any:
        """Return the policy as plain data, in the form of the option `policies`."""
        if self.unusable:
            return self.stored
        decided = {name: value for name in _DECISIONS if (value := getattr(self, name)) not in (None, False)}
        return {"match": self.match.as_dict() if self.match else {}, **decided}

    def check(self) -> None:
        """Raise InputError if what the policy says is contradictory or invalid."""
        decided = [name for name in _DECISIONS if name != "exclude" and getattr(self, name) is not None]
        if self.exclude and decided:
            raise InputError(f"exclude is combined with {decided[0]}", f"Remove {decided[0]}, or do not exclude the VM")
        if self.quiesce == NEVER and self.accept not in (None, ACCEPT[0]):
            raise InputError(
                f"accept is {self.accept}, but without quiescing a VM is always {ACCEPT[0]}",
                f"Set accept to {ACCEPT[0]}, or quiesce to {PREFERRED}",
            )
        if self.quiesce == REQUIRED and self.accept == ACCEPT[0]:
            raise InputError(
                f"quiesce is {REQUIRED}, but accept is {ACCEPT[0]}", f"Set quiesce to {PREFERRED}, or remove accept"
            )
        if self.vm_timeout is not None:
            check_seconds("vm_timeout", self.vm_timeout)


_CONDITIONS = tuple(one.name for one in fields(VmMatch))
_DECISIONS = ("quiesce", "on_failure", "accept", "exclude", "vm_timeout", "on_span")


def parse(entries: Iterable[Any] | None) -> tuple[VmPolicy, ...]:
    """Return the policies in the option `policies`. Raises InputError, which names the invalid entry.

    Policies that were read before are returned unchanged.
    """
    found = list(entries or ())
    if len(found) > _MOST:
        raise InputError(f"policies has {len(found)} entries", f"Use at most {_MOST}")
    return tuple(
        entry if isinstance(entry, VmPolicy) else _parse_numbered(number, entry)
        for number, entry in enumerate(found, 1)
    )


def parse_stored(entries: Any) -> tuple[VmPolicy, ...]:
    """Return stored policies. One that cannot be read is `unusable` and does not affect the others."""
    if not isinstance(entries, list):
        return () if entries is None else (_unusable(entries, "it is not a list of policies"),)
    return tuple(_parse_stored(entry) for entry in entries)


def plain(policies: Iterable[VmPolicy]) -> list[Any]:
    """Return policies in the form of the option `policies`."""
    return [policy.as_dict() for policy in policies]


def _parse_numbered(number: int, entry: Any) -> VmPolicy:
    try:
        return _parse(entry)
    except InputError as error:
        raise InputError(f"The entry {number} of policies is invalid: {error.problem}", error.remedy) from None


def _parse(entry: Any) -> VmPolicy:
    given = _given(entry, ("match", *_DECISIONS), "the policy")
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            raise InputError(f"{name} is '{printable(given[name], 80)}'", f"Choose one of {', '.join(choices)}")
    if not isinstance(given.get("exclude", False), bool):
        raise InputError("exclude is neither true nor false", "Set it to true, or remove it")
    if not _is_number(given.get("vm_timeout", 1.0)):
        raise InputError("vm_timeout is not a number", "Set it to a number of seconds")
    policy = VmPolicy(match=_match(given.pop("match", None)), **given)
    policy.check()
    return policy


def _match(entry: Any) -> VmMatch:
    given = _given(entry if entry is not None else {}, _CONDITIONS, "match")
    if not given:
        raise InputError("match has no condition", "Set one, for example 'name: \"*\"' for every VM")
    for name, value in given.items():
        given[name] = _pair(name, value) if name in _PAIRS else _text(name, value)
    return VmMatch(**given)


def _pair(name: str, value: Any) -> tuple[str, str]:
    keys = _PAIRS[name]
    given = _given(value, keys, name)
    first, second = (_text(f"{key} of {name}", given.get(key, "")) for key in keys)
    return first, second


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise InputError(f"{name} is empty or not a text", f"Set {name}, or remove it")
    return value


def _given(entry: Any, names: Sequence[str], what: str) -> dict[str, Any]:
    """Return the values of a dictionary that are not None. Raises InputError for an unknown key."""
    if not isinstance(entry, Mapping):
        raise InputError(f"{what} is not a dictionary", f"Set some of {', '.join(names)}")
    unknown = next((key for key in entry if key not in names), None)
    if unknown is not None:
        raise InputError(f"{what} has the unknown key '{printable(unknown, 80)}'", f"Use {', '.join(names)}")
    return {name: entry[name] for name in names if entry.get(name) is not None}


def _parse_stored(entry: Any) -> VmPolicy:
    try:
        return _parse(entry)
    except InputError as error:
        return _unusable(entry, error.problem)


def _unusable(entry: Any, why: str) -> VmPolicy:
    """Return a policy that asks for no less, and touches no VM that it left alone, as far as that is readable."""
    if not isinstance(entry, Mapping):
        return VmPolicy(match=None, unusable=why, stored=entry)
    try:
        match: VmMatch | None = _match(entry.get("match"))
    except InputError:
        match = None
    return VmPolicy(
        match,
        quiesce=NEVER if entry.get("quiesce") == NEVER else None,
        accept=ACCEPT[-1] if entry.get("accept") == ACCEPT[-1] else ACCEPT[1],
        exclude=entry.get("exclude") is True,
        unusable=why,
        stored=entry,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(key: str, value: Any) -> Any:
    return dict(zip(_PAIRS[key], value)) if key in _PAIRS else value


def _shown(key: str, value: Any) -> str:
    return "'" + printable(":".join(value) if key in _PAIRS else value, 80) + "'"
