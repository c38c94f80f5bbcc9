# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of a case, from the traces of the simulators, so that every system is measured in the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from tests.lab.simulator import WAITS, requests

Figures = dict[str, float]


def of_traces(traces: Sequence[Sequence[dict[str, Any]]], vms: int) -> Figures:
    """Hold window and hold of each VM (seconds), requests in total and per VM, and waits.

    A VM is held from the start of the creation of its VMware snapshot to the end of the removal. Raise ValueError if a
    VM was not snapshotted and released: a system that skips VMs is not faster, but wrong.
    """
    held = [hold for trace in traces for hold in _holds(trace)]
    if len(held) != vms:
        raise ValueError(f"{len(held)} of {vms} VMs were held and released")
    seconds = sorted(end - begin for begin, end in held)
    calls = sum(entry["kind"] == "call" for trace in traces for entry in trace)
    asked = sum(map(requests, traces))
    return {
        "hold_window_seconds": _window(traces),
        "vm_hold_median_seconds": median(seconds),
        "vm_hold_p99_seconds": seconds[math.ceil(0.99 * len(seconds)) - 1],
        "requests": asked,
        "requests_per_vm": asked / vms,
        "waits": calls - asked,
        "waits_per_quiet_second": max(_quiet_waits(trace) for trace in traces),
    }


def _holds(trace: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """The start of the first creation and the end of the last removal for each VM, by the clock of the simulator."""
    begun = dict(reversed(_tasks(trace, "CreateSnapshot", "started")))
    ended = dict(_tasks(trace, "RemoveSnapshot", "finished"))
    return [(begun[vm], ended[vm]) for vm in begun.keys() & ended.keys()]


def _window(traces: Sequence[Sequence[dict[str, Any]]]) -> float:
    """The longest time from the first hold to the end of the last one. Each simulator has its own clock."""
    windows = []
    for trace in traces:
        holds = _holds(trace)
        windows.append(max(end for _unused, end in holds) - min(begin for begin, _unused in holds))
    return max(windows)


def _quiet_waits(trace: Sequence[dict[str, Any]]) -> float:
    """Waits per second in the longest time without a start or end of a task; 0 if that is less than two seconds."""
    instants = sorted(entry["time"] for entry in trace if entry["kind"] == "task")
    seconds, begin = max(((after - before, before) for before, after in pairwise(instants)), default=(0.0, 0.0))
    if seconds < 2:
        return 0.0
    waits = [entry for entry in trace if entry.get("method") in WAITS and begin < entry["time"] < begin + seconds]
    return float(len(waits) / seconds)


def _tasks(trace: Sequence[dict[str, Any]], method: str, event: str) -> list[tuple[str, float]]:
    """The VM and the time of each of these events."""
    return [
        (entry["vm"], entry["time"])
        for entry in trace
        if entry["kind"] == "task"
        and entry["event"] == event
        and entry["method"].startswith(method)
        and not entry.get("fault")
    ]
