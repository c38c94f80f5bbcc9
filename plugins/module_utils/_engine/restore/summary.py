# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a restore as lines for people, for the command line and for playbooks."""

from __future__ import annotations

from typing import Collection, Iterator

from ..text import printable
from .result import RestoreResult, VmRestored


def summary(result: RestoreResult, kept: Collection[str] = ()) -> list[str]:
    """Return what was restored. `kept` are the names of VMs that existed and were not changed."""
    return [*(_of_vm(vm, vm.restored_name in kept) for vm in result.vms), *remarks(result)]


def remarks(result: RestoreResult) -> Iterator[str]:
    """Yield what a table of the restored VMs does not show."""
    for vm in result.vms:
        if vm.restored and vm.replaced:
            yield f"the original of {_quoted(vm.restored_name)} is now named {_quoted(vm.replaced)}"
    for datastore in result.datastores:
        yield f"the datastore {printable(datastore['name'], 80)} is a clone of {printable(datastore['dataset'], 200)}"
    if result.attached is not None:
        yield f"{printable(result.attached['file'], 300)} is attached to {_quoted(result.attached['vm'])}"


def state_of(vm: VmRestored) -> str:
    """Return whether a restored VM is on, and what was seen of its guest."""
    if not vm.restored:
        return "not restored"
    if not vm.powered_on:
        return "off"
    seen = [f"{name} {value}" for name, value in (("heartbeat", vm.heartbeat), ("address", vm.address)) if value]
    return printable(", ".join(["on", *seen]), 200)


def _of_vm(vm: VmRestored, kept: bool) -> str:
    if kept:
        return f"{_quoted(vm.restored_name)} exists from an earlier restore and was not changed"
    if not vm.restored:
        return f"{_quoted(vm.name)} was not restored: {printable(vm.error, 1000)}"
    where = f" on {printable(vm.host, 80)}" if vm.host else ""
    text = f"{_quoted(vm.name)} is restored as {_quoted(vm.restored_name)}{where} (level {vm.level}, {state_of(vm)})"
    return f"{text}: {printable(vm.error, 1000)}" if vm.error else text


def _quoted(name: str) -> str:
    return f"'{printable(name, 80)}'"
