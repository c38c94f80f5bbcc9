# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmarks.md from the figures: tables and charts, with ratios where two systems are compared.

    python -m benchmarks.report

writes the page again, with its pictures and the tables of docs/scaling.md, from the results that it was written from
last.
"""

from __future__ import annotations

import json
from typing import Any

from tests.lab.places import ROOT

from . import charts, module_overhead, scaling_page
from .cases import ENGINE, PEERS, SCALE, SEQUENTIAL
from .figures import Figures
from .markdown import table
from .targets import SEQUENTIAL_MS, YARDSTICK, Results, verdicts

PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = scaling_page.RESULTS / "bench.json"  # what the pages tell; build/bench.json is newer, or a part
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
same job, against the same simulated vCenter (tests/lab/vcenter) in one run, with real ZFS, into `build/bench.json`;
this page is made of that by a script. Hold windows and requests are read from the simulator's own trace, so that each
system is measured with the same eyes.

Measured on {date} at commit {commit}: {processor}, {cores} cores, {memory_gib} GiB, Linux {kernel}, Python {python}
(the distribution's, as on a storage host), pyVmomi {pyvmomi}, ansible-core {ansible_core}. The simulator and the
storage host, which is emulated, share these cores with what is measured. Figures of the engine are medians of {runs}
or more runs; those of the others, of cases whose limit is 20 s or more, and of many datasets, are of one.

Each simulated vCenter has 16 ESXi hosts, and answers a call at once unless a case says "calls take"; a real one takes
some 20 ms, which lengthens the window most when 100 are in flight.

Two figures say more of this machine than of what is measured, and have others beside them. The emulated storage host
takes {zfs:.2f} s for the ZFS snapshot of 100 VMs, many times as long as a real one: so the hold window is shown without
it as well. And processors of one name differ by a factor of five: so CPU time on a slower machine is judged at the
speed at which *{sequential}* takes {sequential_ms:g} ms for each of 100 VMs, as it did where the target was first
measured. Here it took {sequential_here:.1f} ms, and the engine {raw:.1f} ms in the worst case.

## Targets

{targets}

## Hold window

![Hold window as a multiple of its limit](images/benchmarks-limit.svg)

{limits}

## Beside others

How many times as long as this collection the others hold the VMs in the same case. *{sequential}* is a coordinator
written for this comparison that does what TrueNAS's does: one VM at a time, one property per call. The modules are
called from a playbook, in a loop and with `async`, around a `zfs snapshot`. Where a figure stands as "over", that
system was not run: it cannot be shorter than all its tasks after each other. An empty cell was not measured: the
playbooks run with 10 VMs, and with 100 at 2 s.

![Hold window beside others](images/benchmarks-peers.svg)

{peers}

## What it costs

{costs}

Waits are counted apart from requests, for every system: a wait is a call that vCenter answers when something has
happened, at most one per second while nothing does: {waits} in the case of the straggler, in which nothing
happens for half a minute.

## Planning

The time of a dry run: log in, match, read the VMs, decide. It grows with the VMs on the datastore, not with the
inventory.

{plans}

## The start of a module

What a call costs before the module's work begins, Ansible's own share included: `{connecting}` has
loaded pyVmomi by then, in the Python of the role `runtime` that it has started for that.

{calls}

## Many datasets

1,000 datasets with 10,000 ZFS snapshots, on the emulated storage host, where `zfs` takes some hundredths of a second
for each: what counts are the processes, and how little the engine adds to the time of `zfs`.

{scale}

Within a turn, what retention has to know of all ZFS snapshots is read in {facts:.0f} s, by one process, before and
after the snapshot; 1,000 processes, one for each dataset, would take {apart:.0f} s, as told from ten of them. 1,000 ZFS
snapshots are destroyed in {destroy:.0f} s. The record makes the ZFS snapshot take {recorded:.2f} times as long as
without.
"""


def write(found: dict[str, Any]) -> None:
    """Write the pages and their pictures, from the results of all cases, which are kept beside the benchmarks."""
    found = {**found, "targets": verdicts(found["cases"])}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = _results(found)
    charts.limit_chart(_held(results))
    charts.peer_chart(results)
    PAGE.write_text(page(found), encoding="utf-8")
    scaling_page.write()


def page(found: dict[str, Any]) -> str:
    """docs/benchmarks.md."""
    results = _results(found)
    engine = _engine(results)
    straggler = engine["a straggler of 30 s among 100 VMs"]["waits_per_quiet_second"]
    return _TEXT.format(
        **found["machine"],
        runs=min((one["runs"] for one in results.values() if one.get("runs", 1) > 1), default=1),
        targets=target_table(found["targets"]),
        limits=_limit_table(results),
        sequential=SEQUENTIAL,
        sequential_ms=SEQUENTIAL_MS,
        sequential_here=results[YARDSTICK]["figures"]["cpu_ms_per_vm"],
        raw=Results(found["cases"]).cpu_ms_per_vm(),
        connecting=module_overhead.CONNECTING.rpartition(".")[2],
        zfs=engine[YARDSTICK[0]]["zfs_snapshot_seconds"],
        peers=_peer_table(results),
        costs=_cost_table(results),
        waits=f"{straggler:.2f} per second",
        plans=_plan_table(engine),
        calls=_call_table(results),
        scale=_scale_table(engine[SCALE]),
        facts=engine[SCALE]["facts_seconds"],
        apart=engine[SCALE]["facts_one_by_one_seconds"],
        destroy=engine[SCALE]["turn_destroy_seconds"],
        recorded=engine[SCALE]["snapshot_of_bare"],
    )


def _results(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """By case and system."""
    return {(result["name"], result["system"]): result for result in found["cases"]}


def _engine(results: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Figures]:
    """The engine's figures by case."""
    return {name: result["figures"] for (name, system), result in results.items() if system == ENGINE}


def _held(results: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Figures]:
    """The same of the cases that have a limit."""
    return {name: figures for name, figures in _engine(results).items() if figures.get("of_limit")}


def target_table(targets: dict[str, dict[str, Any]]) -> str:
    words = {True: "yes", False: "**no**", None: "not run"}
    rows = [
        [name, "" if one["value"] is None else f"{one['value']:g}", one["target"], words[one["met"]]]
        for name, one in targets.items()
    ]
    return table(["target", "measured", "wanted", "met"], rows)


def _limit_table(results: dict[Any, Any]) -> str:
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
        for name, figures in _held(results).items()
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
            ratio = other["figures"]["hold_window_seconds"] / ours
            row.append(f"{'over ' * other['computed']}{ratio:.{0 if ratio >= 10 else 1}f} x")
        rows.append(row)
    return table(["case", SEQUENTIAL, *PEERS], rows)


def _cost_table(results: dict[Any, Any]) -> str:
    rows = []
    for name, figures in _engine(results).items():
        if "requests" not in figures:
            continue
        sequential = results.get((name, SEQUENTIAL))
        beside = sequential["figures"] if sequential and not sequential["computed"] else {}
        rows.append(
            [
                name,
                f"{figures['requests_per_vm']:.2f}",
                f"{beside['requests_per_vm']:.0f}" if beside else "",
                f"{figures['waits'] / results[name, ENGINE]['case']['vms']:.2f}",
                f"{figures['cpu_ms_per_vm']:.1f}",
                f"{beside['cpu_ms_per_vm']:.0f}" if beside else "",
                f"{figures['peak_mb']:.0f}",
            ]
        )
    head = ["case", "requests per VM", SEQUENTIAL, "waits per VM", "CPU per VM, ms", SEQUENTIAL, "peak memory, MB"]
    return table(head, rows)


def _plan_table(engine: dict[str, Figures]) -> str:
    rows = [
        [name, f"{figures['plan_seconds']:.2f} s"]
        for name, figures in engine.items()
        if "plan_seconds" in figures and ("inventory" in name or "at 0 s" in name or "credentials" in name)
    ]
    return table(["case", "planning"], rows)


def _call_table(results: dict[Any, Any]) -> str:
    rows = [
        [f"`{system}`", f"{result['figures']['seconds']:.2f} s"]
        for (name, system), result in results.items()
        if name == "a module's call"
    ]
    return table(["module", "before its work begins"], rows)


def _scale_table(figures: Figures) -> str:
    steps = {
        "list": "list the datasets",
        "match": "match a datastore with each",
        "plan": "plan a run",
        "snapshot": "take the ZFS snapshot of all, with its record",
        "seal": "raise the records of all",
        "turn": "a turn of a task without VMware: snapshot, judge, destroy one of each",
    }
    rows = [
        [
            step,
            f"{figures[f'{key}_processes']:.0f}",
            f"{figures[f'{key}_seconds']:.1f} s",
            f"{figures[f'{key}_of_zfs']:.2f}" if f"{key}_of_zfs" in figures else "",
        ]
        for key, step in steps.items()
        if f"{key}_processes" in figures  # the seal came later than the first results
    ]
    return table(["step", "`zfs` processes", "time", "time / that of `zfs`"], rows)


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text(encoding="utf-8")))
