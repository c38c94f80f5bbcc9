# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run: modules return it, `vmware-zfs` shows it and the journal stores it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Iterable, Sequence

from ..records import apart
from ..records.levels import FILESYSTEM, lowest_known


@dataclass
class VmResult:
    """One VM of a run, or of a ZFS snapshot that already exists. A record does not store `power` and `action`.

    `policy` names the policy of the VM and why it matches, "" without one. `accept` is the level that the VM must have
    for a complete record, unless it is `excluded`.
    """

    name: str = ""
    instance_uuid: str = ""
    moid: str = ""
    server: str = ""
    vmx_path: str = ""
    vmware_snapshot_moid: str = ""
    level: str = ""
    reason: str = ""
    power: str | None = None
    action: str | None = None
    spans: list[str] = field(default_factory=list)
    hold_seconds: float | None = None
    policy: str = ""
    accept: str = FILESYSTEM
    excluded: bool = False


@dataclass
class WaveResult:
    """One wave of a run. The fields are those of RunResult."""

    run_id: str
    zfs_snapshots: list[str]
    created: bool
    consistency: str | None
    consistency_text: str | None
    complete: bool
    hold_window_seconds: float | None


@dataclass
class RunResult:
    """A run, a plan (with `refusals`), or the ZFS snapshots of an earlier run.

    `consistency` is None when no ZFS snapshot exists. `required_consistency` is without the VMs that are excluded or
    accepted at crash; None if there are no others. `left` are the VMware snapshots that could not be removed.
    Fields that are None at the end of the list do not apply and are not part of `as_dict`.
    """

    run_id: str
    zfs_snapshots: list[str]
    created: bool
    consistency: str | None
    complete: bool
    problems: list[str]
    vms: list[VmResult]
    warnings: list[str] = field(default_factory=list)
    hold_window_seconds: float | None = None
    left: list[str] = field(default_factory=list)
    required_consistency: str | None = None
    refusals: list[str] | None = None
    waves: list[WaveResult] | None = None
    recovery: dict[str, Any] | None = None

    @property
    def text(self) -> str | None:
        """The consistency for people: VMs that are excluded or accepted at crash are shown apart."""
        return apart.consistency_text(self.consistency, self.required_consistency, [asdict(vm) for vm in self.vms])

    def as_dict(self) -> dict[str, Any]:
        """JSON types, with the names that the modules document."""
        values = asdict(self)
        for name in ("refusals", "waves", "recovery"):
            if values[name] is None:
                del values[name]
        vms = values["vms"]
        numbers = {"vms_excluded": len(apart.excluded(vms)), "vms_accepted": len(apart.accepted(vms))}
        values = {**values, "consistency_text": self.text, **numbers}
        return {**values, "zfs_snapshot": self.zfs_snapshots[0], "vmware_snapshots_left": len(self.left)}


def combine(waves: Sequence[RunResult], names: Sequence[str]) -> RunResult:
    """Return one result for all waves of a run. `names` are all its ZFS snapshots, including waves that never started.

    The consistency is the lowest of the waves, the hold window is the longest. The run is complete if every ZFS
    snapshot was taken and every wave is complete.
    """
    taken = [wave for wave in waves if wave.consistency is not None]
    windows = [wave.hold_window_seconds for wave in waves if wave.hold_window_seconds is not None]
    return replace(
        waves[0],
        zfs_snapshots=list(names),
        created=any(wave.created for wave in waves),
        consistency=lowest_known(wave.consistency for wave in taken),
        required_consistency=lowest_known(wave.required_consistency for wave in taken),
        complete=sum(len(wave.zfs_snapshots) for wave in taken) == len(names) and all(wave.complete for wave in taken),
        problems=_each_once(problem for wave in waves for problem in wave.problems),
        warnings=_each_once(warning for wave in waves for warning in wave.warnings),
        vms=list({(vm.server, vm.moid): vm for wave in waves for vm in wave.vms}.values()),
        hold_window_seconds=max(windows, default=None),
        left=[left for wave in waves for left in wave.left],
        waves=[
            WaveResult(
                wave.run_id,
                wave.zfs_snapshots,
                wave.created,
                wave.consistency,
                wave.text,
                wave.complete,
                wave.hold_window_seconds,
            )
            for wave in waves
        ],
    )


def _each_once(sentences: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(sentences))
