# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the restore points of a dataset and of the datasets below it.

Whatever their number, a few zfs processes read them. The VMs of a snapshot without a sealed record are found by their
files. This takes longer, so it has a time limit, and the newest snapshots come first.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Mapping, Sequence

from ..door.host import StorageHost
from ..errors import DatasetNotFound, FilesUnreachable
from ..observe.lifetimes import Judgement, facts, judged, spared
from ..records import record
from ..records.apart import consistency_text
from ..records.record import Record
from ..records.verified import verdict_in
from ..state.engine import Engine
from ..storage_host.mounts import Mount, mount_table
from ..text import similar
from ..zfs import snapshots
from ..zfs.command import READ_TIMEOUT, Zfs
from ..zfs.datasets import Dataset, existing, list_datasets
from ..zfs.names import SnapshotName, check_dataset, check_snapshot, dataset_of, is_of_restores, pool_of
from .contents import Contents, contents_of, folder_of
from .expiry import expiry
from .pins import Pins, pins
from .point import Points, RestorePoint
from .point_vms import UNKNOWN, PointVm, of_files, of_record

LOOK_SECONDS = 60.0  # for the files of all ZFS snapshots
_RUNNING = "its run has not ended, so its record is not complete yet"
_NO_RECORD = "it has no record, so the level of its VMs is not known"

_Facts = Mapping[str, Mapping[str, str]]


def find_points(engine: Engine, target: str, vm: str = "", look_seconds: float = LOOK_SECONDS) -> Points:
    """Return the restore points of `target`, newest first: those of a dataset and its children, or one ZFS snapshot.

    With `vm` (a name, an instance UUID or a .vmx path), return only those that hold this VM. Raises InputError for an
    invalid name, an unknown VM, or two VMs of this name; DatasetNotFound; ZfsError.
    """
    dataset, short = SnapshotName.of(target)
    check_dataset(dataset)
    if "@" in target:
        check_snapshot(dataset, short)
    zfs, now = engine.zfs, time.time()
    datasets = {one.name: one for one in _datasets(zfs, dataset) if not is_of_restores(one.name)}
    found = facts(zfs, [dataset])
    chosen = {name: values for name, values in found.items() if _is_chosen(name, target, datasets)}
    if short and not chosen:
        raise DatasetNotFound(
            f"The ZFS snapshot {target} does not exist on this storage host",
            similar(target, found) or f"List the snapshots with 'vmware-zfs points {dataset}'",
        )
    records = _records(zfs, chosen)
    judgements = _judgements(engine, found, now)
    pinned = pins(zfs, chosen)
    files = _Files(zfs.host, datasets, look_seconds)
    points = []
    for name in sorted(records, key=lambda name: _age(chosen[name]), reverse=True):
        reader = _Reader(engine, SnapshotName.of(name), records[name], files, vm)
        points.append(reader.point(chosen[name], pinned[name], judgements.get(name), now))
    result = Points(target, tuple(points), tuple(files.late), tuple(files.problems))
    return result.holding(vm) if vm else result


def _datasets(zfs: Zfs, dataset: str) -> list[Dataset]:
    try:
        return list_datasets(zfs, dataset)
    except DatasetNotFound as error:
        names: set[str] = set()
        with suppress(DatasetNotFound):
            names = existing(zfs, pool_of(dataset), READ_TIMEOUT)
        raise DatasetNotFound(error.problem, similar(dataset, sorted(names)) or error.remedy) from error


def _is_chosen(name: str, target: str, datasets: Mapping[str, Dataset]) -> bool:
    return name == target if "@" in target else dataset_of(name) in datasets


def _age(values: Mapping[str, str]) -> tuple[int, int]:
    return int(values["creation"]), int(values["createtxg"])


def _records(zfs: Zfs, found: _Facts) -> dict[str, Record | None]:
    """Return the record of each snapshot, or None. Snapshots that were destroyed meanwhile are left out."""
    names = list(found)
    try:
        records = record.read(zfs, names) if names else {}
    except DatasetNotFound:
        names = snapshots.existing(zfs, names)
        records = record.read(zfs, names) if names else {}
    return {name: records.get(name) for name in names}


def _judgements(engine: Engine, found: _Facts, now: float) -> dict[str, Judgement]:
    tasks = engine.tasks.list_all()
    spare = spared(engine.tasks, tasks, now)
    return judged(tasks, found, now, spare, {task.key: engine.tasks.included(task.key) for task in tasks})


class _Files:
    """Finds VMs by their files. `late` are the snapshots that were not read in time."""

    def __init__(self, host: StorageHost, datasets: Mapping[str, Dataset], seconds: float) -> None:
        self._host, self._datasets, self._deadline = host, datasets, time.monotonic() + seconds
        self._mounts: Sequence[Mount] | None = None
        self.late: list[str] = []
        self.problems: dict[str, None] = {}

    def look(self, snapshot: SnapshotName) -> Contents | None:
        """Return the VMs in a snapshot, or None if they are not known."""
        if self._mounts is None:
            self._mounts = mount_table(self._host)
        try:
            folder = folder_of(self._datasets[snapshot.dataset], self._mounts)
        except FilesUnreachable as error:
            self.problems[str(error)] = None
            return None
        if time.monotonic() > self._deadline:
            self.late.append(str(snapshot))
            return None
        return contents_of(self._host, folder, snapshot)


@dataclass
class _Reader:
    """Reads one restore point. `wanted` is the VM that is searched, or ""."""

    engine: Engine
    snapshot: SnapshotName
    record: Record | None
    files: _Files
    wanted: str

    def point(self, values: Mapping[str, str], pinned: Pins, judgement: Judgement | None, now: float) -> RestorePoint:
        vms, known, problems = self._vms()
        level = UNKNOWN if self.record is None else self.record.consistency
        return RestorePoint(
            snapshot=self.snapshot,
            creation=int(values["creation"]),
            age=max(0.0, now - int(values["creation"])),
            level=level,
            level_text=self._level_text() or level,
            complete=None if self.record is None else self.record.complete,
            recorded=self.record is not None and self.record.sealed,
            run="" if self.record is None else self.record.run,
            vms=tuple(sorted(vms, key=lambda vm: (vm.name, vm.vmx_path))),
            vms_known=known,
            pins=pinned,
            expiry=expiry(values, judgement),
            problems=(*self._problems(), *problems),
            drilled=verdict_in(values),
        )

    def _level_text(self) -> str | None:
        found = self.record
        return None if found is None else consistency_text(found.consistency, found.required_consistency, found.vms)

    def _problems(self) -> Sequence[str]:
        if self.record is None:
            return [_NO_RECORD]
        if not self.record.sealed and self.engine.locks.is_alive(self.record.run):
            return [_RUNNING]
        return self.record.problems

    def _vms(self) -> tuple[list[PointVm], bool, Sequence[str]]:
        """Return the VMs, whether all of them are known, and problems with their files."""
        listed: list[PointVm] = []
        if self.record is not None and self.record.sealed:
            listed = of_record(self.record, self.snapshot.dataset)
            # A record with problems may lack VMs of a server that could not be reached.
            if not (self.wanted and self.record.problems) or any(vm.is_called(self.wanted) for vm in listed):
                return listed, True, ()
        contents = self.files.look(self.snapshot)
        if contents is None:
            return listed, bool(listed), ()
        paths = {path for vm in listed for path in vm.paths()}
        found = of_files(contents.vms, self.snapshot, self.record)
        return [*listed, *(vm for vm in found if vm.vmx_path not in paths)], True, contents.problems
