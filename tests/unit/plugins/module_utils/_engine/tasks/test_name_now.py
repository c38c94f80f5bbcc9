# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A request without a name gets a current snapshot, even if the clock shows the same time twice."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records.record import TASK
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import name_now as naming
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs import snapshots
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.datasets import Dataset
from ansible_collections.quiesce.vmware_zfs.tests.unit.fakes.zfs import ROOT, many

NOW = 1792890060.0  # 2026-10-25 02:01 in Berlin, for the second time
ZFS: Any = None


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("age", "name"),
    [
        (None, "auto-2026-10-25_02-01"),  # no such snapshot exists
        (0, "auto-2026-10-25_02-01"),  # the request is repeated
        (59, "auto-2026-10-25_02-01"),
        (3600, f"auto-2026-10-25_02-01-{NOW:.0f}"),  # clocks went back
        (-3600, f"auto-2026-10-25_02-01-{NOW:.0f}"),  # the clock was ahead
    ],
)
def test_the_name_of_now(monkeypatch: pytest.MonkeyPatch, age: int | None, name: str) -> None:
    there = {} if age is None else {"tank/a@auto-2026-10-25_02-01": {"creation": f"{NOW - age:.0f}"}}
    monkeypatch.setattr(snapshots, "properties", lambda zfs, name, prefix: there.get(name))
    monkeypatch.setattr(snapshots, "existing", lambda zfs, names: list(there))
    monkeypatch.setattr(naming, "list_datasets", lambda zfs, root: [Dataset("tank/a", "filesystem", None, False)])
    assert naming.name_now(ZFS, "tank/a", True, [], "auto-%Y-%m-%d_%H-%M") == name


@pytest.mark.parametrize("taken", ["tank/a", "tank/a/deep"])
def test_what_a_task_has_taken_of_the_dataset_or_below_it_is_not_the_answer(taken: str) -> None:
    zfs: Any = many(1)
    name = naming.name_now(zfs, ROOT, True, [], "auto-%Y-%m-%d_%H-%M")
    below = zfs.datasets[-1]
    zfs.take([f"{ROOT if taken == 'tank/a' else below}@{name}"], {TASK: "0123456789abcdef"}, int(NOW))
    assert naming.name_now(zfs, ROOT, True, [], "auto-%Y-%m-%d_%H-%M") == f"{name}-{NOW:.0f}"


def test_a_dataset_that_there_cannot_be_is_refused() -> None:
    with pytest.raises(InputError):
        naming.name_now(ZFS, "tank/a b@c", False, [], "auto-%Y-%m-%d_%H-%M")
