# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of a drill on a ZFS snapshot, stored in its user property `quiesce.vmware_zfs:verified` as JSON:

    {"run": ..., "drill": ..., "time": "2026-01-31T09:15:00Z", "seconds": 93.5, "result": "verified",
     "vms": [{"name": "mail", "vmx": "mail/mail.vmx", "verdict": "verified", "time": ...}], "more": 0}

`result` is the worst verdict on the VMs with files on this dataset that were tried. The property counts only if `run`
is the run that took the snapshot. One property is set at once, so it needs no seal as the record does. A list that is
too long is cut, the best verdicts first, and `more` is the number of VMs that are missing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Mapping

from ..zfs import snapshots
from .manifest import PREFIX
from .record import RUN
from .verdicts import TRIED, VERIFIED, worst

KEY = PREFIX + "verified"


@dataclass(frozen=True)
class VmVerdict:
    """The last verdict on a VM. `vmx` is the path of its configuration in its dataset, `time` is UTC in ISO 8601."""

    name: str
    vmx: str
    verdict: str
    time: str


@dataclass(frozen=True)
class Verified:
    """The verdict of the last drill on a ZFS snapshot. `time` is UTC in ISO 8601, `seconds` the duration of the drill.

    `vms` are all VMs on which there is a verdict, also those of earlier drills. `more` is the number of those that did
    not fit into the property.
    """

    run: str
    drill: str
    time: str
    seconds: float
    result: str
    vms: tuple[VmVerdict, ...] = ()
    more: int = 0

    def after(self, earlier: Verified | None) -> Verified:
        """Return this verdict with the VMs of an earlier drill that this one has not tried."""
        if earlier is None:
            return self
        known = {vm.vmx for vm in self.vms}
        vms = (*self.vms, *(vm for vm in earlier.vms if vm.vmx not in known))
        return replace(self, vms=vms, result=worst([self.result, *(vm.verdict for vm in vms)]))

    def text(self) -> str:
        """Return the value of the property. A list of VMs that is too long for ZFS is cut."""
        vms = sorted(self.vms, key=lambda vm: TRIED.index(vm.verdict))
        while True:
            text = json.dumps(self._with(vms).as_dict(), separators=(",", ":"))
            if len(text) <= snapshots.MAX_PROPERTY_VALUE or not vms:
                return text
            vms = vms[: len(vms) * 9 // 10]

    def _with(self, vms: list[VmVerdict]) -> Verified:
        return replace(self, vms=tuple(vms), more=self.more + len(self.vms) - len(vms))

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return {**asdict(self), "vms": [asdict(vm) for vm in self.vms]}


def verdict_in(values: Mapping[str, str]) -> Verified | None:
    """Return the verdict in a snapshot's own properties, or None if there is no valid one for its run."""
    try:
        found = json.loads(values.get(KEY, ""))
        vms = tuple(VmVerdict(*(str(vm[key]) for key in ("name", "vmx", "verdict", "time"))) for vm in found["vms"])
        run, drill, time = (str(found[key]) for key in ("run", "drill", "time"))
        read = Verified(run, drill, time, float(found["seconds"]), str(found["result"]), vms, int(found["more"]))
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        return None
    known = {read.result, *(vm.verdict for vm in vms)} <= set(TRIED)
    return read if known and read.run and read.run == values.get(RUN) else None


def is_verified(values: Mapping[str, str]) -> bool:
    """Return whether the own properties of a snapshot say that a drill verified it."""
    verdict = verdict_in(values)
    return verdict is not None and verdict.result == VERIFIED
