# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key rotation: no password is lost if it is killed at any time or if other processes work at the same time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import cipher, rotation
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.cipher import Cipher, key_id_of
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths

PASSWORDS = {1: "canary-one", 2: "canary-two", 3: "canary-three"}
NOTHING = rotation.Rotation(False, (), ())
# The steps that change something. A kill at any other time makes no difference.
ENGINE = str(Path(rotation.__file__).parents[1])
STEPS = ("rotate", "replace_keys", "replace_file", "write_file", "_store_password", "transaction", "_transaction",
         "empty_log")  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A registry with three credentials."""
    paths = Paths(tmp_path / "state", tmp_path / "etc" / "secret.key", tmp_path / "run")
    with Credentials.open(paths) as credentials:
        for number, password in PASSWORDS.items():
            trust: dict[str, Any] = {"validate_certs": number == 1, "ca_path": "/ca.pem" if number == 2 else None}
            credentials.insert(Credential(f"vc{number}.example.com", "root", "tank", **trust), Secret(password))
    return paths


def passwords(paths: Paths) -> dict[int, str]:
    with Credentials.open(paths, read_only=True) as credentials:
        return {one.id: credentials.password(one).reveal() for one in credentials.list_all()}


def keys(paths: Paths) -> list[str]:
    return list(Cipher(paths.key_file).keys())


def used(paths: Paths) -> set[str]:
    """Return the IDs of the keys with which passwords are encrypted."""
    with Credentials.open(paths, read_only=True) as credentials:
        return {key_id_of(credentials.ciphertext(one)) for one in credentials.list_all()}


def files(paths: Paths) -> bytes:
    return b"".join(path.read_bytes() for path in paths.state_dir.iterdir())


def test_the_key_is_another_one_and_nothing_else_changes(paths: Paths) -> None:
    (old,) = keys(paths)
    with Credentials.open(paths, read_only=True) as credentials:
        listed = credentials.list_all()
    done = rotation.rotate(paths, 0)
    assert done == rotation.Rotation(True, (1, 2, 3), (old,))
    (new,) = keys(paths)
    assert new != old and used(paths) == {new} and passwords(paths) == PASSWORDS
    assert old.encode() not in files(paths), "ciphertexts of the old key are still on the disk"
    with Credentials.open(paths, read_only=True) as credentials:
        assert credentials.list_all() == listed
    assert [path.name for path in paths.key_file.parent.iterdir()] == ["secret.key"]
    assert paths.key_file.stat().st_mode & 0o777 == 0o600


def test_a_young_key_stays(paths: Paths) -> None:
    before = keys(paths)
    assert rotation.plan(paths, 1) == rotation.rotate(paths, 1) == NOTHING and keys(paths) == before
    os.utime(paths.key_file, (0, 0))
    assert rotation.plan(paths, 365).changed and keys(paths) == before
    assert rotation.rotate(paths, 365).new_key and rotation.rotate(paths, 365) == NOTHING


def test_a_key_that_is_dated_in_the_future_is_not_young_for_ever(paths: Paths) -> None:
    """The clock was wrong when the key was created or its file was restored."""
    later = time.time() + 10 * 365 * 86400
    os.utime(paths.key_file, (later, later))
    assert rotation.rotate(paths, 365).new_key and rotation.rotate(paths, 365) == NOTHING
    soon = time.time() + 60  # the clock was set back a little
    os.utime(paths.key_file, (soon, soon))
    assert rotation.rotate(paths, 365) == NOTHING


def test_without_a_key_there_is_nothing_to_do(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "state", tmp_path / "etc" / "secret.key")
    assert rotation.plan(paths, 0) == NOTHING
    assert list(tmp_path.iterdir()) == []
    assert rotation.rotate(paths, 0) == NOTHING and not paths.key_file.exists()


def test_a_password_that_cannot_be_read_is_not_lost_for_good(paths: Paths) -> None:
    with Database.open(paths) as database, database.transaction() as connection:
        connection.execute("UPDATE credential SET hostname = 'elsewhere.example.com' WHERE id = 2")
    before = paths.key_file.read_bytes()
    for attempt in (rotation.plan, rotation.rotate):
        with pytest.raises(
            RegistryError, match=r"password of credential 2 \(root on elsewhere.*; set the password again"
        ):
            attempt(paths, 0)
    assert paths.key_file.read_bytes() == before and len(keys(paths)) == 1


def killed_at(line: int, paths: Paths) -> bool:
    """Rotate in a process that is killed before the given line of STEPS (counted in order of execution)."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(ENGINE) or frame.f_code.co_name not in STEPS:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            rotation.rotate(paths, 0)
        finally:
            os._exit(0)
    _unused, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_kill_before_any_line_loses_nothing_and_the_next_rotation_ends_it(paths: Paths) -> None:
    line, seen = 1, set()
    while killed_at(line, paths):
        assert passwords(paths) == PASSWORDS, line
        there = keys(paths)
        assert used(paths) <= set(there), line
        seen.add((len(there), used(paths) == {there[-1]}, (paths.key_file.parent / ".secret.key.new").exists()))
        with Credentials.open(paths) as credentials:  # a process that stores a password now is not affected
            credentials.update(credentials.get(1), Secret(PASSWORDS[1]))
        assert passwords(paths) == PASSWORDS, line
        if len(there) > 1:
            planned = rotation.plan(paths, 1000)
            assert not planned.new_key and planned.removed_keys == tuple(there[:-1])
            assert rotation.rotate(paths, 1000) == planned
            assert rotation.rotate(paths, 1000) == NOTHING
            assert len(keys(paths)) == 1 and used(paths) == {there[-1]} and passwords(paths) == PASSWORDS, line
            assert not list(paths.key_file.parent.glob(".*.new")), line
        line += 1
    assert line > 50
    # The kills happened with only the old key, with both, and with only the new key; with and without draft files.
    assert {(1, True, False), (1, True, True), (2, False, False), (2, True, False), (2, True, True)} <= seen


def test_readers_and_writers_go_on_meanwhile(paths: Paths) -> None:
    over = threading.Event()
    problems: list[BaseException] = []

    def work(write: bool) -> None:
        try:
            while not over.is_set():
                with Credentials.open(paths, read_only=not write) as credentials:
                    if write:
                        credentials.update(credentials.get(2), Secret(PASSWORDS[2]))
                    for one in credentials.list_all():
                        assert credentials.password(one).reveal() == PASSWORDS[one.id]
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(write,)) for write in (False, False, True)]
    for thread in threads:
        thread.start()
    rotations = [threading.Thread(target=rotation.rotate, args=(paths, 0)) for _each in range(12)]
    for thread in rotations:
        thread.start()
    for thread in rotations:
        thread.join()
    over.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(keys(paths)) == 1 and passwords(paths) == PASSWORDS


def test_a_password_is_read_again_when_its_key_goes_between_two_reads(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cipher.Cipher.decrypt
    pending = [True]

    def late(self: Cipher, ciphertext: str, *contexts: str) -> Secret:
        if pending and pending.pop():
            rotation.rotate(paths, 0)
        return real(self, ciphertext, *contexts)

    with Credentials.open(paths, read_only=True) as credentials:
        monkeypatch.setattr(cipher.Cipher, "decrypt", late)
        assert credentials.password(credentials.get(3)).reveal() == PASSWORDS[3]
