# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identities of this storage host: random IDs, one for each machine on which this state has been used.

They are stored next to the key file and not in the state database, because a scan needs them if the database is lost.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Iterator, Sequence

from ..durable import lock_folder, replace_file
from ..errors import RegistryError
from ..text import printable
from .database import Paths, check_private_file, make_private_folder

_FILE = "host-identity.json"
_MACHINE_ID, _PRODUCT_UUID = Path("/etc/machine-id"), Path("/sys/class/dmi/id/product_uuid")
_ID = re.compile(r"[0-9a-f]{12}\Z")


@dataclass(frozen=True)
class Machine:
    """Hashes that identify a machine. They are hashes because machine-id(5) asks to keep the machine ID confidential.

    `id` is the hash of the machine ID, `hardware` that of the DMI product UUID; "" if unknown.
    """

    id: str
    hardware: str

    @classmethod
    def here(cls) -> "Machine":
        machine = _read(_MACHINE_ID)
        return cls(_hash(machine) if machine != "uninitialized" else "", _hash(_read(_PRODUCT_UUID).lower()))

    def is_another(self, other: "Machine") -> bool:
        """Return whether the two machines are known to differ. Unknown values are not a difference."""
        pairs = ((self.id, other.id), (self.hardware, other.hardware))
        return any(one and another and one != another for one, another in pairs)

    def completed(self, other: "Machine") -> "Machine":
        """Return this machine, with unknown values taken from `other`."""
        return Machine(self.id or other.id, self.hardware or other.hardware)


@dataclass(frozen=True)
class HostIdentity:
    """An identity. VMware snapshots and records contain `id`.

    `machine` is the machine on which it was created, `made` the time (UTC, ISO 8601).
    """

    id: str
    machine: Machine
    made: str


def identities(paths: Paths, read_only: bool = False) -> list[HostIdentity]:
    """Return all identities of this storage host, the current one first.

    A new identity is created if there is none, or if the newest was created on another machine (the disk was cloned, or
    restored elsewhere). With `read_only`, it is not stored. Raises RegistryError.
    """
    path, machine = paths.key_file.with_name(_FILE), Machine.here()
    with _sentences(path):
        stored = _load(path)
        known = _with_current(stored, machine)
        if known == stored or read_only:
            return known
        make_private_folder(path.parent)
        with lock_folder(path.parent):
            known = _with_current(_load(path), machine)  # read again: another process may have changed it
            replace_file(
                path, (json.dumps({"identities": [asdict(one) for one in known]}, indent=2) + "\n").encode(), 0o600
            )
        return known


def id_of_1_0_0() -> str:
    """Return the ID that release 1.0.0 used for this machine: from the machine ID or, without one, the host name."""
    return Machine.here().id or _hash(socket.gethostname())


def _with_current(stored: Sequence[HostIdentity], machine: Machine) -> list[HostIdentity]:
    if not stored or stored[0].machine.is_another(machine):
        made = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return [HostIdentity(secrets.token_hex(6), machine, made), *stored]
    return [replace(stored[0], machine=stored[0].machine.completed(machine)), *stored[1:]]


def _load(path: Path) -> list[HostIdentity]:
    try:
        check_private_file(path)
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    found = [HostIdentity(one["id"], Machine(**one["machine"]), one["made"]) for one in json.loads(text)["identities"]]
    if not all(_ID.match(one.id) and datetime.fromisoformat(one.made).tzinfo for one in found):
        raise ValueError("an identity is malformed")
    return found


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"The file {path}, which contains this storage host's identity, is damaged",
            "Restore it from a backup, or remove it to create a new identity",
        ) from error
    except OSError as error:
        raise RegistryError(
            f"The file {path}, which contains this storage host's identity, is not usable: {printable(error.strerror)}",
            "Run as root (become: true) and check the file system",
        ) from error


def _hash(text: str) -> str:
    """Hash like release 1.0.0, so that its snapshots are recognised."""
    return hashlib.sha256(f"quiesce.vmware_zfs {text}".encode()).hexdigest()[:12] if text else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a container, hardware without DMI, a system without systemd
        return ""
