# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of a coordinated snapshot, which a request and a stored snapshot task share.

The options are documented in plugins/doc_fragments/policy.py, and _ansible.py has their argument spec.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Iterable, Mapping

from .errors import InputError
from .seconds import check_seconds

QUIESCE_FAILURE = ("crash_consistent", "skip", "fail")
VM_FAILURE = ("continue", "fail")


@dataclass(frozen=True)
class Limits:
    """The maximum number of VMware snapshots that are created or removed at the same time."""

    per_vcenter: int = 32
    per_host: int = 8


@dataclass(frozen=True)
class Policy:
    """What to do if a VM cannot be quiesced or snapshotted, and time limits in seconds."""

    on_quiesce_failure: str = "crash_consistent"
    on_vm_failure: str = "continue"
    exclude_vms: tuple[str, ...] = ()
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
        return cls(exclude_vms=tuple(options["exclude_vms"]), limits=limits, **given)

    def options(self) -> dict[str, Any]:
        """Return the options that describe this policy, as plain data."""
        values = asdict(self)
        limits = {f"limit_{name}": value for name, value in values.pop("limits").items()}
        return {**values, "exclude_vms": list(self.exclude_vms), **limits}

    def merged(self, options: Mapping[str, Any]) -> Policy:
        """Return this policy with the `options` that are given and not None."""
        known = self.options()
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
        if min(self.limits.per_vcenter, self.limits.per_host) < 1:
            raise InputError("limit_per_vcenter or limit_per_host is below 1", "Set both to at least 1")
        check_seconds("vm_timeout", self.vm_timeout)
        check_seconds("max_hold", self.max_hold)
        if self.wave_size < 0:
            raise InputError(f"wave_size is {self.wave_size}", "Set it to a number of VMs, or to 0 for no waves")
        if self.vm_timeout > self.max_hold:
            raise InputError(
                f"vm_timeout ({self.vm_timeout:g} s) is longer than max_hold ({self.max_hold:g} s)",
                "Reduce vm_timeout or increase max_hold",
            )

    def forbidden(self) -> frozenset[str]:
        """Return the problems ("quiesce", "vm") that forbid the ZFS snapshot."""
        return frozenset(
            problem
            for problem, choice in (("quiesce", self.on_quiesce_failure), ("vm", self.on_vm_failure))
            if choice == "fail"
        )

    def excluded_by(self, name: str, instance_uuid: str, moid: str) -> str | None:
        """Return the entry of exclude_vms that matches the VM, or None.

        An entry is a name (shell patterns are allowed), an instance UUID or a managed object ID. A name that could not
        be read ("") matches no pattern.
        """
        return next((entry for entry in self.exclude_vms if _matches(entry, name, instance_uuid, moid)), None)

    def unused_exclusions(self, vms: Iterable[tuple[str, str, str]]) -> list[str]:
        """Return the entries of exclude_vms that match none of `vms` (name, instance UUID, managed object ID)."""
        seen = list(vms)
        return [entry for entry in self.exclude_vms if not any(_matches(entry, *vm) for vm in seen)]


def _matches(entry: str, name: str, instance_uuid: str, moid: str) -> bool:
    """Return whether an entry of exclude_vms matches a VM. A name with brackets is compared literally as well."""
    same_uuid = bool(instance_uuid) and entry.lower() == instance_uuid.lower()
    return same_uuid or entry == moid or (bool(name) and (entry == name or fnmatchcase(name, entry)))
