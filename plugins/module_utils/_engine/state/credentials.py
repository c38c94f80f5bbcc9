# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials: which vCenter or ESXi host serves VMs from which dataset, and how to log in there."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
import re
import sqlite3
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Iterable, Iterator, Mapping

from ..errors import CredentialNotFound, InputError
from ..secret import Secret
from ..text import printable
from ..vsphere.session import Endpoint
from ..vsphere.tls import normalise_thumbprint
from ..zfs.names import check_dataset, upwards
from .cipher import Cipher, KeyMissing
from .database import Database, Paths

# Labels as DNS has them. The last one is no number, so that a mistyped address is not taken for a name.
_HOST_NAME = re.compile(r"(?!-)(?!(.*\.)?[0-9]+\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
_LONGEST_NAME = 253


@dataclasses.dataclass(frozen=True)
class Credential:
    """A stored credential, or with id 0 one that is not stored. (hostname, port, username, filesystem) is unique.

    `filesystem` is the name of the dataset whose VMs the server runs. `datastores` are the names of its datastores;
    when empty they are matched live at each run. `created` and `updated` are UTC in ISO 8601. The password is not here:
    ask Credentials.password() for it.
    """

    hostname: str
    username: str
    filesystem: str
    port: int = 443
    datastores: tuple[str, ...] = ()
    validate_certs: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None
    id: int = 0
    created: str = ""
    updated: str = ""

    def __str__(self) -> str:
        server = self.hostname if self.port == 443 else f"{self.hostname} port {self.port}"
        return f"{self.username} on {server} for {self.filesystem}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for results: JSON types, no password."""
        values = {name: getattr(self, name) for name in _RESULT}
        return {
            **values,
            "id": self.id or None,
            "datastores": list(self.datastores),
            "created": self.created or None,
            "updated": self.updated or None,
        }

    def declared(self, options: Mapping[str, Any]) -> "Credential":
        """What `options` say of this credential: those that are None take their defaults, whatever is stored. Raises
        InputError.
        """
        given = {name: getattr(self, name) for name in ("id", "created", "updated")}
        return dataclasses.replace(Credential("", "", "").merged(options), **given)

    def merged(self, options: Mapping[str, Any]) -> "Credential":
        """This credential with those `options` that are not None, in canonical form. Raises InputError."""
        given = {name: options[name] for name in _SETTINGS if options.get(name) is not None}
        return _canonical(dataclasses.replace(self, **given))


_SETTINGS = ("hostname", "port", "username", "filesystem", "datastores", "validate_certs", "ca_path", "thumbprint")
_RESULT = ("id", *_SETTINGS, "created", "updated")


@dataclasses.dataclass(frozen=True)
class Change:
    """What a change does, as plain data: the settings before and after ({} where there is no credential)."""

    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def changed(self) -> bool:
        return self.before != self.after


def plan_change(existing: Credential | None, wanted: Credential | None, new_password: bool = False) -> Change:
    """Compare what is stored with what is wanted; None means absent. Of a password only that it is new is shown."""
    change = Change(_settings(existing), _settings(wanted))
    if new_password:
        change.after["password"] = "a new password"
        if existing is not None:
            change.before["password"] = "another password"
    return change


class Credentials:
    """The credentials in a state database."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    @classmethod
    @contextmanager
    def open(cls, paths: Paths, read_only: bool = False) -> Iterator["Credentials"]:
        """The credentials in the database of `paths`, which is closed at the end. Raises RegistryError."""
        with Database.open(paths, read_only) as database:
            yield cls(database, Cipher(paths.key_file))

    def list_all(self) -> list[Credential]:
        """All credentials, oldest first."""
        return [_from_row(row) for row in self._database.rows("SELECT * FROM credential ORDER BY id")]

    def get(self, credential_id: int) -> Credential:
        """Raises CredentialNotFound."""
        for credential in self.list_all():
            if credential.id == credential_id:
                return credential
        raise CredentialNotFound(
            f"There is no credential with the id {credential_id}", "List them with vmware_cred_info"
        )

    def find(self, wanted: Credential) -> Credential | None:
        """The stored credential with the same hostname, port, username and filesystem."""
        return next((credential for credential in self.list_all() if _identity(credential) == _identity(wanted)), None)

    def find_for_datasets(self, datasets: Iterable[str]) -> list[Credential]:
        """The credentials that a snapshot of `datasets` concerns: filesystem is one of them, or above or below one."""
        names = set(datasets)
        above = {each for name in names for each in upwards(name)}
        return [
            credential
            for credential in self.list_all()
            if credential.filesystem in above or not names.isdisjoint(upwards(credential.filesystem))
        ]

    def password(self, credential: Credential) -> Secret:
        """The stored password. Raises CredentialNotFound, DependencyError, RegistryError (key lost, row tampered)."""
        ciphertext = self.ciphertext(credential)
        while True:
            try:
                return self._cipher.decrypt(ciphertext, _context(credential))
            except KeyMissing:
                again = self.ciphertext(credential)
                if again == ciphertext:
                    raise
                ciphertext = again  # the key was replaced between the two reads

    def ciphertext(self, credential: Credential) -> str:
        """The stored password, encrypted. Raises CredentialNotFound, RegistryError."""
        rows = self._database.rows("SELECT password FROM credential WHERE id = ?", (credential.id,))
        if not rows:
            self.get(credential.id)
        return str(rows[0]["password"])

    def insert(self, wanted: Credential, password: Secret) -> Credential:
        """Store a new credential and return it with its id. Raises InputError when there is one like it."""
        now = _now()
        with self._database.transaction() as connection:
            self.refuse_twin(wanted)
            settings = _columns(wanted)
            cursor = connection.execute(
                f"INSERT INTO credential ({', '.join(settings)}, password, created, updated)"
                f" VALUES ({', '.join('?' * len(settings))}, '', ?, ?)",
                (*settings.values(), now, now),
            )
            stored = dataclasses.replace(wanted, id=cursor.lastrowid or 0, created=now, updated=now)
            self._store_password(connection, stored, password)  # bound to the id, which is known only now
        return stored

    def update(self, wanted: Credential, password: Secret | None = None) -> Credential:
        """Replace the credential `wanted.id`, which keeps its password unless one is given.

        Raises CredentialNotFound, and InputError when another credential is like it.
        """
        stored = dataclasses.replace(wanted, updated=_now())
        with self._database.transaction() as connection:
            existing = self.get(wanted.id)
            self.refuse_twin(wanted)
            kept = password or self.password(existing)
            settings = _columns(stored)
            connection.execute(
                f"UPDATE credential SET {', '.join(f'{name} = ?' for name in settings)}, updated = ? WHERE id = ?",
                (*settings.values(), stored.updated, stored.id),
            )
            self._store_password(connection, stored, kept)  # again: it is bound to the settings
        return stored

    def delete(self, credential_id: int) -> None:
        """Raises CredentialNotFound."""
        with self._database.transaction() as connection:
            self.get(credential_id)
            connection.execute("DELETE FROM credential WHERE id = ?", (credential_id,))

    def encrypt_anew(self, connection: sqlite3.Connection, credential: Credential) -> None:
        """Encrypt the stored password with the newest key, within a transaction of the database."""
        self._store_password(connection, credential, self.password(credential))

    def _store_password(self, connection: sqlite3.Connection, credential: Credential, password: Secret) -> None:
        ciphertext = self._cipher.encrypt(password, _context(credential))
        connection.execute("UPDATE credential SET password = ? WHERE id = ?", (ciphertext, credential.id))

    def refuse_twin(self, wanted: Credential) -> None:
        """Raise InputError when another credential than `wanted.id` has the identity of `wanted`."""
        twin = self.find(wanted)
        if twin is not None and twin.id != wanted.id:
            raise InputError(
                f"The credential {twin.id} is already the one of {wanted}",
                f"Change that one (id: {twin.id}) or remove it first",
            )


def _identity(credential: Credential) -> tuple[str, int, str, str]:
    return credential.hostname, credential.port, credential.username, credential.filesystem


def _context(credential: Credential) -> str:
    """What a ciphertext is bound to: whoever can write the database cannot have the password sent to another server,
    nor to one that nobody has verified.
    """
    server = [credential.hostname, credential.port, credential.username]
    trust = [credential.validate_certs, credential.ca_path, credential.thumbprint]
    return json.dumps(["credential", credential.id, *server, *trust])


def _settings(credential: Credential | None) -> dict[str, Any]:
    if credential is None:
        return {}
    settings = credential.as_dict()
    return {name: settings[name] for name in _SETTINGS}


def _columns(credential: Credential) -> dict[str, Any]:
    return {**_settings(credential), "datastores": json.dumps(credential.datastores)}


def _from_row(row: sqlite3.Row) -> Credential:
    values = {name: row[name] for name in _RESULT}
    values["datastores"] = tuple(json.loads(values["datastores"]))
    values["validate_certs"] = bool(values["validate_certs"])
    return Credential(**values)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _canonical(credential: Credential) -> Credential:
    """One form per meaning, so that a second run with the same options finds nothing to change."""
    if not 0 < credential.port < 65536:
        raise InputError(f"The port {credential.port} does not exist", "Give a number from 1 to 65535")
    if not credential.username.strip() or not credential.username.isprintable():
        raise InputError("The username is empty or holds control characters", "Give it as vSphere knows it")
    if credential.ca_path and not os.path.isabs(credential.ca_path):
        raise InputError(
            f"ca_path '{printable(credential.ca_path, 80)}' is not absolute, so later runs would not find it",
            "Give the whole path of a PEM file or folder on the storage host",
        )
    if not all(name.strip() for name in credential.datastores):
        raise InputError(
            "datastores has an empty entry, which names no datastore",
            "Name datastores as vSphere does, or leave datastores out to have them matched",
        )
    return dataclasses.replace(
        credential,
        hostname=canonical_host(credential.hostname),
        filesystem=check_dataset(credential.filesystem),
        datastores=tuple(sorted(set(credential.datastores))),
        ca_path=credential.ca_path or None,
        thumbprint=normalise_thumbprint(credential.thumbprint) if credential.thumbprint else None,
    )


def endpoint_of(credential: Credential) -> Endpoint:
    """Where and how a credential logs in."""
    return Endpoint(
        credential.hostname, credential.port, credential.validate_certs, credential.ca_path, credential.thumbprint
    )


def canonical_host(hostname: str) -> str:
    """A host name in lower case without the final dot, or an IP address in its shortest form. Raises InputError."""
    try:
        found = ipaddress.ip_address(hostname.strip("[]"))
    except ValueError:
        name = hostname.rstrip(".").lower()
        if _HOST_NAME.match(name) and len(name) <= _LONGEST_NAME:
            return name
    else:
        if not (found.is_unspecified or found.is_multicast):
            return str(found)
    raise InputError(
        f"'{printable(hostname, 80)}' is no host name and no IP address of a server",
        "Give the name or address alone; a port goes into port",
    )
