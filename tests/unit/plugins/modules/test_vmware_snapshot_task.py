# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_snapshot_task and vmware_snapshot_task_info: what they document of what they return."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import journal, snapshot_task
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.registry.snapshot_tasks import SnapshotTask
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_snapshot_task, vmware_snapshot_task_info

TASK = yaml.safe_load(vmware_snapshot_task.RETURN)["task"]["contains"]
LAST_RUN = yaml.safe_load(vmware_snapshot_task_info.RETURN)["tasks"]["contains"]["last_run"]["contains"]


def unsaid(returned: dict[str, Any], documented: dict[str, Any]) -> list[str]:
    """What is null and is not said to be."""
    assert returned.keys() == documented.keys()
    empty = [name for name, value in returned.items() if value is None]
    assert empty
    return [name for name in empty if "V(null)" not in "".join(documented[name]["description"])]


def test_a_task_that_check_mode_would_create() -> None:
    assert unsaid(SnapshotTask("tank/a").as_dict(), TASK) == []


def test_a_run_that_has_not_ended() -> None:
    run = journal.RunRecord("r1", "key", "tank/a", ("tank/a@one",), journal.QUIESCING, "2026-01-31", "", {})
    assert unsaid(snapshot_task.summary(run), LAST_RUN) == []


def test_every_state_of_a_run() -> None:
    states = (journal.QUIESCING, journal.RELEASING, journal.ENDED)
    assert [state for state in states if f"V({state})" not in "".join(LAST_RUN["state"]["description"])] == []
