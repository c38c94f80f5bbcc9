# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaces the key that encrypts stored passwords. All passwords stay readable even if the process is killed.

The new key is added to the key file before the first password is encrypted with it. The old key is removed when no
password uses it. The next rotation completes an interrupted one. The database's write lock, which every encryption
needs, is held while the key file changes. A process that reads at that time reads again (Credentials.password).
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RegistryError
from .cipher import Cipher, key_id_of, new_key
from .credentials import Credential, Credentials
from .database import Database, Paths

_DAY = 86400.0


@dataclass(frozen=True)
class Rotation:
    """A planned or completed rotation. `encrypted_anew` are IDs of credentials, `removed_keys` are IDs of keys.

    `new_key`: a new key is created. If false, an interrupted rotation is completed.
    """

    new_key: bool
    encrypted_anew: tuple[int, ...]
    removed_keys: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.new_key or bool(self.encrypted_anew or self.removed_keys)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results: JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def plan(paths: Paths, max_age: float) -> Rotation:
    """Return what `rotate` would do now. A key that is younger than `max_age` days stays; the file's mtime counts.

    Raises RegistryError if a password cannot be read, because a rotation would lose it.
    """
    with Database.open(paths, read_only=True) as database:
        return _plan(database, Cipher(paths.key_file), max_age)


def rotate(paths: Paths, max_age: float) -> Rotation:
    """Replace the key, or complete an interrupted rotation. Raises RegistryError before anything is changed."""
    cipher = Cipher(paths.key_file)
    with Database.open(paths) as database:
        credentials = Credentials(database, cipher)
        with database.transaction() as connection:
            planned = _plan(database, cipher, max_age)
            if planned.new_key:
                cipher.replace_keys({**cipher.keys(), **dict([new_key()])})
            for credential in _not_under_the_newest(credentials, cipher):
                credentials.reencrypt(connection, credential)
        if planned.changed:
            database.empty_log()  # remove ciphertexts of the old key from the disk before the key itself
            with database.transaction():
                keys = cipher.keys()
                needed = {list(keys)[-1], *(key_id_of(credentials.ciphertext(one)) for one in credentials.list_all())}
                if not needed.issuperset(keys):
                    cipher.replace_keys({key_id: key for key_id, key in keys.items() if key_id in needed})
    return planned


def _plan(database: Database, cipher: Cipher, max_age: float) -> Rotation:
    credentials = Credentials(database, cipher)
    stored = credentials.list_all()
    if not stored and not cipher.key_file.exists():
        return Rotation(False, (), ())  # the first password creates the key
    keys = list(cipher.keys())
    _require_readable(credentials, stored)
    if len(keys) > 1:  # interrupted: the last key is the new one
        pending = _not_under_the_newest(credentials, cipher)
        return Rotation(False, tuple(one.id for one in pending), tuple(keys[:-1]))
    age = (time.time() - cipher.key_file.stat().st_mtime) / _DAY
    if -1 < age < max_age:  # in days; if the time is in the future, the clock was wrong and the age is unknown
        return Rotation(False, (), ())
    return Rotation(True, tuple(one.id for one in stored), tuple(keys))


def _not_under_the_newest(credentials: Credentials, cipher: Cipher) -> list[Credential]:
    if not cipher.key_file.exists():
        return []
    newest = list(cipher.keys())[-1]
    return [one for one in credentials.list_all() if key_id_of(credentials.ciphertext(one)) != newest]


def _require_readable(credentials: Credentials, stored: list[Credential]) -> None:
    for credential in stored:
        try:
            credentials.password(credential)
        except RegistryError as error:
            raise RegistryError(
                f"The key was not replaced, because the password of credential {credential.id} ({credential}) would be"
                f" lost: {error.problem}",
                f"Set the password again with vmware_cred (id: {credential.id}), or remove the credential",
            ) from error
