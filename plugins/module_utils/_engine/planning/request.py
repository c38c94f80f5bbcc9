# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run is asked to do, as plain data that is checked before anything happens."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Iterable, Mapping

from ..errors import InputError
from ..seconds import check_seconds
from ..storage_host.view import split_aliases

QUIESCE_FAILURE = ("crash_consistent", "skip", "fail")
VM_FAILURE = ("continue", "fail")


@dataclass(frozen=True)
class Limits:
    """VMware snapshots that are created or removed at the same time, at most."""

    per_vcenter: int = 32
    per_host: int = 8


@dataclass(frozen=True)
class Policy:
    """What to do when a VM cannot be quiesced or snapshotted, and how long anything may take (seconds)."""

    on_quiesce_failure: str = "crash_consistent"
    on_vm_failure: str = "continue"
    exclude_vms: tuple[str, ...] = ()
    vm_timeout: float = 300.0
    max_hold: float = 900.0
    wave_size: int = 0  # VMs of a wave, as far as datasets can be parted; 0: one instant for all
    limits: Limits = field(default_factory=Limits)

    def check(self) -> None:
        """Raise InputError for values that contradict each other or make no sense."""
        if self.on_quiesce_failure not in QUIESCE_FAILURE:
            raise InputError(
                f"on_quiesce_failure is '{self.on_quiesce_failure}'", f"Choose one of {', '.join(QUIESCE_FAILURE)}"
            )
        if self.on_vm_failure not in VM_FAILURE:
            raise InputError(f"on_vm_failure is '{self.on_vm_failure}'", f"Choose one of {', '.join(VM_FAILURE)}")
        if min(self.limits.per_vcenter, self.limits.per_host) < 1:
            raise InputError("A limit of snapshots at a time is below 1", "Give limits of at least 1")
        check_seconds("vm_timeout", self.vm_timeout)
        check_seconds("max_hold", self.max_hold)
        if self.wave_size < 0:
            raise InputError(f"wave_size is {self.wave_size}", "Give a number of VMs, or 0 for one instant for all")
        if self.vm_timeout > self.max_hold:
            raise InputError(
                f"vm_timeout ({self.vm_timeout:g} s) is longer than max_hold ({self.max_hold:g} s)",
                "Lower vm_timeout or raise max_hold",
            )

    def forbidden(self) -> frozenset[str]:
        """The hindrances ("quiesce", "vm") that forbid the ZFS snapshot."""
        return frozenset(
            hindrance
            for hindrance, choice in (("quiesce", self.on_quiesce_failure), ("vm", self.on_vm_failure))
            if choice == "fail"
        )

    def excluded_by(self, name: str, instance_uuid: str, moid: str) -> str | None:
        """The entry of exclude_vms that names the VM: its name (shell patterns allowed), instance UUID or managed
        object ID. A name that cannot be read ("") fits no pattern.
        """
        return next((entry for entry in self.exclude_vms if _names(entry, name, instance_uuid, moid)), None)

    def matching_nothing(self, vms: Iterable[tuple[str, str, str]]) -> list[str]:
        """The entries of exclude_vms that name none of `vms` (name, instance UUID, managed object ID)."""
        seen = list(vms)
        return [entry for entry in self.exclude_vms if not any(_names(entry, *vm) for vm in seen)]


def _names(entry: str, name: str, instance_uuid: str, moid: str) -> bool:
    """Whether an entry of exclude_vms names a VM; a name with brackets in it is also meant as it is written."""
    same_uuid = bool(instance_uuid) and entry.lower() == instance_uuid.lower()
    return same_uuid or entry == moid or (bool(name) and (entry == name or fnmatchcase(name, entry)))


@dataclass(frozen=True)
class Request:
    """One coordinated snapshot: which datasets, under which name, by which policy.

    `aliases` are further names and addresses under which ESXi hosts mount from this storage host. `lock_timeout` is
    how long to wait (seconds) for another run that holds the same datasets.
    """

    dataset: str
    snapshot: str  # the part behind the @
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    task: str = ""  # id of the snapshot task that asks, "" when a person does
    lock_timeout: float = 60.0
    policy: Policy = field(default_factory=Policy)

    def check(self) -> None:
        """Raise InputError for values that contradict each other or that cannot be meant.

        For what a user asks for; a run goes on with what an older release has stored, as far as it can.
        """
        self.policy.check()
        check_seconds("lock_timeout", self.lock_timeout, zero=True)
        split_aliases(self.aliases)
        if not all(entry.strip() for entry in self.policy.exclude_vms):
            raise InputError("exclude_vms has an empty entry, which names no VM", "Name the VM, or remove the entry")

    @classmethod
    def from_options(cls, options: Mapping[str, Any], snapshot: str, task: str = "") -> Request:
        """The request that a module's options, or a snapshot task's settings, make; their names are the same."""
        return cls(
            dataset=options["dataset"],
            snapshot=snapshot,
            recursive=options["recursive"],
            exclude=tuple(options["exclude"]),
            aliases=tuple(options["aliases"]),
            task=task,
            lock_timeout=options["lock_timeout"],
            policy=Policy(
                on_quiesce_failure=options["on_quiesce_failure"],
                on_vm_failure=options["on_vm_failure"],
                exclude_vms=tuple(options["exclude_vms"]),
                vm_timeout=options["vm_timeout"],
                max_hold=options["max_hold"],
                wave_size=options["wave_size"],
                limits=Limits(options["limit_per_vcenter"], options["limit_per_host"]),
            ),
        )
