# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are in vSphere: names by which a VMware snapshot is known as ours, even when the database is lost."""

from __future__ import annotations

import re
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..errors import InputError
from ..zfs.names import check_dataset, check_snapshot
from .database import Paths
from .host_identity import id_of_1_0_0, identities

NAME_PREFIX = "vmware-zfs "
_MARK = re.compile(
    r"\[vmware-zfs host=([0-9a-f]{12}) run=([0-9A-Za-z-]+)(?: machine=([0-9a-f]{12}))? snapshot=([^\]@]+@[^\]@]+)\]"
)
# How long a run may hold VMs on a machine that this one was copied from: far beyond the default of max_hold.
_LONGEST_HOLD = timedelta(hours=1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class StorageHost:
    """This storage host. `id` stays the same when the host is renamed, and is another one on each clone of it.

    `former` are the ids that its VMware snapshots may carry from before: those of the machines that this disk has been
    on, and that of release 1.0.0. A clone of this host may use them still. `machine` is the id of the machine ID, "" if
    it has none, `made` when `id` was made.
    """

    name: str
    id: str
    former: frozenset[str] = frozenset()
    machine: str = ""
    made: datetime = _LONG_AGO

    @classmethod
    def here(cls, paths: Paths, read_only: bool = False) -> "StorageHost":
        """Raises RegistryError."""
        today, *others = identities(paths, read_only)
        former = {one.id for one in others} | {one.machine.id for one in (today, *others)} | {id_of_1_0_0()}
        return cls(
            socket.gethostname(),
            today.id,
            frozenset(former - {""}),
            today.machine.id,
            datetime.fromisoformat(today.made),
        )

    def copied_just_now(self) -> bool:
        """Whether a run that this host's journal inherited from another machine may still be alive there.

        It began before the copy was made, so it is over once the copy has been up for as long as a run may hold VMs.
        The clock alone is not trusted: it may be set right after the start.
        """
        longest = _LONGEST_HOLD.total_seconds()
        age = (datetime.now(timezone.utc) - self.made).total_seconds()
        return time.monotonic() < longest or 0 <= age < longest  # monotonic: since the machine was started


def new_run_id() -> str:
    """Sorts by time (UTC) and is unique: `20261122T020000-1f2e3d4c`."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + secrets.token_hex(4)


def run_id_at(instant: datetime) -> str:
    """What is less than the ids of all runs that began after then, and no less than those of all others."""
    return instant.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S")


def begun(run: str) -> datetime | None:
    """When the run with this id began, None for what is no id of ours."""
    try:
        return datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def wave_ids(run: str, count: int) -> list[str]:
    """The ids of a run's waves: a wave is a run of its own, and the first one bears the id of the whole."""
    return [run, *(f"{run}-{number}" for number in range(2, count + 1))]


def whole_of(run: str) -> str:
    """The id of the run that a wave belongs to."""
    return "-".join(run.split("-")[:2])


def snapshot_name(run: str) -> str:
    """The name of every VMware snapshot of a run."""
    return NAME_PREFIX + run


def description(host: StorageHost, run: str, snapshot: str) -> str:
    """What an administrator reads who meets the VMware snapshot, with the mark by which it is known as ours."""
    machine = f" machine={host.machine}" if host.machine else ""
    return (
        f"Holds this VM still while the storage host {host.name} takes the ZFS snapshot {snapshot}. It is removed "
        f"when that is done. If it is still here after an hour, run 'vmware-zfs recover' on {host.name} or "
        f"remove it by hand. "
        f"[vmware-zfs host={host.id} run={run}{machine} snapshot={snapshot}]"
    )


@dataclass(frozen=True)
class Origin:
    """Where a VMware snapshot of ours comes from: the run, and the first of the ZFS snapshots that it took.

    `sure`: this very host made it; otherwise it may be one of a clone of this host.
    """

    run: str
    snapshot: str
    sure: bool = True


def origin_of(host: StorageHost, name: str, text: str) -> Origin | None:
    """The origin of the VMware snapshot with this name and description; None if this storage host did not make it.

    It may have made one that has a former identity, or an unknown one with the machine ID of this host, which may have
    lost its own.
    """
    mark = _MARK.search(text)
    if mark is None or name != snapshot_name(mark.group(2)):
        return None
    maker, run, machine, taken = mark.groups()
    if maker != host.id and maker not in host.former and (not machine or machine != host.machine):
        return None
    try:  # anybody can write a description
        dataset, _unused, snapshot = taken.partition("@")
        check_snapshot(check_dataset(dataset), snapshot)
    except InputError:
        return None
    return Origin(run, taken, sure=maker == host.id)
