# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmarks.md from the figures: tables and charts, with ratios where two systems are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

from tests.lab.places import ROOT

from .cases import ENGINE, PEERS, SEQUENTIAL
from .figures import Figures
from .targets import SEQUENTIAL_MS, YARDSTICK

PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
_TEXT = """\
<!--
Copyright: (c) 2026, the quiesce.vmware_zfs authors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
-->
<!-- Written by `make bench` (benchmarks/report.py): change that, not this. -->

# Benchmarks

What a coordinated snapshot costs is the time that VMs run on delta files: the *hold window*, from the first creation
of a VMware snapshot to the end of the last removal. It cannot be shorter than `ceil(VMs / in flight)` creations after
each other, plus as many removals: that is its *limit*. `make bench` measures this collection, and others that do the
same job, against the same simulated vCenter (tests/lab/vcenter) in one run, with real ZFS, and writes this page and
`build/bench.json`. Hold windows and requests are read from the simulator's own trace, so that each system is measured
with the same eyes.

Measured on {date} at commit {commit}: {processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}, Python {python}
(the distribution's, as on a storage host), pyVmomi {pyvmomi}, ansible-core {ansible_core}. The simulator and the
storage host, which is emulated, share these cores with what is measured. Figures of the engine are medians of {runs}
or more runs; those of the others, and of cases whose limit is 20 s or more, are of one.

Two figures say more of this machine than of what is measured, and have others beside them. The emulated storage host
takes {zfs:.2f} s for the ZFS snapshot of 100 VMs, many times as long as a real one: so the hold window is shown without
it as well. And processors of one name differ by a factor of two: so CPU time is judged at the speed at which
*{sequential}* takes {sequential_ms:g} ms for each of 100 VMs, as it did where the target was first measured; here it
took {sequential_here:.0f}.

## Targets

{targets}

## Hold window

![Hold window as a multiple of its limit](images/benchmarks-limit.svg)

{limits}

## Beside others

How many times as long as this collection the others hold the VMs in the same case. *{sequential}* is a coordinator
written for this comparison that does what TrueNAS's does: one VM at a time, one property per call. The modules are
called from a playbook, in a loop and with `async`, around a `zfs snapshot`. Where a figure stands as "over", that
system was not run: it cannot be shorter than all its tasks after each other.

![Hold window beside others](images/benchmarks-peers.svg)

{peers}

## What it costs

{costs}

A wait is a call that vCenter answers when something has happened, at most one per second while nothing does: {waits}
in the case of the straggler, in which nothing happens for half a minute.

## Planning, retention, start

{beside}
"""


def write(found: dict[str, Any]) -> None:
    """Write the page and its charts, from the results of all cases."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    results = {(result["name"], result["system"]): result for result in found["cases"]}
    engine = {name: result["figures"] for (name, system), result in results.items() if system == ENGINE}
    held = {name: figures for name, figures in engine.items() if figures.get("of_limit")}
    _limit_chart(held)
    _peer_chart(results)
    straggler = engine.get("a straggler of 30 s among 100 VMs", {}).get("waits_per_quiet_second", 0.0)
    PAGE.write_text(
        _TEXT.format(
            **found["machine"],
            runs=min((one["runs"] for one in results.values() if one.get("runs", 1) > 1), default=1),
            targets=target_table(found["targets"]),
            limits=_limit_table(results, held),
            sequential=SEQUENTIAL,
            sequential_ms=SEQUENTIAL_MS,
            sequential_here=results[YARDSTICK, SEQUENTIAL]["figures"]["cpu_ms_per_vm"],
            zfs=engine[YARDSTICK]["zfs_snapshot_seconds"],
            peers=_peer_table(results),
            costs=_cost_table(results, engine),
            waits=f"{straggler:.2f} per second",
            beside=_beside(engine, results),
        ),
        encoding="utf-8",
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns after the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def target_table(targets: dict[str, dict[str, Any]]) -> str:
    words = {True: "yes", False: "**no**", None: "not run"}
    rows = [
        [name, "" if one["value"] is None else f"{one['value']:g}", one["target"], words[one["met"]]]
        for name, one in targets.items()
    ]
    return table(["target", "measured", "wanted", "met"], rows)


def _limit_table(results: dict[Any, Any], held: dict[str, Figures]) -> str:
    rows = [
        [
            name,
            f"{results[name, ENGINE]['case']['in_flight']}",
            f"{figures['hold_window_seconds'] / figures['of_limit']:.0f} s",
            f"{figures['of_limit']:.2f}",
            f"{figures['of_limit_without_zfs']:.2f}",
            f"{figures['vm_hold_median_seconds']:.1f} s",
            f"{figures['vm_hold_p99_seconds']:.1f} s",
        ]
        for name, figures in held.items()
    ]
    head = ["case", "in flight", "limit", "hold window / limit", "without the ZFS snapshot", "hold of a VM, median"]
    return table([*head, "99th percentile"], rows)


def _peer_table(results: dict[Any, Any]) -> str:
    rows = []
    for name in dict.fromkeys(name for name, system in results if system != ENGINE and (name, ENGINE) in results):
        ours = results[name, ENGINE]["figures"].get("hold_window_seconds")
        if ours is None:
            continue
        row = [name]
        for system in (SEQUENTIAL, *PEERS):
            other = results.get((name, system))
            if other is None:
                row.append("")
                continue
            row.append(f"{'over ' * other['computed']}{other['figures']['hold_window_seconds'] / ours:.0f} x")
        rows.append(row)
    return table(["case", SEQUENTIAL, *PEERS], rows)


def _cost_table(results: dict[Any, Any], engine: dict[str, Figures]) -> str:
    rows = []
    for name, figures in engine.items():
        if "requests" not in figures:
            continue
        sequential = results.get((name, SEQUENTIAL))
        beside = sequential["figures"] if sequential and not sequential["computed"] else {}
        rows.append(
            [
                name,
                f"{figures['requests_per_vm']:.2f}",
                f"{beside['requests_per_vm']:.0f}" if beside else "",
                f"{figures['cpu_ms_per_vm']:.1f}",
                f"{beside['cpu_ms_per_vm']:.0f}" if beside else "",
                f"{figures['peak_mb']:.0f}",
            ]
        )
    head = ["case", "requests per VM", SEQUENTIAL, "CPU per VM, ms", SEQUENTIAL, "peak memory, MB"]
    return table(head, rows)


def _beside(engine: dict[str, Figures], results: dict[Any, Any]) -> str:
    rows = [
        [f"planning: {name}", f"{figures['plan_seconds']:.2f} s"]
        for name, figures in engine.items()
        if "plan_seconds" in figures and ("inventory" in name or "at 0 s" in name or "credentials" in name)
    ]
    for (name, system), result in results.items():
        if name == "a module's call":
            rows.append([f"a module's call before its work: {system}", f"{result['figures']['seconds']:.2f} s"])
    scale = engine.get("1,000 datasets, 10,000 ZFS snapshots", {})
    rows += [
        [f"1,000 datasets, 10,000 ZFS snapshots: {key.replace('_', ' ')}", f"{value:g}"] for key, value in scale.items()
    ]
    return table(["", ""], rows)


def _limit_chart(held: dict[str, Figures]) -> None:
    names = list(held)
    figure, axes = plt.subplots(figsize=(8, 0.35 * len(names) + 1))
    axes.barh(names, [held[name]["of_limit"] for name in names], color="#3a7ca5")
    axes.axvline(1.0, color="#444444", linewidth=1)
    axes.invert_yaxis()
    axes.set_xlabel("hold window / limit")
    _save(figure, "benchmarks-limit.svg")


def _peer_chart(results: dict[Any, Any]) -> None:
    names = [name for (name, system), result in results.items() if system == SEQUENTIAL and not result["computed"]]
    systems = [system for system in (ENGINE, SEQUENTIAL, *PEERS) if any((name, system) in results for name in names)]
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(names) + 1.5))
    height = 0.85 / max(1, len(systems))
    for number, system in enumerate(systems):
        at = [place + number * height for place, name in enumerate(names) if (name, system) in results]
        seconds = [
            results[name, system]["figures"]["hold_window_seconds"] for name in names if (name, system) in results
        ]
        axes.barh(at, seconds, height, label=system)
    axes.set_yticks([place + 0.4 for place in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("hold window, seconds (logarithmic)")
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3)
    _save(figure, "benchmarks-peers.svg")


def _save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(Path(IMAGES, name), metadata={"Date": None})
    plt.close(figure)
