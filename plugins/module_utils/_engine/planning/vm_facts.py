# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What policies are matched with: the properties of VMs, and those labels that any policy needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..errors import TagsUnreadable, VSphereError
from ..grouping import grouped
from ..vm_policies import VmMatch
from ..vsphere.vm_labels import VmLabels, paths_of, read_labels
from ..vsphere.vms import Vm
from .problem import Problem
from .server_logins import ServerLogin
from .vm_matching import Rule, VmFacts, kinds_of


@dataclass(frozen=True)
class FoundVm:
    """A VM, the login that showed it, and the locations of its files (see locations.py)."""

    login: ServerLogin
    vm: Vm
    locations: frozenset[str]


def facts_of(
    found: Sequence[FoundVm], rules: Sequence[Rule], targets: frozenset[str]
) -> tuple[list[VmFacts], list[Problem]]:
    """Return the facts about each VM, and a problem for each server whose labels cannot be read.

    The logins' watches have read the properties paths_for(rules). Without a policy that needs a label, no server is
    asked. Raises TagsUnreadable.
    """
    matches = _matches(rules)
    labels: dict[tuple[int, str], VmLabels] = {}
    problems: list[Problem] = []
    logins = {id(one.login): one.login for one in found} if kinds_of(matches) else {}
    moids = grouped((id(one.login), one.vm.moid) for one in found)
    for key, login in logins.items():
        try:
            labels.update({(key, moid): one for moid, one in _read(login, moids[key], matches).items()})
        except TagsUnreadable:
            raise
        except VSphereError as error:
            problems.append(Problem(str(error), login.datasets or None))
    return [_facts(one, labels.get((id(one.login), one.vm.moid), VmLabels()), targets) for one in found], problems


def _read(login: ServerLogin, moids: Sequence[str], matches: Sequence[VmMatch]) -> dict[str, VmLabels]:
    categories = frozenset(match.tag[0] for match in matches if match.tag)
    known = login.watch.properties() if login.watch else {}
    found = {moid: known[moid] for moid in moids if moid in known}
    return read_labels(login.session, found, kinds_of(matches), categories)


def paths_for(rules: Sequence[Rule]) -> list[str]:
    """Return the properties of VMs that facts_of needs besides those of a Vm."""
    return paths_of(kinds_of(_matches(rules)))


def _matches(rules: Sequence[Rule]) -> list[VmMatch]:
    return [rule.policy.match for rule in rules if rule.policy.match is not None]


def _facts(found: FoundVm, labels: VmLabels, targets: frozenset[str]) -> VmFacts:
    vm = found.vm
    return VmFacts(
        moid=vm.moid,
        name=vm.name if vm.name or vm.readable else None,
        instance_uuid=vm.instance_uuid if vm.instance_uuid or vm.readable else None,
        datasets=targets & found.locations if vm.readable else None,
        labels=labels,
    )
