# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chart and the tables of docs/scaling.md, from the results in benchmarks/results/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

from tests.lab.places import ROOT

from .markdown import fill, table

PAGE = ROOT / "docs" / "scaling.md"
RESULTS = ROOT / "benchmarks" / "results"

COLOURS = ("#b2182b", "#ef8a62", "#67a9cf", "#2166ac")  # distinguishable with color blindness


def write() -> None:
    """Write the tables to the page again, from all results."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Return `text` with the current tables."""
    bench, controller, fleet = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("bench", "controller", "fleet")
    )
    return fill(text, {"bench": engine_table(bench), "controller": controller_table(controller), **tables(fleet)})


def draw(found: Mapping[str, Any], jitters: Sequence[int], path: Path) -> None:
    """Draw operations and sessions on the largest vCenter over time, and the hold windows of all storage hosts, as SVG.

    The same data always gives the same file.
    """
    from . import style

    shown = [one for one in found["simulations"] if one["jitter"] in jitters]
    limits = found["assumptions"]
    figure, (operations, sessions, windows) = style.new(10.0, 3)
    for simulation, colour in zip(shown, COLOURS):
        label = f"jitter {simulation['jitter']} s" if simulation["jitter"] else "no jitter"
        largest = max(simulation["vcenters"], key=lambda vcenter: int(vcenter["vms"]))
        for axes, name in ((operations, "in_flight"), (sessions, "sessions")):
            axes.plot([second / 60 for second in range(len(largest[name]))], largest[name], color=colour, label=label)
        held = simulation["hold_windows"]
        windows.plot(held, [100 * (rank + 1) / len(held) for rank in range(len(held))], color=colour, label=label)
    vms = max(limits["vms"])
    operations.axhline(limits["operations"], color=style.INK, linestyle="--", linewidth=1)
    operations.annotate(
        f"above {limits['operations']}, vCenter queues operations", (0.99, limits["operations"]),
        xycoords=("axes fraction", "data"), ha="right", va="bottom",
    )  # fmt: skip
    operations.set(
        title=f"Operations in flight on the largest vCenter ({vms:,} VMs)", ylabel="operations (logarithmic scale)",
        yscale="symlog", ylim=(0, 20_000),
    )  # fmt: skip
    operations.set_yticks([0, 1, 10, 100, 1000, 10_000], ["0", "1", "10", "100", "1,000", "10,000"])
    sessions.set(title="Sessions on the same vCenter", ylabel="sessions")
    sessions.annotate(f"vCenter allows {limits['sessions']:,}", (0.99, 0.9), xycoords="axes fraction", ha="right")
    for axes in (operations, sessions):
        axes.set(xlabel="minutes after the scheduled minute", xlim=(0, None))
    windows.set(
        title=f"Hold windows of {limits['storage_hosts']:,} storage hosts", xlabel="hold window, seconds",
        ylabel="hosts with a shorter one, %", xlim=(0, None), ylim=(0, 102),
    )  # fmt: skip
    for axes in (operations, sessions, windows):
        axes.legend(loc="lower center" if axes is operations else "center right")
    style.save(figure, path)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a simulation, as Markdown, by name."""
    return {"fleet": _by_jitter(found), "rule": _by_size(found)}


def engine_table(bench: Mapping[str, Any]) -> str:
    """The cost of a run on the storage host, from the results of all cases."""
    figures = {case["name"]: case["figures"] for case in bench["cases"] if case["system"] == "quiesce.vmware_zfs"}
    hundred, thousand = figures["100 VMs at 2 s"], figures["1000 VMs at 0.5 s"]
    rows = [
        [name, *(write.format(of[figure]) for of in (hundred, thousand))]
        for name, figure, write in (
            ("CPU time per VM (ms)", "cpu_ms_per_vm", "{:.1f}"),
            ("peak memory (MB)", "peak_mb", "{:.0f}"),
            ("requests to vCenter per VM", "requests_per_vm", "{:.2f}"),
            ("planning (s)", "plan_seconds", "{:.1f}"),
            ("hold window / minimum", "of_limit", "{:.2f}"),
        )
    ]
    return table(("one run", "100 VMs at 2 s, 32 in flight", "1,000 VMs at 0.5 s, 64 in flight"), rows)


def controller_table(found: Mapping[str, Any]) -> str:
    """The cost of hosts and forks on the controller, from the results of controller.py."""
    rows = [
        ["memory without forks (MB)", f"{found['mb_without_forks']:.0f}"],
        ["memory per fork (MB)", f"{found['mb_per_fork']:.0f}"],
        ["CPU time per host and task (s)", f"{found['command_cpu_seconds_per_host']:.2f}"],
        ["CPU time including the module (s)", f"{found['module_cpu_seconds_per_host']:.2f}"],
    ]
    return table(("ansible-playbook", ""), rows)


def _by_jitter(found: Mapping[str, Any]) -> str:
    rows = [
        [
            one["jitter"] or "none",
            f"{one['most_in_flight']:,}",
            one["vcenters_above_the_limit"],
            one["seconds_queued"],
            one["most_sessions"],
        ]
        for one in found["summaries"]
    ]
    load = table(("jitter (s)", "max. in flight", "vCenters that queue", "queue time (s)", "max. sessions"), rows)
    rows = [
        [
            one["jitter"] or "none",
            *(f"{one['hold_window'][figure]:.0f}" for figure in ("median", "p99", "longest")),
            f"{one['over_after'] / 60:.0f}",
        ]
        for one in found["summaries"]
    ]
    holds = table(("jitter (s)", "median hold (s)", "99th percentile (s)", "longest (s)", "all done (min)"), rows)
    return f"{load}\n\n{holds}"


def _by_size(found: Mapping[str, Any]) -> str:
    usual, slow = ({one["vms"]: one for one in found["rule"] if one["slow"] is which} for which in (False, True))
    rows = [
        [f"{vms:,}", one["jitter"], one["most_in_flight"], slow[vms]["jitter"], slow[vms]["most_in_flight"]]
        for vms, one in usual.items()
    ]
    return table(("VMs", "jitter (s)", "max. in flight", "slow VMs: jitter (s)", "slow VMs: max. in flight"), rows)
