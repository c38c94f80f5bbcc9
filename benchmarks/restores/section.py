# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section about restores in docs/benchmarks.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..figures import Figures
from ..markdown import table, target_table
from .bench import RESULTS, RUNS
from .cases import CLONE, COPY, ENGINE, PLAYBOOK
from .stage import DISK_MB, TASK_SECONDS
from .targets import Restores

_TEXT = """\
## Restores

These figures were measured on {date} at commit {commit} on {processor}, {cores} cores, Linux {kernel}.
`python -m benchmarks.restores` measures them alone.

`vmware-zfs restore --power-on` restores 1, 10 or 50 VMs of one ZFS snapshot. The time is from the start of the command
until all VMs are powered on. Each VM has a disk of {disk} MB, a VMware snapshot of the run, and a network card. A task
of the simulated vCenter takes {task:g} s.

{targets}

{restores}

- *time* includes the emulated storage host and the simulated vCenter.
- *own share* is the part of the time in which the command waits neither for the storage host nor for vCenter. It
  includes the start of Python.
- *requests* are all requests to vCenter, without the wait that all VMs of a restore share. They also share the login
  and most of the plan, so the target is for what each further VM adds.

The figures of this collection are medians of {runs} runs.

The *playbook* in the next table does the same steps with modules of community.vmware and vmware.vmware. It copies the
folders with `cp`, registers the VMs, reverts them, removes the VMware snapshots, disconnects the network cards, and
powers on the VMs. It does not check that the disks of a VM are in its own folder, and it undoes nothing if a step
fails. It was measured once, and not with 50 VMs.

{playbook}

The copy of a disk with shared blocks takes no room, and a fraction of the time of `cp`. For a disk of {size}, it took
{clone:.1f} s on the emulated storage host, and `cp` took {cp:.0f} s.

"""


def stored() -> str:
    """Return the section for the stored results, or "" if restores were not measured yet."""
    return "" if not RESULTS.exists() else text(json.loads(RESULTS.read_text(encoding="utf-8")))


def text(found: dict[str, Any]) -> str:
    restores = Restores(found["cases"])
    cloning = restores.cloning()
    return _TEXT.format(
        **found["machine"],
        disk=DISK_MB,
        task=TASK_SECONDS,
        targets=target_table(found["targets"]),
        restores=_table(restores),
        runs=RUNS,
        playbook=_playbook_table(restores),
        size=f"{cloning['megabytes'] / 1024:g} GB",
        clone=cloning["clone_seconds"],
        cp=cloning["cp_seconds"],
    )


def _table(restores: Restores) -> str:
    rows = [
        [
            f"{vms} VM{'s' * (vms > 1)}, {_WAYS[way]}",
            f"{figures['seconds']:.1f} s",
            f"{figures['own_seconds']:.1f} s",
            f"{figures['vcenter_requests']:.0f}",
            f"{figures['vcenter_requests'] / vms:.1f}",
            f"{figures['cpu_ms_per_restore']:.0f}",
        ]
        for way in (COPY, CLONE)
        for vms, figures in _measured(restores, way)
    ]
    return table(["restore", "time", "own share", "requests", "requests / VMs", "CPU per VM (ms)"], rows)


_WAYS = {COPY: "copy", CLONE: "clone (`--instant`)"}


def _measured(restores: Restores, way: str) -> Iterator[tuple[int, Figures]]:
    for vms in restores.vms(way):
        yield vms, restores.of(vms, way)


def _playbook_table(restores: Restores) -> str:
    rows = []
    for vms, ours in _measured(restores, COPY):
        try:
            other = restores.of(vms, COPY, PLAYBOOK)
        except KeyError:
            continue
        rows.append(
            [
                f"{vms} VM{'s' * (vms > 1)}",
                *(f"{one['seconds']:.1f} s" for one in (ours, other)),
                *(f"{one['vcenter_requests'] / vms:.0f}" for one in (ours, other)),
            ]
        )
    head = ["restore", f"{ENGINE}", "playbook", f"{ENGINE}: requests / VMs", "playbook: requests / VMs"]
    return table(head, rows)
