# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who we are in vSphere: names by which a VMware snapshot is known as ours, even when the database is lost."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..errors import InputError
from ..zfs.names import check_dataset, check_snapshot

NAME_PREFIX = "vmware-zfs "
_MARK = re.compile(r"\[vmware-zfs host=([0-9a-f]{12}) run=([0-9A-Za-z-]+) snapshot=([^\]@]+@[^\]@]+)\]")


@dataclass(frozen=True)
class StorageHost:
    """This storage host. `id` stays the same when the host is renamed; it is derived from, and does not tell, its
    machine ID.
    """

    name: str
    id: str

    @classmethod
    def here(cls) -> "StorageHost":
        name = socket.gethostname()
        try:
            machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        except OSError:
            machine = name  # no systemd: the name has to do
        # machine-id(5): to be treated as confidential, so only a hash with our name in it leaves the host.
        return cls(name, hashlib.sha256(f"quiesce.vmware_zfs {machine}".encode()).hexdigest()[:12])


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
    return (
        f"Holds this VM still while the storage host {host.name} takes the ZFS snapshot {snapshot}. It is removed "
        f"when that is done. If it is still here after an hour, run 'vmware-zfs recover' on {host.name} or "
        f"remove it by hand. "
        f"[vmware-zfs host={host.id} run={run} snapshot={snapshot}]"
    )


@dataclass(frozen=True)
class Origin:
    """Where a VMware snapshot of ours comes from: the run, and the first of the ZFS snapshots that it took."""

    run: str
    snapshot: str


def origin_of(host: StorageHost, name: str, text: str) -> Origin | None:
    """The origin of the VMware snapshot with this name and description; None if this storage host did not make it."""
    mark = _MARK.search(text)
    if mark is None or mark.group(1) != host.id or name != snapshot_name(mark.group(2)):
        return None
    try:  # anybody can write a description
        dataset, _unused, snapshot = mark.group(3).partition("@")
        check_snapshot(check_dataset(dataset), snapshot)
    except InputError:
        return None
    return Origin(mark.group(2), mark.group(3))
