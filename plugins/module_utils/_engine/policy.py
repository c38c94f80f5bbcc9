# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of a coordinated snapshot, which a request and a stored snapshot task share.

The options are documented in plugins/doc_fragments/policy.py, and _ansible.py has their argument spec.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Mapping

from .errors import InputError
from .seconds import check_seconds
from .vm_policies import VmPolicy, parse, plain

QUIESCE_FAILURE = ("crash_consistent", "skip", "fail")
VM_FAILURE = ("continue", "fail")


@dataclass(frozen=True)
class Limits:
    """The maximum number of VMware snapshots that are created or removed at the same time."""

    per_vcenter: int = 32
    per_host: int = 8

    def check(self) -> None:
        """Raise InputError for a limit that allows nothing."""
        if min(self.per_vcenter, self.per_host) < 1:
            raise InputError("limit_per_vcenter or limit_per_host is below 1", "Set both to at least 1")


@dataclass(frozen=True)
class Policy:
    """What to do if a VM cannot be quiesced or snapshotted, and time limits in seconds.

    `policies` say it for single VMs. `exclude_vms` is the short form of policies that exclude VMs, which come first.
    """

    on_quiesce_failure: str = "crash_consistent"
    on_vm_failure: str = "continue"
    exclude_vms: tuple[str, ...] = ()
    policies: tuple[VmPolicy, ...] = ()
    vm_timeout: float = 300.0
    max_hold: float = 900.0
    wave_size: int = 0  # maximum number of VMs in a wave, as far as datasets can be separated; 0: no waves
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Policy:
        """Return the policy that options of a module or settings of a snapshot task describe."""
        names = ("on_quiesce_failure", "on_vm_failure", "vm_timeout", "max_hold", "wave_size")
        limits = Limits(options["limit_per_vcenter"], options["limit_per_host"])
        given = {name: options[name] for name in names}
        policies = parse(options["policies"])
        return cls(exclude_vms=tuple(options["exclude_vms"]), policies=policies, limits=limits, **given)

    def options(self) -> dict[str, Any]:
        """Return the options that describe this policy, as plain data."""
        values = asdict(replace(self, policies=()))
        limits = {f"limit_{name}": value for name, value in values.pop("limits").items()}
        return {**values, "exclude_vms": list(self.exclude_vms), "policies": plain(self.policies), **limits}

    def merged(self, options: Mapping[str, Any]) -> Policy:
        """Return this policy with the `options` that are given and not None."""
        known = {**self.options(), "policies": self.policies}
        return Policy.from_options(
            {**known, **{name: options[name] for name in known if options.get(name) is not None}}
        )

    def check(self) -> None:
        """Raise InputError for invalid or contradictory values."""
        if self.on_quiesce_failure not in QUIESCE_FAILURE:
            raise InputError(
                f"on_quiesce_failure is '{self.on_quiesce_failure}'", f"Choose one of {', '.join(QUIESCE_FAILURE)}"
            )
        if self.on_vm_failure not in VM_FAILURE:
            raise InputError(f"on_vm_failure is '{self.on_vm_failure}'", f"Choose one of {', '.join(VM_FAILURE)}")
        self.limits.check()
        check_seconds("vm_timeout", self.vm_timeout)
        check_seconds("max_hold", self.max_hold)
        if self.wave_size < 0:
            raise InputError(f"wave_size is {self.wave_size}", "Set it to a number of VMs, or to 0 for no waves")
        if self.vm_timeout > self.max_hold:
            raise InputError(
                f"vm_timeout ({self.vm_timeout:g} s) is longer than max_hold ({self.max_hold:g} s)",
                "Reduce vm_timeout or increase max_hold",
            )
        for number, policy in enumerate(self.policies, 1):
            if policy.vm_timeout is not None and policy.vm_timeout > self.max_hold:
                raise InputError(
                    f"vm_timeout of the entry {number} of policies ({policy.vm_timeout:g} s) is longer than max_hold "
                    f"({self.max_hold:g} s)",
                    "Reduce vm_timeout or increase max_hold",
                )

    def forbidden(self) -> frozenset[str]:
        """Return the problems ("quiesce", "vm") that forbid the ZFS snapshot."""
        return frozenset(
            problem
            for problem, choice in (("quiesce", self.on_quiesce_failure), ("vm", self.on_vm_failure))
            if choice == "fail"
        )
