# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replacing the key that encrypts stored passwords, such that a kill at any instant leaves every password readable.

The new key is in the key file, beside the old one, before the first password is encrypted with it; the old one goes
when no password needs it any more. Whatever is left half done the next rotation ends. The database's write lock, under
which everybody encrypts, is held while the key file changes; who only reads meanwhile reads again (Credentials).
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
    """What a rotation does, or did. `encrypted_anew` are ids of credentials; keys are told by their ids alone.

    `new_key` says whether a key is made; without one a rotation that was interrupted is ended.
    """

    new_key: bool
    encrypted_anew: tuple[int, ...]
    removed_keys: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.new_key or bool(self.encrypted_anew or self.removed_keys)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for results: JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def plan(paths: Paths, max_age: float) -> Rotation:
    """What `rotate` would do now. `max_age` in days: a younger key stays; by the time at which the file was written.

    Raises RegistryError for a password that cannot be read, which a rotation would lose for good.
    """
    with Database.open(paths, read_only=True) as database:
        return _plan(database, Cipher(paths.key_file), max_age)


def rotate(paths: Paths, max_age: float) -> Rotation:
    """Replace the key, or end a rotation that was interrupted. Raises RegistryError before anything is changed."""
    cipher = Cipher(paths.key_file)
    with Database.open(paths) as database:
        credentials = Credentials(database, cipher)
        with database.transaction() as connection:
            planned = _plan(database, cipher, max_age)
            if planned.new_key:
                cipher.replace_keys({**cipher.keys(), **dict([new_key()])})
            for credential in _not_under_the_newest(credentials, cipher):
                credentials.encrypt_anew(connection, credential)
        if planned.changed:
            database.empty_log()  # what the old key opens goes from the disk before the key does
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
        return Rotation(False, (), ())  # the first password makes the key
    keys = list(cipher.keys())
    _require_readable(credentials, stored)
    if len(keys) > 1:  # interrupted: the last key is the new one
        pending = _not_under_the_newest(credentials, cipher)
        return Rotation(False, tuple(one.id for one in pending), tuple(keys[:-1]))
    age = (time.time() - cipher.key_file.stat().st_mtime) / _DAY
    if -1 < age < max_age:  # in days; one of tomorrow or later is of a clock that was wrong, and of no known age
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
                f"The key stays as it is, because the password of credential {credential.id} ({credential}) would be"
                f" lost: {error.problem}",
                f"Give vmware_cred its password again (id: {credential.id}), or remove that credential",
            ) from error
