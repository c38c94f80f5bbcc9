# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored passwords: they can be decrypted only with the key, and only for their own credential."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError, RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import cipher as subject
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.cipher import Cipher, new_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CANARY = Secret("canary-password")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.fixture
def cipher(tmp_path: Path) -> Cipher:
    return Cipher(tmp_path / "etc" / "secret.key")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=TEXT, context=TEXT)
def test_what_is_encrypted_comes_back(cipher: Cipher, password: str, context: str) -> None:
    first, second = (cipher.encrypt(Secret(password), context) for _time in range(2))
    assert first != second, "equal passwords must not be recognisable"
    assert cipher.decrypt(first, context).reveal() == cipher.decrypt(second, context).reveal() == password
    with pytest.raises(RegistryError, match="belongs to another credential"):
        cipher.decrypt(first, context + "x")


def test_no_ciphertext_survives_a_change(cipher: Cipher) -> None:
    ciphertext = cipher.encrypt(CANARY, "here")
    for position in range(len(ciphertext)):
        for other in ("A", "B", "R", "h", "x", ":", "\n"):  # some differ from the last one only in unused bits
            changed = ciphertext[:position] + other + ciphertext[position + 1 :]
            if changed != ciphertext:
                with pytest.raises(RegistryError):
                    cipher.decrypt(changed, "here")
        with pytest.raises(RegistryError):
            cipher.decrypt(ciphertext[:position], "here")


def test_the_key_file_is_private_and_kept(cipher: Cipher) -> None:
    cipher.encrypt(CANARY, "here")
    content = cipher.key_file.read_text()
    cipher.encrypt(CANARY, "here")
    assert cipher.key_file.read_text() == content
    assert stat.S_IMODE(cipher.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cipher.key_file.parent.stat().st_mode) == 0o700
    assert list(cipher.key_file.parent.iterdir()) == [cipher.key_file], "the draft was left behind"


def test_the_first_of_several_makes_the_key(cipher: Cipher, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Barrier(8)
    real = subject._create_key_file

    def all_at_once(path: Path) -> None:
        start.wait()
        real(path)

    monkeypatch.setattr(subject, "_create_key_file", all_at_once)
    ciphertexts: list[str] = []
    threads = [threading.Thread(target=lambda: ciphertexts.append(cipher.encrypt(CANARY, "x"))) for _each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [cipher.decrypt(each, "x").reveal() for each in ciphertexts] == [CANARY.reveal()] * 8
    assert list(cipher.key_file.parent.iterdir()) == [cipher.key_file]


def test_a_key_can_be_replaced(cipher: Cipher) -> None:
    old = cipher.encrypt(CANARY, "x")
    cipher.replace_keys({**cipher.keys(), **dict([new_key()])})
    new = cipher.encrypt(CANARY, "x")
    assert old.split(":")[1] != new.split(":")[1]
    assert cipher.decrypt(old, "x") == cipher.decrypt(new, "x") == CANARY
    cipher.replace_keys(dict(list(cipher.keys().items())[1:]))
    assert stat.S_IMODE(cipher.key_file.stat().st_mode) == 0o600
    assert list(cipher.key_file.parent.iterdir()) == [cipher.key_file]
    assert cipher.decrypt(new, "x") == CANARY
    with pytest.raises(RegistryError, match=r"The key that encrypted the password is not in .*; restore the key file"):
        cipher.decrypt(old, "x")


def test_a_lost_key_is_never_mistaken_for_a_new_one(cipher: Cipher) -> None:
    ciphertext = cipher.encrypt(CANARY, "x")
    cipher.key_file.unlink()
    with pytest.raises(RegistryError, match="is missing, so the stored passwords cannot be read; restore the key file"):
        cipher.decrypt(ciphertext, "x")
    cipher.encrypt(CANARY, "y")
    with pytest.raises(RegistryError, match="The key that encrypted the password is not in"):
        cipher.decrypt(ciphertext, "x")


@pytest.mark.parametrize("content", ["", "\n", "one two three\n", "id 00ff\n", "id zz\n", f"id {'0' * 63}\n", "\u00e9"])
def test_a_damaged_key_file_says_so(cipher: Cipher, content: str) -> None:
    cipher.encrypt(CANARY, "x")
    cipher.key_file.write_text(content, encoding="utf-8")
    with pytest.raises(RegistryError, match="is damaged; restore the key file"):
        cipher.encrypt(CANARY, "x")
    assert cipher.key_file.read_text(encoding="utf-8") == content


def test_a_key_open_to_others_is_refused(cipher: Cipher) -> None:
    ciphertext = cipher.encrypt(CANARY, "x")
    cipher.key_file.chmod(0o644)
    for attempt in (lambda: cipher.decrypt(ciphertext, "x"), lambda: cipher.encrypt(CANARY, "x")):
        with pytest.raises(RegistryError, match=r"accessible to other users \(mode 0644\); run 'chmod 0600"):
            attempt()


def test_a_missing_library_says_what_brings_it(cipher: Cipher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "IMPORT_TRACEBACK", "Traceback ...")
    with pytest.raises(DependencyError, match="cryptography is missing on this host; install cryptography"):
        cipher.encrypt(CANARY, "x")
    assert not cipher.key_file.exists()
