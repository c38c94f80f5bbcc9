# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of the engine, and the verdict on each, from the figures of the cases.

Each target is an upper or a lower bound. A `value` of None means that its case was not run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import module_overhead
from .cases import ENGINE, SCALE, SEQUENTIAL
from .figures import Figures

# The case and system that show how fast the processor and the interpreter are, and their CPU time per VM (ms) on the
# machine where the targets were first measured.
YARDSTICK = ("100 VMs at 2 s", SEQUENTIAL)
SEQUENTIAL_MS = 29.0

Result = dict[str, Any]  # {"name", "system", "figures", "case": {...}}


@dataclass(frozen=True)
class Target:
    """`value` of the results must be at most `bound`, or with `at_least` at least `bound`."""

    name: str
    bound: float
    value: Callable[["Results"], float]
    at_least: bool = False

    def verdict(self, results: "Results") -> dict[str, Any]:
        try:
            value = self.value(results)
        except (KeyError, ValueError):
            return {"value": None, "target": self._words(), "met": None}
        return {
            "value": round(value, 3),
            "target": self._words(),
            "met": value >= self.bound if self.at_least else value <= self.bound,
        }

    def _words(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:g}"


class Results:
    """The results by case and system."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.all = list(results)
        self._by = {(result["name"], result["system"]): result["figures"] for result in self.all}

    def of(self, case: str, system: str = ENGINE) -> Figures:
        found: Figures = self._by[case, system]
        return found

    def engine(self, at_least: int = 1) -> list[tuple[dict[str, Any], Figures]]:
        """Case and figures of the engine's results with at least this many VMs."""
        return [
            (result["case"], result["figures"])
            for result in self.all
            if result["system"] == ENGINE and result["case"].get("vms", 0) >= at_least
        ]

    def lead(self) -> float:
        """The hold window of the fastest other tool divided by that of the engine, in the worst case."""
        return float(
            min(
                result["figures"]["hold_window_seconds"] / self.of(result["name"])["hold_window_seconds"]
                for result in self.all
                if result["system"] != ENGINE and (result["name"], ENGINE) in self._by
            )
        )

    def cpu_ms_per_vm(self) -> float:
        """The engine's CPU time per VM (ms) in the worst case with at least 100 VMs per vCenter."""
        return max(
            figures["cpu_ms_per_vm"] for case, figures in self.engine(100) if case["vms"] >= 100 * case["vcenters"]
        )

    def cpu_at_yardstick(self) -> float:
        """The same, scaled down to the speed of the first machine if this machine is slower: processors with the same
        name differ by a factor of up to five.
        """
        return self.cpu_ms_per_vm() * min(1.0, SEQUENTIAL_MS / self.of(*YARDSTICK)["cpu_ms_per_vm"])

    def waits(self) -> float:
        """Waits per second while nothing changes. Raise ValueError if something was always changing."""
        waits = self.of("100 VMs, one takes 30 s")["waits_per_quiet_second"]
        if not waits:
            raise ValueError("something was always changing")
        return float(waits)


def _requests(case: dict[str, Any], figures: Figures) -> float:
    """Requests per VM above the 40 that each vCenter may cost. Waits are not included."""
    return float((figures["requests"] - 40 * case["vcenters"]) / case["vms"])


TARGETS = (
    # Without the ZFS snapshot: an emulated storage host takes ten times as long for it as a real one.
    Target(
        "hold window without the ZFS snapshot / minimum: 100 VMs at 2 s, 8, 32 or 100 in flight",
        1.10,
        lambda found: max(
            found.of(f"100 VMs at 2 s{more}")["of_limit_without_zfs"]
            for more in ("", ", 8 in flight", ", 100 in flight")
        ),
    ),
    Target(
        "hold window / minimum: 1000 VMs at 0.5 s, 64 in flight", 1.25,
        lambda found: found.of("1000 VMs at 0.5 s")["of_limit"],
    ),
    Target(
        "hold window, one VM at a time / engine: 100 VMs at 2 s, 32 in flight", 20,
        lambda found: found.of("100 VMs at 2 s", SEQUENTIAL)["hold_window_seconds"]
        / found.of("100 VMs at 2 s")["hold_window_seconds"],
        at_least=True,
    ),
    Target("hold window, fastest other tool / engine, worst case", 1, Results.lead, at_least=True),
    Target(
        "requests per VM above 40 per vCenter, without waits, worst case", 2.5,
        lambda found: max(_requests(case, figures) for case, figures in found.engine()),
    ),
    Target("waits per second while nothing changes", 1.05, Results.waits),
    Target(
        "planning 100 VMs: inventory of 10,000 / inventory of 100", 1.5,
        lambda found: found.of("100 VMs, inventory of 10,000")["plan_seconds"]
        / found.of("100 VMs, inventory of 100")["plan_seconds"],
    ),
    Target(
        "planning per VM: 1000 VMs / 100 VMs", 1,
        lambda found: found.of("1000 VMs at 0 s")["plan_seconds"] / found.of("100 VMs at 0 s")["plan_seconds"] / 10,
    ),
    Target(
        "total time: 10 vCenters / 1 vCenter", 1.3,
        lambda found: found.of("10 vCenters, 100 credentials")["seconds"]
        / found.of("1 vCenter, 10 credentials")["seconds"],
    ),
    Target(
        "peak memory (MB)", 150,
        lambda found: max(figures["peak_mb"] for _unused, figures in found.engine(1000)),
    ),
    Target("CPU per VM (ms), worst case, normalized", 6, Results.cpu_at_yardstick),
    Target(
        "median hold with one slow VM and vm_timeout 5 s / (5 s + removals)", 1.1,
        lambda found: found.of("100 VMs, one takes 30 s, vm_timeout 5 s")["vm_hold_median_seconds"] / (5 + 2),
    ),
    Target(
        "median hold with one slow VM: four waves / one wave", 0.5,
        lambda found: found.of("100 VMs, one takes 30 s, four waves")["vm_hold_median_seconds"]
        / found.of("100 VMs, one takes 30 s")["vm_hold_median_seconds"],
    ),
    Target(
        "zfs processes for a run with 1,000 datasets, without VMware", 25,
        lambda found: found.of(SCALE)["turn_processes"],
    ),
    Target(
        "start of a module that loads pyVmomi (s)", 1,
        lambda found: found.of("module start", module_overhead.CONNECTING)["seconds"],
    ),
)  # fmt: skip


# For CI, on a busy machine: only figures that do not depend on the load, or ratios of two that depend on it equally.
SMALL_TARGETS = (
    Target("hold window, one VM at a time / engine", 5, Results.lead, at_least=True),
    Target(
        "requests per VM above 40 per vCenter, without waits, worst case", 2.5,
        lambda found: max(_requests(case, figures) for case, figures in found.engine()),
    ),
    Target(
        "CPU of planning 100 VMs: inventory of 2,000 / inventory of 100", 2,
        lambda found: found.of("100 VMs, inventory of 2,000")["plan_cpu_seconds"]
        / found.of("100 VMs, inventory of 100")["plan_cpu_seconds"],
    ),
)  # fmt: skip


def verdicts(results: Iterable[Result], small: bool = False) -> dict[str, dict[str, Any]]:
    """{name: {"value", "target", "met"}}."""
    found = Results(results)
    return {target.name: target.verdict(found) for target in (SMALL_TARGETS if small else TARGETS)}
