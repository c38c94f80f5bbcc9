# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and descriptions by which a VMware snapshot is recognised as this host's, even if the database is lost."""

from __future__ import annotations

import re
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from ..errors import InputError
from ..zfs.names import SnapshotName, check_dataset, check_snapshot
from .database import Paths
from .host_identity import id_of_1_0_0, identities

NAME_PREFIX = "vmware-zfs "
_MARK = re.compile(
    r"\[vmware-zfs host=([0-9a-f]{12}) run=([0-9A-Za-z-]+)(?: machine=([0-9a-f]{12}))? snapshot=([^\]@]+@[^\]@]+)\]"
)
# The longest time that a run may hold VMs on a machine from which this one was copied; far above the default max_hold.
_LONGEST_HOLD = timedelta(hours=1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class StorageHost:
    """This storage host. `id` does not change when the host is renamed, and differs on each clone of the host.

    `former` are the earlier IDs that its VMware snapshots may have: those of the machines on which this disk has been
    used, and that of release 1.0.0. Clones of this host may still use them. `machine` is the hash of the machine ID, or
    "" without one. `made` is when `id` was created.
    """

    name: str
    id: str
    former: frozenset[str] = frozenset()
    machine: str = ""
    made: datetime = _LONG_AGO

    @classmethod
    def here(cls, paths: Paths, read_only: bool = False) -> "StorageHost":
        """Return this storage host. Raises RegistryError."""
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
        """Return whether a run of another machine, from which this host's journal was copied, may still be alive there.

        Such a run began before the copy was made. So it has ended when the copy has been up for longer than a run may
        hold VMs. The clock alone is not reliable, because it may be corrected after the boot.
        """
        longest = _LONGEST_HOLD.total_seconds()
        age = (datetime.now(timezone.utc) - self.made).total_seconds()
        return time.monotonic() < longest or 0 <= age < longest  # monotonic: time since the boot


def new_run_id() -> str:
    """Return a unique run ID that sorts by time (UTC): `20261122T020000-1f2e3d4c`."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + secrets.token_hex(4)


def run_id_at(instant: datetime) -> str:
    """Return a string that sorts before the IDs of all later runs, and not before the IDs of all earlier runs."""
    return instant.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%S")


def begun(run: str) -> datetime | None:
    """Return when the run with this ID began, or None if it is not a run ID."""
    try:
        return datetime.strptime(run[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def wave_ids(run: str, count: int) -> list[str]:
    """Return the IDs of a run's waves. Each wave is a separate run; the first one has the ID of the whole run."""
    return [run, *(f"{run}-{number}" for number in range(2, count + 1))]


def whole_of(run: str) -> str:
    """Return the ID of the run to which a wave belongs."""
    return "-".join(run.split("-")[:2])


def snapshot_name(run: str) -> str:
    """Return the name of all VMware snapshots of a run."""
    return NAME_PREFIX + run


def description(host: StorageHost, run: str, snapshot: str) -> str:
    """Return a VMware snapshot's description: an explanation for administrators, and a mark that identifies it."""
    machine = f" machine={host.machine}" if host.machine else ""
    return (
        f"Keeps this VM consistent while the storage host {host.name} takes the ZFS snapshot {snapshot}. It is removed "
        f"after that. If it still exists after an hour, run 'vmware-zfs recover' on {host.name} or "
        f"remove it manually. "
        f"[vmware-zfs host={host.id} run={run}{machine} snapshot={snapshot}]"
    )


@dataclass(frozen=True)
class Origin:
    """The origin of a VMware snapshot: the run, and the first ZFS snapshot of the run.

    `sure`: this host made it. Otherwise, a clone of this host may have made it.
    """

    run: str
    snapshot: str
    sure: bool = True


def claimed_origin(name: str, text: str) -> Origin | None:
    """Return the origin that the name and the description of a VMware snapshot claim, whichever host made it."""
    mark = _MARK.search(text)
    if mark is None or name != snapshot_name(mark.group(2)):
        return None
    taken = mark.group(4)
    try:  # the description is untrusted
        dataset, snapshot = SnapshotName.of(taken)
        check_snapshot(check_dataset(dataset), snapshot)
    except InputError:
        return None
    return Origin(mark.group(2), taken, sure=False)


def origin_of(host: StorageHost, name: str, text: str) -> Origin | None:
    """Return the origin of the VMware snapshot with this name and description, or None if it is not this host's.

    It may be this host's if it has a former identity of this host, or if it has an unknown identity and the machine ID
    of this host, because the host may have lost that identity.
    """
    claimed, mark = claimed_origin(name, text), _MARK.search(text)
    if claimed is None or mark is None:
        return None
    maker, machine = mark.group(1), mark.group(3)
    if maker != host.id and maker not in host.former and (not machine or machine != host.machine):
        return None
    return Origin(claimed.run, claimed.snapshot, sure=maker == host.id)
