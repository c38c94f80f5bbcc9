# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores credentials: which vCenter or ESXi host runs VMs from which dataset, and how to log in."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import Any, Iterable, Iterator, Mapping

from ..errors import CredentialNotFound, DependencyError, InputError, RegistryError
from ..grouping import grouped
from ..secret import Secret
from ..text import printable
from ..vsphere.session import Endpoint
from ..vsphere.tls import normalise_thumbprint
from ..zfs.names import check_dataset, upwards
from .cipher import FORMER, Cipher, KeyMissing
from .database import Database, Paths, utc_now
from .host_names import canonical_host

SNAPSHOT, RESTORE = "snapshot", "restore"  # purposes
PURPOSES = (SNAPSHOT, RESTORE)


@dataclasses.dataclass(frozen=True)
class Credential:
    """A credential. With id 0 it is not stored. (hostname, port, username, filesystem, purpose) is unique.

    `purpose`: runs and their recovery use only those for SNAPSHOT, restores only those for RESTORE. `filesystem` is the
    dataset whose VMs the server runs. `datastores` are the names of its datastores; if empty, each
    run matches them. `created` and `updated` are UTC in ISO 8601. Credentials.password() returns the password.
    """

    hostname: str
    username: str
    filesystem: str
    port: int = 443
    datastores: tuple[str, ...] = ()
    validate_certs: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None
    purpose: str = SNAPSHOT
    id: int = 0
    created: str = ""
    updated: str = ""

    def __str__(self) -> str:
        server = self.hostname if self.port == 443 else f"{self.hostname} port {self.port}"
        restores = " (for restores)" if self.purpose == RESTORE else ""
        return f"{self.username} on {server} for {self.filesystem}{restores}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types, without the password."""
        return {
            **dataclasses.asdict(self),
            "id": self.id or None,
            "datastores": list(self.datastores),
            "created": self.created or None,
            "updated": self.updated or None,
        }

    def settings(self) -> dict[str, Any]:
        """Return the user's settings as plain data."""
        return {name: value for name, value in self.as_dict().items() if name in _SETTINGS}

    def declared(self, options: Mapping[str, Any]) -> "Credential":
        """Return this credential with exactly `options`; those that are None get their defaults, not the stored values.

        Raises InputError.
        """
        given = {name: getattr(self, name) for name in ("id", "created", "updated")}
        return dataclasses.replace(Credential("", "", "").merged(options), **given)

    def merged(self, options: Mapping[str, Any]) -> "Credential":
        """Return this credential with the `options` that are not None, in canonical form. Raises InputError."""
        given = {name: options[name] for name in _SETTINGS if options.get(name) is not None}
        return _canonical(dataclasses.replace(self, **given))


_SETTINGS = (
    "hostname", "port", "username", "filesystem", "purpose", "datastores", "validate_certs", "ca_path", "thumbprint",
)  # fmt: skip


class Credentials:
    """The credentials in a state database."""

    def __init__(self, database: Database, cipher: Cipher) -> None:
        self._database = database
        self._cipher = cipher

    @classmethod
    @contextmanager
    def open(cls, paths: Paths, read_only: bool = False) -> Iterator["Credentials"]:
        """Open the credentials in the database of `paths`, and close it at the end. Raises RegistryError."""
        with Database.open(paths, read_only) as database:
            yield cls.stored_in(database, paths, read_only)

    @classmethod
    def stored_in(cls, database: Database, paths: Paths, read_only: bool) -> "Credentials":
        """Return the credentials in an open database."""
        credentials = cls(database, Cipher(paths.key_file))
        if not read_only:
            credentials._upgrade()
        return credentials

    def list_all(self) -> list[Credential]:
        """List all credentials, oldest first."""
        return [_from_row(row) for row in self._database.rows("SELECT * FROM credential ORDER BY id")]

    def get(self, credential_id: int) -> Credential:
        """Return a credential. Raises CredentialNotFound."""
        for credential in self.list_all():
            if credential.id == credential_id:
                return credential
        raise CredentialNotFound(
            f"There is no credential with the id {credential_id}", "List them with vmware_cred_info"
        )

    def find(self, wanted: Credential) -> Credential | None:
        """Return the stored credential with the same hostname, port, username, filesystem and purpose, or None."""
        return next((credential for credential in self.list_all() if _identity(credential) == _identity(wanted)), None)

    def for_snapshots(self) -> list[Credential]:
        """List the credentials that runs and their recovery may use, oldest first."""
        return of_purpose(self.list_all(), SNAPSHOT)

    def find_for_datasets(self, datasets: Iterable[str], purpose: str = SNAPSHOT) -> list[Credential]:
        """Return the credentials for a snapshot of `datasets`, or for a restore from it: filesystem is one of these, or
        a parent or child.
        """
        names = set(datasets)
        above = {each for name in names for each in upwards(name)}
        return [
            credential
            for credential in of_purpose(self.list_all(), purpose)
            if credential.filesystem in above or not names.isdisjoint(upwards(credential.filesystem))
        ]

    def password(self, credential: Credential) -> Secret:
        """Return the password. Raises CredentialNotFound, DependencyError, RegistryError (lost key, changed row)."""
        ciphertext = self.ciphertext(credential)
        while True:
            try:
                return self._cipher.decrypt(ciphertext, _context(credential), _context_of_1_0_0(credential))
            except KeyMissing:
                again = self.ciphertext(credential)
                if again == ciphertext:
                    raise
                ciphertext = again  # the key was replaced between the reads

    def ciphertext(self, credential: Credential) -> str:
        """Return the encrypted password. Raises CredentialNotFound, RegistryError."""
        rows = self._database.rows("SELECT password FROM credential WHERE id = ?", (credential.id,))
        if not rows:
            self.get(credential.id)
        return str(rows[0]["password"])

    def insert(self, wanted: Credential, password: Secret) -> Credential:
        """Store a new credential and return it with its ID. Raises InputError if the same credential exists."""
        now = utc_now()
        with self._database.transaction() as connection:
            self.refuse_twin(wanted)
            settings = _columns(wanted)
            cursor = connection.execute(
                f"INSERT INTO credential ({', '.join(settings)}, password, created, updated)"
                f" VALUES ({', '.join('?' * len(settings))}, '', ?, ?)",
                (*settings.values(), now, now),
            )
            stored = dataclasses.replace(wanted, id=cursor.lastrowid or 0, created=now, updated=now)
            self._store_password(connection, stored, password)  # bound to the ID, which exists only now
        return stored

    def update(self, wanted: Credential, password: Secret | None = None) -> Credential:
        """Replace the credential `wanted.id`. It keeps its password unless a new one is given.

        Raises CredentialNotFound, and InputError if another credential has the same identity.
        """
        stored = dataclasses.replace(wanted, updated=utc_now())
        with self._database.transaction() as connection:
            existing = self.get(wanted.id)
            self.refuse_twin(wanted)
            kept = password or self.password(existing)
            settings = _columns(stored)
            connection.execute(
                f"UPDATE credential SET {', '.join(f'{name} = ?' for name in settings)}, updated = ? WHERE id = ?",
                (*settings.values(), stored.updated, stored.id),
            )
            self._store_password(connection, stored, kept)  # encrypt again, because it is bound to the settings
        return stored

    def delete(self, credential_id: int) -> None:
        """Raises CredentialNotFound."""
        with self._database.transaction() as connection:
            self.get(credential_id)
            connection.execute("DELETE FROM credential WHERE id = ?", (credential_id,))

    def _upgrade(self) -> None:
        """Encrypt the passwords of release 1.0.0 again, because 1.0.0 did not bind them to the TLS settings.

        A password that cannot be decrypted is not changed. The error is raised when it is used.
        """
        for row in self._database.rows("SELECT * FROM credential WHERE password LIKE ?", (f"{FORMER}:%",)):
            with suppress(DependencyError, RegistryError), self._database.transaction() as connection:
                self.reencrypt(connection, _from_row(row))

    def reencrypt(self, connection: sqlite3.Connection, credential: Credential) -> None:
        """Encrypt the stored password with the newest key, in a transaction of the database."""
        self._store_password(connection, credential, self.password(credential))

    def _store_password(self, connection: sqlite3.Connection, credential: Credential, password: Secret) -> None:
        ciphertext = self._cipher.encrypt(password, _context(credential))
        connection.execute("UPDATE credential SET password = ? WHERE id = ?", (ciphertext, credential.id))

    def refuse_twin(self, wanted: Credential) -> None:
        """Raise InputError if a credential other than `wanted.id` has the identity of `wanted`."""
        twin = self.find(wanted)
        if twin is not None and twin.id != wanted.id:
            raise InputError(
                f"The credential {twin.id} already exists for {wanted}",
                f"Change that credential (id: {twin.id}) or remove it first",
            )


def of_purpose(credentials: Iterable[Credential], purpose: str) -> list[Credential]:
    return [one for one in credentials if one.purpose == purpose]


def _identity(credential: Credential) -> tuple[str, int, str, str, str]:
    return credential.hostname, credential.port, credential.username, credential.filesystem, credential.purpose


def _context(credential: Credential) -> str:
    """Return the context to which a ciphertext is bound.

    A user who can write to the database cannot make the engine send the password to another or an unverified server,
    or use an account for restores in runs.
    """
    server = [credential.hostname, credential.port, credential.username]
    trust = [credential.validate_certs, credential.ca_path, credential.thumbprint]
    purpose = [] if credential.purpose == SNAPSHOT else [credential.purpose]
    return json.dumps(["credential", credential.id, *server, *trust, *purpose])


def _context_of_1_0_0(credential: Credential) -> str:
    return json.dumps(["credential", credential.id, credential.hostname, credential.port, credential.username])


def _columns(credential: Credential) -> dict[str, Any]:
    return {**credential.settings(), "datastores": json.dumps(credential.datastores)}


def _from_row(row: sqlite3.Row) -> Credential:
    values = {field.name: row[field.name] for field in dataclasses.fields(Credential)}
    values["datastores"] = tuple(json.loads(values["datastores"]))
    values["validate_certs"] = bool(values["validate_certs"])
    return Credential(**values)


def _canonical(credential: Credential) -> Credential:
    """Normalise the settings, so that a second run with the same options changes nothing."""
    if credential.purpose not in PURPOSES:
        raise InputError(
            f"The purpose '{printable(credential.purpose, 80)}' is unknown", f"Set one of {', '.join(PURPOSES)}"
        )
    if not 0 < credential.port < 65536:
        raise InputError(f"The port {credential.port} is invalid", "Set a number from 1 to 65535")
    if not credential.username.strip() or not credential.username.isprintable():
        raise InputError(
            "The username is empty or contains control characters", "Set the username of a vSphere account"
        )
    if credential.ca_path and not os.path.isabs(credential.ca_path):
        raise InputError(
            f"ca_path '{printable(credential.ca_path, 80)}' is not an absolute path, so later runs would not find it",
            "Set the full path of a PEM file or folder on the storage host",
        )
    if not all(name.strip() for name in credential.datastores):
        raise InputError(
            "datastores has an empty entry",
            "List the datastores by their names in vSphere, or omit datastores to match them automatically",
        )
    return dataclasses.replace(
        credential,
        hostname=canonical_host(credential.hostname),
        filesystem=check_dataset(credential.filesystem),
        datastores=tuple(sorted(set(credential.datastores))),
        ca_path=credential.ca_path or None,
        thumbprint=normalise_thumbprint(credential.thumbprint) if credential.thumbprint else None,
    )


def by_account(credentials: Iterable[Credential]) -> list[list[Credential]]:
    """Return the credentials of each account (server and username)."""
    return list(grouped(((one.hostname, one.port, one.username), one) for one in credentials).values())


def endpoint_of(credential: Credential) -> Endpoint:
    """Return the server address and TLS settings of a credential."""
    return Endpoint(
        credential.hostname, credential.port, credential.validate_certs, credential.ca_path, credential.thumbprint
    )
