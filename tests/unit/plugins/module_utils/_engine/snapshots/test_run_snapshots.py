# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ZFS snapshots of a run: a result never states more than is on disk."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ZfsTimeout
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.run_snapshots import RunSnapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.properties import GONE
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import PREFIX, Pool

A, B = "tank/a@s", "tank/b@s"
RUN = Record("one", "h")


def pool() -> Pool:
    made = Pool()
    for name in (A, B):
        made.add(name, RUN.first())
    return made


def run_snapshots(*levels: str, complete: bool = True, **changes: Any) -> RunSnapshots:
    """The ZFS snapshots of a run whose records have these levels."""
    records = {name: Record("one", "h", consistency=level, complete=complete) for name, level in zip((A, B), levels)}
    return RunSnapshots(RUN, (A, B), **{"seen": True, "records": records, **changes})


# ---- Which snapshots belong to the run


def test_those_of_the_run_are_found_with_their_createtxg() -> None:
    zfs, one = pool(), RunSnapshots(RUN, (A, B))
    assert one.find(zfs, 7.0) and one.createtxgs == {A: zfs.born(A), B: zfs.born(B)}
    assert zfs.timeouts == [7.0]


@pytest.mark.parametrize(
    ("value", "source"), [("two", "local"), ("one", "received"), ("one", "inherited from tank"), ("one\nx", "local")]
)
def test_one_of_somebody_else_is_not_the_runs(value: str, source: str) -> None:
    """A received snapshot with the same name belongs to a run of another host."""
    zfs, one = pool(), RunSnapshots(RUN, (A, B))
    zfs.change(B, {PREFIX + "run": value}, source)
    assert not one.find(zfs, 7.0) and B not in one.createtxgs


def test_where_one_is_missing_not_all_were_taken() -> None:
    zfs, one = pool(), RunSnapshots(RUN, (A, B))
    del zfs.snapshots[B]
    assert not one.find(zfs, 7.0) and one.createtxgs.keys() == {A}


def test_a_pool_that_hangs_shows_nothing() -> None:
    class Hanging(Pool):
        def run(self, *arguments: str, **options: Any) -> str:
            raise ZfsTimeout("'zfs get' did not end within 2 seconds")

    assert not RunSnapshots(RUN, (A, B)).find(Hanging(), 2.0)


# ---- What happened


def test_what_was_not_seen_is_nothing() -> None:
    one = RunSnapshots(RUN, (A, B))
    assert not one.exists and one.level() is None and not one.complete() and one.failure() is None
    assert one.what_happened("it is so") == "No ZFS snapshot was taken: it is so"


def test_the_whole_is_as_its_worst_record() -> None:
    assert (
        run_snapshots("filesystem", "still").level() == "filesystem" and run_snapshots("filesystem", "still").complete()
    )
    assert run_snapshots("filesystem", "crash").level() == "crash"
    assert not run_snapshots("filesystem", "still", complete=False).complete()


def test_what_has_no_record_or_is_not_sealed_is_crash() -> None:
    for one in (
        run_snapshots(),
        run_snapshots("still"),
        run_snapshots("still", "still", unsealed={B: "zfs refuses (error 28)"}),
    ):
        assert one.exists and one.level() == "crash" and not one.complete()


def test_a_record_that_could_not_be_written_is_reported() -> None:
    one = run_snapshots("still", "still", unsealed={A: "zfs refuses (error 28)", B: "zfs refuses (error 28)"})
    error = one.failure()
    assert error is not None and str(error) == (
        "The record of 2 ZFS snapshots could not be written, for example of tank/a@s: zfs refuses (error 28); it reads "
        "as crash until a recovery writes the record; the next run does that, or 'vmware-zfs recover'."
    )
    error = run_snapshots("still", "still", unsealed={B: GONE}).failure()
    assert error is not None and "The ZFS snapshot tank/b@s has no record: it was destroyed" in str(error)
    assert run_snapshots("still", "still").failure() is None


# ---- Destroy


def test_those_of_the_run_are_destroyed_and_no_other() -> None:
    zfs, one = pool(), run_snapshots()
    one.find(zfs, 7.0)
    zfs.add(B, RUN.first())  # created again under the same name
    one.destroy(zfs, 7.0)
    assert list(zfs.snapshots) == [B] and one.undestroyed == {B: "another snapshot has this name now"}
    assert one.exists and one.level() == "crash"
    assert "the ZFS snapshot tank/b@s, which still exists because another snapshot has" in one.what_happened(
        "x"
    ).replace("The policy does not allow ", "")


def test_what_was_destroyed_again_is_nothing() -> None:
    zfs, one = pool(), run_snapshots("filesystem", "filesystem")
    one.destroy(zfs, 7.0)
    assert zfs.snapshots == {} and one.undestroyed == {} and not one.exists
    assert one.level() is None and not one.complete()
    assert one.what_happened("x") == (
        "The ZFS snapshot was destroyed again, because the policy does not allow its record: x"
    )


def test_where_it_is_not_known_which_are_the_runs_none_is_destroyed() -> None:
    zfs, one = pool(), run_snapshots()
    del zfs.snapshots[B]
    one.destroy(zfs, 7.0)
    assert list(zfs.snapshots) == [A] and one.exists
    assert one.undestroyed == dict.fromkeys((A, B), "it is unknown which of them belong to this run")


def test_a_pool_that_hangs_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    zfs, one = pool(), run_snapshots()

    def hang(number: int) -> None:
        raise ZfsTimeout("'zfs program' did not end within 600 seconds")

    zfs.before = hang
    one.destroy(zfs, 7.0)
    assert one.undestroyed == dict.fromkeys((A, B), "'zfs program' did not end within 600 seconds") and one.exists


def test_a_run_that_was_not_refused_says_only_its_problem() -> None:
    assert run_snapshots().what_happened("it is so") == "it is so"
