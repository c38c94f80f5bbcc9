# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The zfs command: no shell, C locale, typed errors, time limits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.door import local
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import (
    DatasetNotFound,
    DependencyError,
    SnapshotExists,
    ZfsError,
    ZfsTimeout,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs


@pytest.fixture
def fake(tmp_path: Path) -> Zfs:
    """A zfs that runs the script `do` and writes its arguments to `words`."""
    path = tmp_path / "zfs"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$LC_ALL" "$@" >{tmp_path}/words\n. {tmp_path}/do\n')
    path.chmod(0o755)
    (tmp_path / "do").write_text("true")
    return Zfs(str(path))


def do(fake: Zfs, script: str) -> None:
    Path(fake.binary).with_name("do").write_text(script)


def words(fake: Zfs) -> list[str]:
    return Path(fake.binary).with_name("words").read_text().splitlines()


def test_words_arrive_as_they_are_in_the_c_locale(fake: Zfs) -> None:
    snapshots.create(fake, ["tank/a b@$(id)", "tank/c@x"], {"q:x": "one 'two' *"}, timeout=10.0)
    assert words(fake) == ["C", "snapshot", "-o", "q:x=one 'two' *", "tank/a b@$(id)", "tank/c@x"]
    assert fake.processes == 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("cannot open 'tank/x': dataset does not exist", DatasetNotFound),
        ("cannot create snapshot 'tank@a': dataset already exists", SnapshotExists),
        ("cannot create snapshots : pool I/O is currently suspended", ZfsError),
        ("", ZfsError),
    ],
)
def test_what_zfs_says_becomes_a_typed_sentence(fake: Zfs, said: str, kind: type[ZfsError]) -> None:
    do(fake, f'echo part; echo "{said}" >&2; exit 1')
    with pytest.raises(ZfsError) as caught:
        fake.run("list", "tank")
    assert caught.value.__class__ is kind and caught.value.output == "part\n"
    assert str(caught.value).startswith("'zfs list' failed: " + (said or "zfs printed no message"))


def test_a_missing_command_is_a_dependency(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match="cannot be run: No such file"):
        Zfs(str(tmp_path / "none")).run("list")


def test_a_command_that_hangs_is_given_up(fake: Zfs) -> None:
    do(fake, "exec sleep 60")
    started = time.monotonic()
    with pytest.raises(ZfsTimeout, match=r"did not end within 0\.2 seconds"):
        fake.run("snapshot", timeout=0.2)
    assert time.monotonic() - started < 5


def test_a_command_that_hangs_gets_a_few_seconds_more_once_it_has_to_hurry(
    fake: Zfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_POLL", 0.05)
    monkeypatch.setattr(local, "_HURRIED", 0.3)
    do(fake, "exec sleep 60")
    looks = iter((False, False, True))
    with pytest.raises(ZfsTimeout, match=r"'zfs snapshot' did not end within 0\.\d seconds"):
        fake.run("snapshot", timeout=50.0, hurry=lambda: next(looks, True))
    do(fake, "sleep 0.1; echo done")
    assert fake.run("snapshot", timeout=50.0, hurry=lambda: True) == "done\n"


def test_a_command_that_is_killed_may_have_taken_effect(fake: Zfs) -> None:
    do(fake, "kill -9 $$")
    with pytest.raises(ZfsTimeout, match="was killed by signal 9"):
        fake.run("snapshot")


def test_existing_tells_the_present_from_the_absent(fake: Zfs) -> None:
    do(fake, "echo tank@a; echo \"cannot open 'tank@b': dataset does not exist\" >&2; exit 1")
    assert snapshots.existing(fake, ["tank@a", "tank@b"]) == ["tank@a"]


def test_only_a_line_feed_ends_a_row(fake: Zfs) -> None:
    do(fake, r"printf 'a\tb\rc\302\205d\342\200\250e\014f\r\n\n\tz\n'")
    assert fake.rows("list") == [["a", "b\rc\x85d\u2028e\x0cf\r"], [""], ["", "z"]]
    do(fake, "true")
    assert fake.rows("list") == []


def test_what_a_command_is_given_to_read_arrives(fake: Zfs) -> None:
    do(fake, "exec cat")
    assert fake.run("program", script="caf\u00e9\r\n") == "caf\u00e9\r\n"


def test_only_own_properties_count(fake: Zfs) -> None:
    rows = [
        "creation\\t17\\t-",
        "q:a\\t1\\tlocal",
        "q:b\\t2\\treceived",
        "q:c\\t3\\tinherited from tank",
        "r:d\\t4\\tlocal",
    ]
    do(fake, "printf '" + "\\n".join(rows) + "\\n'")
    assert snapshots.properties(fake, "tank@a", "q:") == {"creation": "17", "q:a": "1", "q:b": "2"}
    do(fake, "echo 'cannot open: dataset does not exist' >&2; exit 1")
    assert snapshots.properties(fake, "tank@a", "q:") is None


def test_a_command_is_in_a_session_of_its_own(fake: Zfs) -> None:
    do(fake, "ps -o sid= -p $$")
    assert int(fake.run("list")) not in (0, os.getsid(0))
