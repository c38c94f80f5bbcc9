# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run does with each VM: the options of the run, and the first policy that matches the VM.

If it is not known which policy is the first one, the VM gets the strictest of those that may be: it is touched no more,
and asked for no less, than each of them says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterable, Mapping, Sequence

from ..policy import Policy
from ..records.levels import CRASH, FILESYSTEM, LEVELS, reaches
from ..state.dataset_policies import DatasetPolicies
from ..text import counted, printable, shortened
from ..vm_policies import CONTINUE, FAIL, INCLUDE, NEVER, PREFERRED, REPORT, REQUIRED, VmPolicy
from .vm_matching import Rule, VmFacts, unknown_labels

LONGEST_POLICY = 200  # characters of the name of a policy in a manifest, which may list a thousand VMs
_GENTLER = (PREFERRED, REQUIRED, NEVER)  # each touches a VM no more than those before it
_SPANS = (REPORT, INCLUDE, FAIL)


@dataclass(frozen=True)
class Treatment:
    """What a run does with a VM.

    `forbidden` are the kinds of failure ("quiesce", "vm") that forbid the ZFS snapshot. `accept` is the level that the
    VM must reach for a complete record. `policy` names the policy and why it matches, "" for the options of the run.
    `doubt` is why it is not certain that this policy is the first one. An excluded VM is then left alone, but it does
    not count as excluded.
    """

    quiesce: str = PREFERRED
    forbidden: frozenset[str] = frozenset()
    accept: str = FILESYSTEM
    exclude: bool = False
    vm_timeout: float = 300.0
    on_span: str = REPORT
    policy: str = ""
    doubt: str = ""

    def allows(self, level: str) -> bool:
        """Return whether a VM at this level is as the policy asks."""
        return reaches(level, self.accept)


def rules_of(policy: Policy, stored: Iterable[DatasetPolicies] = ()) -> list[Rule]:
    """Return all policies in their order: exclude_vms, those of the request, those of the nearest datasets first."""
    rules = [
        Rule(VmPolicy(None, exclude=True), f"exclude_vms ('{printable(entry, 80)}')", entry=entry)
        for entry in policy.exclude_vms
    ]
    rules += [Rule(one, f"policy {number}") for number, one in enumerate(policy.policies, 1)]
    for each in sorted(stored, key=lambda one: (-one.dataset.count("/"), one.dataset)):
        rules += [
            Rule(one, f"policy {number} of {each.dataset}", each.dataset) for number, one in enumerate(each.policies, 1)
        ]
    return rules


def by_default(policy: Policy) -> Treatment:
    """Return what the options of a run say of a VM that no policy matches."""
    return Treatment(
        quiesce=PREFERRED if policy.on_quiesce_failure == "crash_consistent" else REQUIRED,
        forbidden=policy.forbidden(),
        vm_timeout=policy.vm_timeout,
    )


def choose(rules: Sequence[Rule], vm: VmFacts, policy: Policy) -> Treatment:
    """Return the treatment of a VM."""
    default = by_default(policy)
    candidates: list[Treatment] = []
    doubts: list[str] = []
    for rule in rules:
        matched = rule.matches(vm)
        if matched is False:
            continue
        candidates.append(_apply(rule, policy, default))
        if matched:
            return _strictest(candidates, doubts)
        doubts.append(_why_unknown(rule, vm))
    return _strictest([*candidates, default], doubts)


def of_recorded(rules: Sequence[Rule], vm: Mapping[str, Any], dataset: str, policy: Policy) -> Treatment:
    """Return the treatment of a VM in the record of a ZFS snapshot of `dataset`.

    A record has no labels of VMs. It has the policy that the VM had: that one matches, and no other that needs labels.
    """
    moid, name, uuid = (str(vm.get(key, "")) for key in ("moid", "name", "instance_uuid"))
    facts = VmFacts(moid, name, uuid, frozenset((dataset,)))
    default = by_default(policy)
    for rule in rules:
        matched = rule.matches(facts)
        if matched or (matched is None and shortened(str(rule), LONGEST_POLICY) == vm.get("policy")):
            return _apply(rule, policy, default)
    return default


def may_fail(policy: Policy, rules: Iterable[Rule]) -> bool:
    """Return whether a failure of any VM can forbid the ZFS snapshot."""
    return bool(policy.forbidden()) or any(rule.policy.on_failure == FAIL for rule in rules)


def _apply(rule: Rule, run: Policy, default: Treatment) -> Treatment:
    policy = rule.policy
    quiesce = policy.quiesce or default.quiesce
    accept = policy.accept or (CRASH if quiesce == NEVER else FILESYSTEM)
    tolerated = accept == CRASH  # then nothing else fails because of this VM, unless the policy says so
    if policy.quiesce is None and tolerated and run.on_quiesce_failure == FAIL:
        quiesce = PREFERRED
    on_failure = policy.on_failure or (CONTINUE if tolerated else run.on_vm_failure)
    if policy.on_failure or tolerated:
        strict = on_failure == FAIL
    else:
        strict = run.on_quiesce_failure == FAIL or (policy.quiesce == REQUIRED and on_failure == FAIL)
    kinds = (("quiesce", quiesce == REQUIRED and strict), ("vm", on_failure == FAIL))
    return Treatment(
        quiesce=quiesce,
        forbidden=frozenset(kind for kind, forbids in kinds if forbids),
        accept=accept,
        exclude=policy.exclude,
        vm_timeout=run.vm_timeout if policy.vm_timeout is None else policy.vm_timeout,
        on_span=policy.on_span or REPORT,
        policy=str(rule),
        doubt=f"{rule.source} cannot be used" if policy.unusable and policy.exclude else "",
    )


def _strictest(candidates: Sequence[Treatment], doubts: Sequence[str]) -> Treatment:
    """Return the last candidate, unless one of the others says something else."""
    certain = candidates[-1]
    if all(replace(one, policy="") == replace(certain, policy="") for one in candidates):
        return certain
    return Treatment(
        quiesce=max((one.quiesce for one in candidates), key=_GENTLER.index),
        forbidden=frozenset().union(*(one.forbidden for one in candidates)),
        accept=max((one.accept for one in candidates), key=LEVELS.index),
        exclude=any(one.exclude for one in candidates),
        vm_timeout=min(one.vm_timeout for one in candidates),
        on_span=max((one.on_span for one in candidates), key=_SPANS.index),
        policy="the strictest of " + ", ".join(one.policy or "the options of the run" for one in candidates),
        doubt="; ".join(doubts),
    )


def _why_unknown(rule: Rule, vm: VmFacts) -> str:
    if rule.policy.match is None:
        return f"{rule.source} cannot be used"
    return f"its {' and '.join(unknown_labels(rule.policy.match, vm))} cannot be read for {rule.source}"


# ---- Warnings


def warnings_of(rules: Sequence[Rule], vms: Sequence[VmFacts], where: str, covers: Iterable[str]) -> list[str]:
    """Return a warning for each policy that cannot be used, and for each that matches no VM, such as after a typo.

    `where` says where the VMs are. `covers` are the datasets whose VMs are all known, so that a stored policy that
    matches none of them has no effect.
    """
    known = {"", *covers}
    found = [_cannot_be_used(rule) for rule in rules if rule.policy.unusable]
    for rule in rules:
        if rule.policy.unusable or rule.dataset not in known or any(rule.matches(vm) is not False for vm in vms):
            continue
        if rule.entry is not None:
            entry = printable(rule.entry, 80)
            found.append(f"exclude_vms has '{entry}', which matches no VM on {where}; correct or remove the entry.")
        else:
            found.append(f"The {rule} matches no VM on {rule.dataset or where}; correct or remove the policy.")
    return found


def _cannot_be_used(rule: Rule) -> str:
    which = "matches" if rule.policy.match is not None else "may match"
    return (
        f"The {rule} cannot be used: {rule.policy.unusable}. A VM that it {which} must be quiesced for a complete "
        "snapshot; correct or remove the policy."
    )


def doubts_of(treatments: Iterable[tuple[str, Treatment]]) -> list[str]:
    """Return a warning for each reason why it is not known which policy is the first one for VMs (by their names)."""
    names: dict[str, list[str]] = {}
    for name, treatment in treatments:
        if treatment.doubt:
            names.setdefault(treatment.doubt, []).append(name)
    return [
        f"The policy of {counted(len(vms), 'VM')}, for example '{printable(vms[0], 80)}', is unknown: {doubt}. The "
        "strictest policy that may apply is used."
        for doubt, vms in names.items()
    ]


def may_include(rules: Iterable[Rule]) -> bool:
    """Return whether any policy can take further datasets into a run."""
    return any(rule.policy.on_span == INCLUDE for rule in rules)
