# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of restores. As in ../targets.py, CI checks only those that do not depend on the load of the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..figures import Figures
from ..targets import Result
from .cases import CLONE, CLONING, COPY, ENGINE, RestoreCase

OWN_SECONDS, REQUESTS = 3.0, 12.0
SMALL_REQUESTS = 13.0  # on a busy machine, a power-on takes so long that the restore looks at the VM once more


class Restores:
    """The results by case and system."""

    def __init__(self, results: Iterable[Result]) -> None:
        self._by: dict[tuple[str, str], Figures] = {(one["name"], one["system"]): one["figures"] for one in results}

    def of(self, vms: int, way: str = COPY, system: str = ENGINE) -> Figures:
        """Raise KeyError if the case was not measured."""
        return self._by[RestoreCase(vms, way).name, system]

    def vms(self, way: str) -> list[int]:
        """Return the numbers of VMs that were measured in this way."""
        return [vms for vms in range(1, 1000) if (RestoreCase(vms, way).name, ENGINE) in self._by]

    def requests_per_vm(self, way: str) -> float:
        """Return how many requests each VM adds: those that all VMs of a restore share are not in it."""
        few, many = min(self.vms(way)), max(self.vms(way))
        more = self.of(many, way)["vcenter_requests"] - self.of(few, way)["vcenter_requests"]
        return float(more / (many - few))

    def cloning(self) -> Figures:
        return self._by[CLONING, ENGINE]


def verdicts(results: Iterable[Result], small: bool = False) -> dict[str, dict[str, Any]]:
    """{name: {"value", "target", "met"}}."""
    found = Restores(results)
    ways = [way for way in (COPY, CLONE) if len(found.vms(way)) > 1]
    bound = SMALL_REQUESTS if small else REQUESTS
    figures = {f"requests per VM, {way}": (found.requests_per_vm(way), bound) for way in ways}
    if not small:
        for way in (way for way in (COPY, CLONE) if 1 in found.vms(way)):
            figures[f"own share of the time of one VM (s), {way}"] = (found.of(1, way)["own_seconds"], OWN_SECONDS)
    return {
        name: {"value": round(value, 3), "target": f"<= {bound:g}", "met": value <= bound}
        for name, (value, bound) in figures.items()
    }
