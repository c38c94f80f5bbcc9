# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at a VM that was powered on until there is a verdict on it. VMware Tools in its guest show that it works."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..errors import VSphereError
from ..records.levels import APPLICATION, FILESYSTEM
from ..records.verdicts import BOOTED, FAILED, INCONCLUSIVE, VERIFIED
from ..restore.flow import Part, pause
from ..text import printable
from ..vsphere.vm_now import VmNow, Watch

BEATING = ("green", "yellow")  # of a heartbeat
_LOOK = 1.0  # seconds between two looks
_SETTLED = 120.0  # seconds that a VM without VMware Tools must run
_CUT_OFF = ("disconnected", "notResponding")


@dataclass(frozen=True)
class Look:
    """The verdict, why it is not better, and what was seen last."""

    verdict: str
    reason: str
    now: VmNow | None = None


def expects_tools(level: str) -> bool:
    """Return whether VMware Tools ran when the ZFS snapshot was taken, by the level of the VM: they froze its guest."""
    return level in (FILESYSTEM, APPLICATION)


def look_at(watch: Watch, vm_moid: str, limit: float, tools_expected: bool) -> Part[Look]:
    """Look at a VM for at most `limit` seconds. All VMs share the looks."""
    begun = time.monotonic()
    while True:
        spent = time.monotonic() - begun
        look = _look(watch, vm_moid, spent, limit, tools_expected)
        if look is not None:
            watch.forget(vm_moid)
            return look
        yield from pause(min(_LOOK, limit))


def _look(watch: Watch, vm_moid: str, spent: float, limit: float, tools_expected: bool) -> Look | None:
    """Return the verdict, or None if it is too early."""
    try:
        now = watch.state(vm_moid)
    except VSphereError as error:
        return Look(INCONCLUSIVE, str(error)) if spent >= limit else None
    if now is None:
        return Look(INCONCLUSIVE, "It was removed from the inventory during the drill.")
    if now.connection in _CUT_OFF:
        return Look(INCONCLUSIVE, "Its ESXi host is not connected.", now) if spent >= limit else None
    return _of_running(now, spent, limit, tools_expected)


def _of_running(now: VmNow, spent: float, limit: float, tools_expected: bool) -> Look | None:
    if now.question is not None:
        return Look(FAILED, f"It asked an unexpected question: '{printable(now.question.text, 300)}'.", now)
    if not now.on:
        return Look(FAILED, f"It went off by itself {spent:.0f} s after the power-on.", now)
    if now.tools == "running" and now.heartbeat in BEATING:
        return Look(VERIFIED, "", now)
    without_tools = now.tools == "not installed" and not tools_expected
    if without_tools and spent >= min(limit, _SETTLED):
        return Look(BOOTED, f"It ran for {spent:.0f} s, but it has no VMware Tools that could show more.", now)
    if spent < limit:
        return None
    if now.tools == "running":
        return Look(FAILED, f"VMware Tools run, but the heartbeat is {now.heartbeat} after {limit:g} s.", now)
    return Look(FAILED, f"VMware Tools did not run within {limit:g} s after the power-on.", now)
