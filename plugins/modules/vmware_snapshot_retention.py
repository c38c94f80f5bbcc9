#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_retention
short_description: Destroy expired ZFS snapshots of snapshot tasks
version_added: 1.0.0
description:
  - Applies the retention of snapshot tasks now. Every run of a snapshot task does the same at its end. In check mode,
    the module lists the ZFS snapshots to destroy, and the reason for each one that is kept.
  - A ZFS snapshot is destroyed only if it has the task's property and its lifetime has expired. The lifetime starts at
    the creation time. Snapshots are destroyed by exact name.
  - A ZFS snapshot is kept if it is held, has a clone or is in use. On every dataset, the newest snapshot, the newest
    complete snapshot and the newest snapshot that a drill verified are kept. Snapshots of a run that has not ended are
    also kept.
  - A ZFS snapshot is kept if its property was received, or if the task does not snapshot its dataset because the
    dataset is excluded or the task is not recursive.
  - A ZFS snapshot that is dated in the future, because the clock was wrong, is kept until it expires. It does not count
    as the newest, the newest complete or the newest verified snapshot.
  - If more time than the lifetime has passed since the task's last run, and runs were missed, the clock may be wrong.
    In this case, no ZFS snapshot of the task is destroyed. The next call destroys the expired ones.
extends_documentation_fragment:
  - quiesce.vmware_zfs.attributes
  - quiesce.vmware_zfs.connection.state
author:
  - The quiesce.vmware_zfs authors (@quiesce)
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  id:
    description: The ID of the snapshot task. If not set, the module applies the retention of all snapshot tasks.
    type: int
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_task
"""

EXAMPLES = r"""
- name: Show which ZFS snapshots would be destroyed, and why the others are kept
  quiesce.vmware_zfs.vmware_snapshot_retention:
  check_mode: true
  register: retention

- name: Destroy the expired ZFS snapshots of one snapshot task
  quiesce.vmware_zfs.vmware_snapshot_retention:
    id: 1
"""

RETURN = r"""
destroyed:
  description: The ZFS snapshots that were destroyed, or would be destroyed in check mode.
  returned: success
  type: list
  elements: str
  sample: [tank/vmware@auto-2026-01-31_02-00]
kept:
  description: The ZFS snapshots of the tasks that were kept.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name of the ZFS snapshot.
      type: str
      sample: tank/vmware@auto-2026-02-07_02-00
    reason:
      description: The reason why it was kept.
      type: str
      sample: its lifetime has not expired
"""

import time
from dataclasses import asdict
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.observe import lifetimes
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTasks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

SPEC = ArgumentSpec({"id": {"type": "int"}})


def run(module: Any) -> dict[str, Any]:
    zfs, paths = Zfs(), Paths.from_environment()
    with SnapshotTasks.open(paths, read_only=module.check_mode) as stored:
        tasks = stored.list_all() if module.params["id"] is None else [stored.get(module.params["id"])]
        spare = lifetimes.spared(stored, tasks, time.time())
        included = {task.key: stored.included(task.key) for task in tasks}
        found = lifetimes.facts(zfs, [task.dataset for task in tasks], frozenset().union(*included.values()))
        is_alive = Locks(paths.lock_dir).is_alive
        retired = retire.retire(zfs, tasks, found, module.check_mode, is_alive, spare, included)
        for task in () if module.check_mode else tasks:
            stored.turned(task.id, time.time(), task.key in spare)
    return {
        **asdict(retired),
        "changed": bool(retired.destroyed),
        "diff": {"before": {"zfs_snapshots": retired.destroyed}, "after": {"zfs_snapshots": []}},
    }


def main() -> None:
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
