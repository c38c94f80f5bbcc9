# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the judge finds in a ZFS snapshot, as rows for a person."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..places import LabError
from ..storage_host import StorageHost
from .host import Hypervisor, HypervisorError
from .judge import Findings, disagreements, examine, lost

OURS = "vmware-zfs "  # begins the names of the VMware snapshots of the collection
_RUN, _SEALED = "quiesce.vmware_zfs:run", "quiesce.vmware_zfs:sealed"
_CLOCKS = 2.0  # seconds by which the clocks of the two guests may differ
# One line for each VM: its .vmx file and its VMware snapshots, separated by tabs. The mount ends with the command.
_LIST = """set -eu
place=$(mktemp -d /run/judge.XXXXXX)
trap 'cd /; umount "$place" 2>/dev/null || true; rmdir "$place"' EXIT
mount -t zfs -o ro "$1" "$place"
cd "$place"
for vmx in */*.vmx; do
    [ -e "$vmx" ] || continue
    printf '%s' "$vmx"
    sed -n 's/^snapshot[0-9]*\\.displayName = "\\(.*\\)"$/\\t\\1/p' "${vmx%.vmx}.vmsd" 2>/dev/null | tr -d '\\n' || true
    printf '\\n'
done
"""


@dataclass(frozen=True)
class Row:
    """`level` is that of the record, or "" without one. `lost` is None if unknown. `at_least`: there may be more."""

    vm: str
    level: str
    needs_recovery: bool
    lost: int | None
    at_least: bool
    in_step: bool
    unfinished: str
    disagreements: list[str]


def report(storage: StorageHost, wanted: str, machines: Sequence[Mapping[str, Any]] = ()) -> tuple[str, list[Row]]:
    """Read the disks of all real VMs in a ZFS snapshot. For a dataset, take its newest one whose run has ended.

    `machines` are the VMs of the vCenter: the hypervisor is asked for what it has measured of them.
    """
    snapshot = wanted if "@" in wanted else _newest(storage, wanted)
    done = storage.ssh(["sh", "-c", _LIST, "list", snapshot], check=False)
    if done.returncode:
        raise LabError(
            f"The ZFS snapshot {snapshot} cannot be read ({' '.join(done.stderr.split())}); "
            "`tests/lab/lab ssh zfs list -t snapshot` lists the ZFS snapshots"
        )
    found = [line.split("\t") for line in done.stdout.splitlines()]
    if not found:
        raise LabError(f"{snapshot} has no VM with real disks; deploy one with `tests/lab/lab deploy --real`")
    levels = _levels(storage, snapshot)
    return snapshot, [_row(storage, snapshot, vmx, names, levels, machines) for vmx, *names in found]


def _newest(storage: StorageHost, dataset: str) -> str:
    columns = f"name,{_RUN},{_SEALED}"
    asked = ["zfs", "list", "-H", "-d", "1", "-t", "snapshot", "-S", "createtxg", "-o", columns, dataset]
    done = storage.ssh(asked, check=False)
    if done.returncode:
        raise LabError(f"There is no dataset {dataset}; `tests/lab/lab ssh zfs list` lists the datasets")
    for line in done.stdout.splitlines():
        name, run, sealed = line.split("\t")
        if run == "-" or sealed != "-":
            return name
    raise LabError(f"{dataset} has no ZFS snapshot yet; wait for the next run")


def _levels(storage: StorageHost, snapshot: str) -> dict[str, str]:
    """Return the level of each VM by its .vmx file in the dataset. The engine of this checkout reads the record."""
    engine = "plugins.module_utils._engine"
    zfs = importlib.import_module(f"{engine}.zfs.command").Zfs(str(storage.path_dir / "zfs"))
    record = importlib.import_module(f"{engine}.records.record").read(zfs, [snapshot]).get(snapshot)
    return {str(vm["vmx_path"]).partition("] ")[2]: vm["level"] for vm in record.vms} if record else {}


def _row(
    storage: StorageHost,
    snapshot: str,
    vmx: str,
    names: Sequence[str],
    levels: Mapping[str, str],
    machines: Sequence[Mapping[str, Any]],
) -> Row:
    held = next((name for name in reversed(names) if name.startswith(OURS)), "")
    findings = examine(storage, snapshot, vmx.partition("/")[0], held)
    moment, exact = _moment(storage, snapshot, vmx, held, machines)
    level = levels.get(vmx, "")
    return Row(
        vm=vmx.rpartition("/")[2].removesuffix(".vmx"),
        level=level,
        needs_recovery=findings.needs_recovery,
        lost=None if moment is None else len(lost(findings, moment)),
        at_least=not exact,
        in_step=findings.pair[0] == findings.pair[1],
        unfinished=findings.unfinished,
        disagreements=_against(level, findings, moment if exact else None),
    )


def _against(level: str, findings: Findings, moment: Mapping[str, Any] | None) -> list[str]:
    # The disk of a VM that was off is not compared with an earlier one, because there is none.
    return disagreements(level, findings, moment, before=findings)


def _moment(
    storage: StorageHost, snapshot: str, vmx: str, held: str, machines: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any] | None, bool]:
    """Return what the hypervisor knows about the writes before the ZFS snapshot, and whether it is exact."""
    hypervisor = Hypervisor(storage)
    path = next((one["vmx"] for one in machines if one["real"] and one["vmx"].partition("] ")[2] == vmx), "")
    if not path or not hypervisor.running():
        return None, False
    try:
        moments = hypervisor.call("show", vmx=path)["moments"].values()
        written: list[tuple[int, float]] = hypervisor.call("writes", vmx=path)
    except HypervisorError:
        return None, False
    measured = [moment for moment in moments if held and moment["name"] == held]
    if measured:
        return (measured[-1], True) if "returned" in measured[-1] else (None, False)
    return _estimate(storage, snapshot, written), False


def _estimate(storage: StorageHost, snapshot: str, written: Sequence[tuple[int, float]]) -> dict[str, Any] | None:
    """Return the last write that had returned for certain when the ZFS snapshot was taken."""
    asked = ["zfs", "get", "-H", "-p", "-o", "value", "creation", snapshot]
    taken = int(storage.ssh(asked).stdout) - _CLOCKS
    before = [number for number, at in written if at < taken]
    return {"returned": before[-1], "started": before[-1]} if before else None
