#!/usr/bin/python
# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vmware_snapshot_retention
short_description: Destroy the ZFS snapshots of snapshot tasks whose lifetime is over
version_added: 1.0.0
description:
  - Does now what every run of a snapshot task does at its end. In check mode it says what would be destroyed, and why
    the rest stays.
  - Only ZFS snapshots that carry the task's own property are destroyed, by exact name, and only when their lifetime is
    over by their creation time. One that is held, has a clone or is in use stays, and so do, on every dataset, the
    newest one and the newest one that is complete. Those of a run that has not ended stay, too.
  - A snapshot stays when its property was received, or when the task does not take its dataset, because that is
    excluded or below a task that is not recursive.
  - One that is dated in the future, because a clock was wrong, stays until its time is over. It counts neither as the
    newest nor as the newest that is complete.
  - When more than the lifetime has passed by the clock since the task's last turn, and turns were missed, nothing of
    the task is destroyed this time, because the clock may be wrong. The next call destroys it.
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
    description: The snapshot task; all of them when it is left out.
    type: int
seealso:
  - module: quiesce.vmware_zfs.vmware_snapshot_task
"""

EXAMPLES = r"""
- name: See what would go, and why the rest stays
  quiesce.vmware_zfs.vmware_snapshot_retention:
  check_mode: true
  register: judged

- name: Make room, now
  quiesce.vmware_zfs.vmware_snapshot_retention:
    id: 1
"""

RETURN = r"""
destroyed:
  description: The ZFS snapshots that were destroyed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [tank/vmware@auto-2026-01-31_02-00]
kept:
  description: The other ZFS snapshots of the tasks.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The ZFS snapshot.
      type: str
      sample: tank/vmware@auto-2026-02-07_02-00
    reason:
      description: Why it stays.
      type: str
      sample: its lifetime is not over
"""

import time

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._ansible import ArgumentSpec, run_module
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.locks import Locks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.snapshot_tasks import SnapshotTasks
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.tasks import retire
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.command import Zfs

SPEC = ArgumentSpec({"id": {"type": "int"}})


def run(module):
    zfs, paths = Zfs(), Paths.from_environment()
    with SnapshotTasks.open(paths, read_only=module.check_mode) as stored:
        tasks = stored.list_all() if module.params["id"] is None else [stored.get(module.params["id"])]
        spare = retire.spared(stored, tasks, time.time())
        found = retire.facts(zfs, [task.dataset for task in tasks])
        retired = retire.retire(zfs, tasks, found, module.check_mode, Locks(paths.lock_dir).is_alive, spare)
        for task in () if module.check_mode else tasks:
            stored.turned(task.id, time.time(), task.key in spare)
    return {
        **retired,
        "changed": bool(retired["destroyed"]),
        "diff": {"before": {"zfs_snapshots": retired["destroyed"]}, "after": {"zfs_snapshots": []}},
    }


def main():
    run_module(SPEC, run, libraries=[])


if __name__ == "__main__":
    main()
