# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs a policy matches, as pure functions of what is known of a VM.

What could not be read is neither a match nor a mismatch: a condition is then None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Callable, Mapping, Optional, Sequence

from ..vm_policies import VmMatch, VmPolicy
from ..vsphere.inventory_paths import canonical
from ..vsphere.vm_labels import VmLabels
from ..zfs.names import is_within


@dataclass(frozen=True)
class VmFacts:
    """What policies are matched with. A name or instance UUID that could not be read is None.

    `datasets` are the datasets with files of the VM, or None if it may have files on any.
    """

    moid: str
    name: str | None
    instance_uuid: str | None
    datasets: frozenset[str] | None = None
    labels: VmLabels = field(default_factory=VmLabels)


@dataclass(frozen=True)
class Rule:
    """A policy in the order in which a run looks at them. `source` names it: "policy 2".

    `dataset` is the dataset for which it is stored, or "". Then it applies only to VMs with files on that dataset or on
    its children. `entry` is an entry of exclude_vms, or None.
    """

    policy: VmPolicy
    source: str
    dataset: str = ""
    entry: str | None = None

    def __str__(self) -> str:
        return self.source if self.policy.match is None else f"{self.source} ({self.policy.match})"

    def matches(self, vm: VmFacts) -> bool | None:
        """Return whether the policy matches the VM, or None if that is not known."""
        if self.dataset and vm.datasets is not None and not any(is_within(one, self.dataset) for one in vm.datasets):
            return False
        if self.entry is not None:
            return matches_entry(self.entry, vm)
        return None if self.policy.match is None else matches(self.policy.match, vm)


def matches_entry(entry: str, vm: VmFacts) -> bool:
    """Return whether an entry of exclude_vms matches: a name, an instance UUID or a managed object ID.

    A name that could not be read matches no pattern.
    """
    return entry == vm.moid or _is_uuid(entry, vm) is True or _is_text(entry, vm.name or None) is True


def matches(match: VmMatch, vm: VmFacts) -> bool | None:
    """Return whether the VM meets all conditions, or None if that depends on something that could not be read."""
    verdict: bool | None = True
    for name, value in match.conditions:
        result = _CHECKS[name](value, vm)
        if result is False:
            return False
        verdict = verdict if result else None
    return verdict


def unknown_labels(match: VmMatch, vm: VmFacts) -> list[str]:
    """Return what could not be read of the conditions of `match`, in words."""
    return [_WORDS[name] for name, value in match.conditions if _CHECKS[name](value, vm) is None]


def kinds_of(matches: Sequence[VmMatch]) -> frozenset[str]:
    """Return the kinds of labels (vm_labels.KINDS) that any of the conditions needs."""
    return frozenset(_KINDS[name] for match in matches for name, _unused in match.conditions if name in _KINDS)


_KINDS = {"folder": "folder", "resource_pool": "resource_pool", "attribute": "attributes", "tag": "tags"}
_WORDS = {
    "name": "name",
    "instance_uuid": "instance UUID",
    "moid": "managed object ID",
    "folder": "folder",
    "resource_pool": "resource pool",
    "attribute": "custom attributes",
    "tag": "tags",
}

_Verdict = Optional[bool]


def _is_text(pattern: str, text: str | None) -> _Verdict:
    """Compare literally, then as a shell pattern: a name may contain brackets."""
    return None if text is None else text == pattern or fnmatchcase(text, pattern)


def _is_uuid(uuid: str, vm: VmFacts) -> _Verdict:
    return None if vm.instance_uuid is None else bool(uuid) and uuid.lower() == vm.instance_uuid.lower()


def _is_below(wanted: str, path: str | None) -> _Verdict:
    """Return whether `path` is the folder or pool `wanted`, or below it. Without a "/", `wanted` is only a name."""
    if path is None:
        return None
    if "/" not in wanted:
        return canonical(wanted)[1:] in path.split("/")
    return is_within(path, canonical(wanted))


def _has_attribute(wanted: tuple[str, str], attributes: Mapping[str, str] | None) -> _Verdict:
    if attributes is None:
        return None
    return wanted[0] in attributes and _is_text(wanted[1], attributes[wanted[0]])


_CHECKS: Mapping[str, Callable[..., _Verdict]] = {
    "moid": lambda wanted, vm: bool(wanted == vm.moid),
    "instance_uuid": _is_uuid,
    "name": lambda wanted, vm: _is_text(wanted, vm.name),
    "folder": lambda wanted, vm: _is_below(wanted, vm.labels.folder),
    "resource_pool": lambda wanted, vm: _is_below(wanted, vm.labels.resource_pool),
    "attribute": lambda wanted, vm: _has_attribute(wanted, vm.labels.attributes),
    "tag": lambda wanted, vm: None if vm.labels.tags is None else wanted in vm.labels.tags,
}
