# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention on a pool: the newest complete snapshot is protected, and snapshots of a live run are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verified import KEY as KEY_OF_DRILL
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.verified import Verified
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.tests import records_v1
from ansible_collections.quiesce.vmware_zfs.tests.unit.zfs_pool import OLD, Pool

KEY = "0123456789abcdef"
TASK = replace(SnapshotTask("tank/vmware").merged({"lifetime_value": 1, "lifetime_unit": "HOUR"}), id=1, key=KEY)
NAMES = [f"tank/vmware@{number}" for number in range(4)]  # from the oldest to the newest


def sealed(run: str, **changes: Any) -> dict[str, str]:
    one = Record(run, "h", KEY, **{"consistency": "filesystem", "complete": True, **changes})
    return {**one.first(), **dict(one.seal())}


def unsealed(run: str) -> dict[str, str]:
    return Record(run, "h", KEY).first()


def pool(*properties: dict[str, str]) -> Pool:
    made = Pool()
    for number, (name, values) in enumerate(zip(NAMES, properties)):
        made.add(name, values, creation=OLD + number)
    return made


def destroyed(zfs: Pool, **options: Any) -> list[str]:
    found = lifetimes.facts(zfs, ["tank/vmware"])
    done = retire.retire(zfs, [TASK], found, options.pop("dry", False), **options)
    assert {*done.destroyed, *(kept.name for kept in done.kept)} == set(found)
    return list(done.destroyed)


def test_the_newest_that_is_sealed_and_complete_is_protected() -> None:
    zfs = pool(sealed("0"), sealed("1"), sealed("2", complete=False), unsealed("3"))
    assert sorted(destroyed(zfs)) == [NAMES[0], NAMES[2]]
    assert list(zfs.snapshots) == [NAMES[1], NAMES[3]]


def drilled(run: str, result: str = "verified", of: str = "") -> dict[str, str]:
    return {**sealed(run), KEY_OF_DRILL: Verified(of or run, "drill-1", "2026-11-28T09:00:00Z", 9.5, result).text()}


@pytest.mark.parametrize("dry", [False, True])
def test_the_newest_that_a_drill_verified_is_protected(dry: bool) -> None:
    zfs = pool(drilled("0"), drilled("1"), sealed("2"), sealed("3"))
    assert sorted(destroyed(zfs, dry=dry)) == [NAMES[0], NAMES[2]]
    assert list(zfs.snapshots) == NAMES if dry else [NAMES[1], NAMES[3]]
    kept = retire.retire(zfs, [TASK], lifetimes.facts(zfs, ["tank/vmware"]), True).kept
    assert {one.name: one.reason for one in kept}[NAMES[1]] == "it is the newest that a drill verified"


@pytest.mark.parametrize(("result", "of"), [("failed", ""), ("booted", ""), ("inconclusive", ""), ("verified", "9")])
def test_a_drill_that_verified_nothing_protects_nothing(result: str, of: str) -> None:
    zfs = pool(drilled("0"), drilled("1", result, of), sealed("2"), sealed("3"))
    assert sorted(destroyed(zfs)) == NAMES[1:3]


def test_a_record_that_does_not_match_its_seal_protects_nothing() -> None:
    forged = {**unsealed("1"), records_v1.PREFIX + "complete": "yes"}
    zfs = pool(sealed("0"), forged, {**sealed("2"), records_v1.PREFIX + "host": "x"}, unsealed("3"))
    assert sorted(destroyed(zfs)) == NAMES[1:3]


def test_a_complete_one_of_1_0_0_within_its_hold_is_protected() -> None:
    """Otherwise an upgrade would destroy the newest complete one."""
    within = records_v1.properties("0", task=KEY, held_until=OLD)
    after = records_v1.properties("1", task=KEY, held_until=OLD)  # its creation is a second later
    zfs = pool(within, after, unsealed("2"))
    assert destroyed(zfs) == [NAMES[1]]


@pytest.mark.parametrize("dry", [False, True])
def test_what_a_living_run_took_is_left_alone(dry: bool) -> None:
    """Its records are not complete. By their lifetime and records alone, all these would be destroyed."""
    zfs = pool(unsealed("0"), unsealed("1"), sealed("2"), unsealed("3"))
    asked: list[str] = []

    def is_alive(run: str) -> bool:
        asked.append(run)
        return run == "1"

    found = lifetimes.facts(zfs, ["tank/vmware"])
    done = retire.retire(zfs, [TASK], found, dry, is_alive)
    assert done.destroyed == [NAMES[0]]
    assert retire.Kept(NAMES[1], "its run has not ended") in done.kept
    assert sorted(asked) == ["0", "1"], "only what would be destroyed is asked about"
    assert list(zfs.snapshots) == (NAMES if dry else NAMES[1:])


def test_a_snapshot_without_a_run_belongs_to_no_living_one() -> None:
    zfs = pool({records_v1.PREFIX + "task": KEY}, sealed("1"))
    assert destroyed(zfs, is_alive=lambda run: True) == [NAMES[0]]


def test_a_dry_run_destroys_nothing() -> None:
    zfs = pool(sealed("0"), sealed("1"))
    assert destroyed(zfs, dry=True) == [NAMES[0]] and zfs.programs == [] and list(zfs.snapshots) == NAMES[:2]


def test_what_zfs_does_not_destroy_is_kept_with_its_reason() -> None:
    zfs = pool(sealed("0"), sealed("1"))
    found = lifetimes.facts(zfs, ["tank/vmware"])
    zfs.add(NAMES[0], sealed("0"))  # created again after its properties were read
    done = retire.retire(zfs, [TASK], found, False)
    assert done.destroyed == []
    assert retire.Kept(NAMES[0], "another snapshot has this name now") in done.kept


def test_what_is_received_excluded_or_below_a_task_that_is_not_recursive_stays() -> None:
    """A replica has the task's key as well, but retention must not apply to it."""
    for task, outside in (
        (replace(TASK, recursive=True, exclude=("tank/vmware/backup",)), True),
        (TASK, True),
        (replace(TASK, recursive=True), False),
    ):
        zfs = pool(sealed("0"), sealed("1"))
        for number, name in enumerate(("tank/vmware/backup/a@0", "tank/vmware/backup/a@1")):
            zfs.add(name, sealed(str(number)), creation=OLD + number)
            zfs.add(name.replace("/a@", "/replica@"), sealed(str(number)), "received", creation=OLD + number)
        zfs.add("tank/vmware@received", sealed("2"), "received")
        done = retire.retire(zfs, [task], lifetimes.facts(zfs, ["tank/vmware"]), False)
        assert done.destroyed == [NAMES[0]] + ([] if outside else ["tank/vmware/backup/a@0"])
        reasons = {kept.name: kept.reason for kept in done.kept}
        assert reasons["tank/vmware@received"] == lifetimes.RECEIVED
        assert (reasons.get("tank/vmware/backup/a@0") == lifetimes.OUTSIDE) is outside
        assert reasons.get("tank/vmware/backup/replica@0") == (None if outside else lifetimes.RECEIVED)


def test_a_received_snapshot_is_the_tasks_once_it_was_claimed() -> None:
    zfs = pool(sealed("0"), sealed("1"))
    for name, run in (("tank/vmware@back", "2"), ("tank/vmware@later", "3")):
        zfs.add(name, sealed(run), "received", creation=OLD + int(run))
        zfs.change(name, {records_v1.PREFIX + "task": KEY})
    assert sorted(destroyed(zfs)) == [*NAMES[:2], "tank/vmware@back"]
    assert list(zfs.snapshots) == ["tank/vmware@later"], "which is the newest, and complete by its record"


def test_one_of_the_future_is_neither_the_newest_nor_the_newest_complete() -> None:
    zfs = pool(sealed("0"), sealed("1"), unsealed("2"), unsealed("3"))
    zfs.add("tank/vmware@future", sealed("4"), creation=4_000_000_000)
    assert sorted(destroyed(zfs)) == [NAMES[0], NAMES[2]]
    assert list(zfs.snapshots) == [NAMES[1], NAMES[3], "tank/vmware@future"]


def test_the_newest_is_what_was_born_last_whatever_the_clock_said() -> None:
    zfs = pool(unsealed("0"), unsealed("1"))
    zfs.add("tank/vmware@2000", unsealed("2"), creation=OLD - 1000)
    assert sorted(destroyed(zfs)) == NAMES[:2]


def test_of_a_task_whose_clock_is_doubted_nothing_goes() -> None:
    zfs = pool(sealed("0"), sealed("1"), sealed("2"))
    done = retire.retire(zfs, [TASK], lifetimes.facts(zfs, ["tank/vmware"]), False, spare={KEY})
    assert not done.destroyed and retire.Kept(NAMES[0], lifetimes.SPARED) in done.kept
