# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture and the tables of docs/scaling.md, from what the benchmarks found and keep in benchmarks/results/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

from tests.lab.places import ROOT

from .markdown import fill, table

PAGE = ROOT / "docs" / "scaling.md"
RESULTS = ROOT / "benchmarks" / "results"

COLOURS = ("#b2182b", "#ef8a62", "#67a9cf", "#2166ac")  # told apart by who sees no red or green, too


def write() -> None:
    """Write the tables again, from all results."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """`text` with the tables as they are to be."""
    bench, controller, fleet = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("bench", "controller", "fleet")
    )
    return fill(text, {"bench": engine_table(bench), "controller": controller_table(controller), **tables(fleet)})


def draw(found: Mapping[str, Any], jitters: Sequence[int], path: Path) -> None:
    """Operations and sessions on the largest vCenter over time, and the hold windows of all storage hosts, as an SVG.

    The same data gives the same file.
    """
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "fleet", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    from matplotlib import pyplot

    shown = [one for one in found["simulations"] if one["jitter"] in jitters]
    limits = found["assumptions"]
    figure, (operations, sessions, windows) = pyplot.subplots(3, 1, figsize=(8, 9.5), layout="constrained")
    for simulation, colour in zip(shown, COLOURS):
        label = f"jitter {simulation['jitter']} s" if simulation["jitter"] else "no jitter"
        largest = max(simulation["vcenters"], key=lambda vcenter: int(vcenter["vms"]))
        for axes, name in ((operations, "in_flight"), (sessions, "sessions")):
            axes.plot([second / 60 for second in range(len(largest[name]))], largest[name], color=colour, label=label)
        held = simulation["hold_windows"]
        windows.plot(held, [100 * (rank + 1) / len(held) for rank in range(len(held))], color=colour, label=label)
    vms = max(limits["vms"])
    operations.axhline(limits["operations"], color="black", linestyle="--", linewidth=1)
    operations.annotate(
        f"{limits['operations']}: from here on vCenter queues", (0.99, limits["operations"]),
        xycoords=("axes fraction", "data"), ha="right", va="bottom",
    )  # fmt: skip
    operations.set(title=f"Operations in flight on the vCenter with {vms:,} VMs", yscale="symlog", ylim=(0, 20_000))
    operations.set_yticks([0, 1, 10, 100, 1000, 10_000], ["0", "1", "10", "100", "1,000", "10,000"])
    sessions.set(title="Sessions on it", xlabel="minutes after the due minute began")
    sessions.annotate(f"vCenter admits {limits['sessions']:,}", (0.99, 0.9), xycoords="axes fraction", ha="right")
    windows.set(
        title=f"Hold windows of {limits['storage_hosts']:,} storage hosts", xlabel="seconds", ylabel="% are no longer",
        xlim=(0, None),
    )  # fmt: skip
    operations.legend(loc="lower center")
    windows.legend(loc="center right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """The tables of a simulation by name, as Markdown."""
    return {"fleet": _by_jitter(found), "rule": _by_size(found)}


def engine_table(bench: Mapping[str, Any]) -> str:
    """What a run costs a storage host, from the results of all cases."""
    figures = {case["name"]: case["figures"] for case in bench["cases"] if case["system"] == "quiesce.vmware_zfs"}
    hundred, thousand = figures["100 VMs at 2 s"], figures["1000 VMs at 0.5 s"]
    rows = [
        [name, *(write.format(of[figure]) for of in (hundred, thousand))]
        for name, figure, write in (
            ("processor time for each VM, ms", "cpu_ms_per_vm", "{:.1f}"),
            ("most memory, MB", "peak_mb", "{:.0f}"),
            ("requests to vCenter for each VM", "requests_per_vm", "{:.2f}"),
            ("planning, s", "plan_seconds", "{:.1f}"),
            ("hold window / shortest possible", "of_limit", "{:.2f}"),
        )
    ]
    return table(("a run", "100 VMs at 2 s, 32 in flight", "1,000 VMs at 0.5 s, 64 in flight"), rows)


def controller_table(found: Mapping[str, Any]) -> str:
    """What a controller pays for hosts and forks, from what controller.py found."""
    rows = [
        ["memory of ansible-playbook without forks, MB", f"{found['mb_without_forks']:.0f}"],
        ["memory of each fork, MB", f"{found['mb_per_fork']:.0f}"],
        ["processor time for each host and task, s", f"{found['command_cpu_seconds_per_host']:.2f}"],
        ["the same with the module's own, s", f"{found['module_cpu_seconds_per_host']:.2f}"],
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
            *(f"{one['hold_window'][figure]:.0f}" for figure in ("median", "p99", "longest")),
            f"{one['over_after'] / 60:.0f}",
        ]
        for one in found["summaries"]
    ]
    head = (
        "jitter, s", "most in flight on one vCenter", "vCenters that queue", "for s", "most sessions on one",
        "hold window, median, s", "99th percentile", "longest", "all done after min",
    )  # fmt: skip
    return table(head, rows)


def _by_size(found: Mapping[str, Any]) -> str:
    usual, slow = ({one["vms"]: one for one in found["rule"] if one["slow"] is which} for which in (False, True))
    rows = [
        [f"{vms:,}", one["jitter"], one["most_in_flight"], slow[vms]["jitter"], slow[vms]["most_in_flight"]]
        for vms, one in usual.items()
    ]
    longer = f"VMs that take {found['slow']:.0f} times as long: jitter by the rule, s"
    return table(("VMs on the vCenter", "jitter by the rule, s", "most in flight", longer, "most in flight"), rows)
