# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identities of this storage host: random, one for each machine that this state has been on.

They lie beside the key file rather than in the state database: a scan has to know them when the database is lost.
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
    """What tells this machine from others, as hashes: machine-id(5) asks to keep the ID itself confidential.

    `id` is made of the machine ID, `hardware` of the DMI product UUID; "" where this machine does not tell.
    """

    id: str
    hardware: str

    @classmethod
    def here(cls) -> "Machine":
        machine = _read(_MACHINE_ID)
        return cls(_hash(machine) if machine != "uninitialized" else "", _hash(_read(_PRODUCT_UUID).lower()))

    def is_another(self, other: "Machine") -> bool:
        """Whether the two are known to differ; what one of them does not tell is no difference."""
        pairs = ((self.id, other.id), (self.hardware, other.hardware))
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)

    def completed(self, other: "Machine") -> "Machine":
        """The same, with what only `other` tells."""
        return Machine(self.id or other.id, self.hardware or other.hardware)


@dataclass(frozen=True)
class HostIdentity:
    """One identity: `id` stands in VMware snapshots and records, `machine` is the one that it was made on, `made` is
    when (UTC, ISO 8601).
    """

    id: str
    machine: Machine
    made: str


def identities(paths: Paths, read_only: bool = False) -> list[HostIdentity]:
    """All identities of this storage host, today's first.

    Where none was made yet, or the newest was made on another machine (this disk was cloned, or restored elsewhere), a
    new one is made; with `read_only` it is not stored. Raises RegistryError.
    """
    path, machine = paths.key_file.with_name(_FILE), Machine.here()
    with _sentences(path):
        stored = _load(path)
        known = _of_today(stored, machine)
        if known == stored or read_only:
            return known
        make_private_folder(path.parent)
        with lock_folder(path.parent):
            known = _of_today(_load(path), machine)  # read again: another process may have been faster
            replace_file(
                path, (json.dumps({"identities": [asdict(one) for one in known]}, indent=2) + "\n").encode(), 0o600
            )
        return known


def id_of_1_0_0() -> str:
    """The id that release 1.0.0 gave this machine: of its machine ID or, without one, of its name."""
    return Machine.here().id or _hash(socket.gethostname())


def _of_today(stored: Sequence[HostIdentity], machine: Machine) -> list[HostIdentity]:
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
        raise ValueError("an identity is not well-formed")
    return found


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(
            f"The file {path}, which holds this storage host's identity, is damaged",
            "Restore it from a backup, or remove it to get another identity",
        ) from error
    except OSError as error:
        raise RegistryError(
            f"The file {path}, which holds this storage host's identity, cannot be used: {printable(error.strerror)}",
            "Run as root (become: true) and check its file system",
        ) from error


def _hash(text: str) -> str:
    """As release 1.0.0 made its id of the machine ID, whose former snapshots are known by it."""
    return hashlib.sha256(f"quiesce.vmware_zfs {text}".encode()).hexdigest()[:12] if text else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # a container, a board without DMI, a system without systemd
        return ""
