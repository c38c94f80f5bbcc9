# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypts stored passwords by AES-256-GCM with a key that only root can read, in a file outside the database.

The key file contains one line per key: `<key id> <64 hexadecimal digits>`. The last key encrypts. All keys decrypt, so
that a key can be replaced (rotation.py). A ciphertext is `v2:<key id>:<base64 of nonce and data>`. It is bound to a
context, the credential, and cannot be decrypted if it is copied to another row.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping

from ..durable import replace_file, sync_folder, write_file
from ..errors import DependencyError, RegistryError
from ..secret import Secret
from ..text import printable
from .database import check_private_file, make_private_folder

MINIMUM = "3.4"

AESGCM: Any
InvalidTag: Any
IMPORT_TRACEBACK: str | None
try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    IMPORT_TRACEBACK = None
except ImportError:
    AESGCM = InvalidTag = None
    IMPORT_TRACEBACK = traceback.format_exc()

_FORMAT = "v2"
FORMER = "v1"  # of release 1.0.0
_NONCE_BYTES = 12
_REMEDY = "Restore the key file from a backup, or set the credential's password again"


class KeyMissing(RegistryError):
    """The key that encrypted a password is not in the key file."""


def require() -> None:
    """Raise DependencyError unless the library cryptography is installed."""
    if IMPORT_TRACEBACK is not None:
        raise DependencyError(
            "The Python library cryptography is missing on this host",
            f"Install cryptography {MINIMUM} or later for the Python that runs the engine,"
            " or apply the role quiesce.vmware_zfs.runtime",
        )


class Cipher:
    """Encrypts and decrypts with the keys in `key_file`. The first encryption creates the file."""

    def __init__(self, key_file: Path) -> None:
        self.key_file = key_file

    def encrypt(self, secret: Secret, context: str) -> str:
        """Return the ciphertext of `secret`, bound to `context`. Raises DependencyError and RegistryError."""
        require()
        with _sentences(self.key_file):
            if not self.key_file.exists():
                _create_key_file(self.key_file)
        key_id, key = list(self.keys().items())[-1]
        nonce = os.urandom(_NONCE_BYTES)
        data = AESGCM(key).encrypt(nonce, secret.reveal().encode(), context.encode())
        return f"{_FORMAT}:{key_id}:{base64.b64encode(nonce + data).decode()}"

    def decrypt(self, ciphertext: str, context: str, former_context: str = "") -> Secret:
        """Decrypt a ciphertext. Raises RegistryError if the key is missing or the ciphertext has another context.

        `former_context` is the context that release 1.0.0 used. It is accepted only for ciphertexts in the format v1.
        """
        require()
        form, _unused, rest = ciphertext.partition(":")
        key_id, _unused, encoded = rest.partition(":")
        key = self.keys().get(key_id)
        if form not in (_FORMAT, FORMER) or key is None:
            raise KeyMissing(f"The key that encrypted the password is not in {self.key_file}", _REMEDY)
        for bound_to in (context, former_context) if form == FORMER else (context,):
            try:
                return _decrypt(key, encoded, bound_to)
            except (InvalidTag, ValueError):  # ValueError: not base64, or shorter than a nonce
                pass
        raise RegistryError("The stored password is damaged or belongs to another credential", _REMEDY)

    def keys(self) -> dict[str, bytes]:
        """Return the keys by ID, oldest first. Raises RegistryError."""
        with _sentences(self.key_file):
            check_private_file(self.key_file)
            lines = self.key_file.read_text(encoding="ascii").split("\n")
        try:
            keys = {key_id: binascii.unhexlify(key) for key_id, key in (line.split() for line in lines if line)}
        except ValueError:
            keys = {}
        if not keys or any(len(key) != 32 for key in keys.values()):
            raise RegistryError(f"The key file {self.key_file} is damaged", _REMEDY)
        return keys

    def replace_keys(self, keys: Mapping[str, bytes]) -> None:
        """Replace the keys in the file, atomically and durably. Only one process may do this at a time."""
        with _sentences(self.key_file):
            replace_file(self.key_file, "".join(_line(*key) for key in keys.items()).encode(), 0o600)


def _decrypt(key: bytes, encoded: str, context: str) -> Secret:
    blob = base64.b64decode(encoded, validate=True)
    if base64.b64encode(blob).decode() != encoded:  # the last character can contain unused bits
        raise ValueError("not as it was written")
    return Secret(AESGCM(key).decrypt(blob[:_NONCE_BYTES], blob[_NONCE_BYTES:], context.encode()).decode())


def key_id_of(ciphertext: str) -> str:
    """Return the ID of the key that encrypted a ciphertext."""
    return ciphertext.split(":")[1] if ciphertext.count(":") == 2 else ""


def new_key() -> tuple[str, bytes]:
    """Create a key of 256 random bits and its ID, which is random so that it never equals the ID of a lost key."""
    return secrets.token_hex(4), secrets.token_bytes(32)


def _create_key_file(path: Path) -> None:
    """Create the key file atomically and durably. If several processes do this, the first one wins."""
    make_private_folder(path.parent)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        write_file(draft, _line(*new_key()).encode(), 0o600)
        try:
            os.link(draft, path)  # unlike a rename, a link never replaces an existing key file
        except FileExistsError:
            pass
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _line(key_id: str, key: bytes) -> str:
    return f"{key_id} {key.hex()}\n"


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RegistryError(
            f"The key file {path} is missing, so the stored passwords cannot be read", _REMEDY
        ) from error
    except UnicodeDecodeError as error:
        raise RegistryError(f"The key file {path} is damaged", _REMEDY) from error
    except OSError as error:
        raise RegistryError(
            f"The key file {path} cannot be used: {printable(error.strerror)}",
            "Run as root (become: true) and check its file system",
        ) from error
