# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that a policy excludes or accepts at crash: they lower the level of a snapshot, and are shown apart from it.

The VMs are plain data, as in a manifest or a result: `name`, `level`, `excluded`, and `accept`, the level that a
complete record needs. The last two may be absent.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

from ..text import counted, printable
from .levels import CRASH, lowest_known

_SHOWN = 5  # names of VMs


def excluded(vms: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the VMs that a policy excludes."""
    return [str(vm.get("name", "")) for vm in vms if vm.get("excluded") is True]


def accepted(vms: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the VMs that are at crash, and that their policy accepts at crash."""
    return [str(vm.get("name", "")) for vm in vms if _is_accepted(vm)]


def level_of_others(consistency: str, vms: Sequence[Mapping[str, Any]], problems: bool) -> str | None:
    """Return the lowest level of the other VMs, or None if there are none. A problem means crash.

    This is the level `consistency` of all VMs if no VM is excluded or accepted.
    """
    others = [str(vm["level"]) for vm in vms if vm.get("excluded") is not True and not _is_accepted(vm)]
    if len(others) == len(vms) or problems:
        return consistency
    return lowest_known(others)


def consistency_text(consistency: str | None, others: str | None, vms: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the level for people: that of the `others`, and how many VMs are excluded or accepted at crash.

    Without other VMs, it is the level of all.
    """
    if consistency is None:
        return None
    number, names = len(excluded(vms)), accepted(vms)
    notes = [f"{number} excluded"] if number else []
    if names:
        shown = ", ".join(printable(name, 80) for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        notes.append(f"{counted(len(names), 'VM')} accepted at crash: {shown}{more}")
    return f"{others or consistency} ({', '.join(notes)})" if notes else consistency


def _is_accepted(vm: Mapping[str, Any]) -> bool:
    return vm.get("excluded") is not True and vm.get("level") == CRASH and vm.get("accept") == CRASH
