# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last drills of this storage host, from the journal."""

from __future__ import annotations

from typing import Any

from ..records.verdicts import FAILED, INCONCLUSIVE
from ..state.engine import Engine
from ..state.restores import DRILL, RUNNING, RestoreRecord

INTERRUPTED, ACTIVE, ENDED = "interrupted", "active", "ended"


def recent(engine: Engine, last: int) -> list[dict[str, Any]]:
    """Return the `last` drills, newest first: plain data."""
    drills = [one for one in engine.restores.list() if one.way == DRILL]
    return [_plain(engine, one) for one in drills[:last]]


def _plain(engine: Engine, drill: RestoreRecord) -> dict[str, Any]:
    """`verdict` is None for a drill that has not ended, or that could not try a VM."""
    vms = drill.result.get("vms", ())
    state = ENDED
    if drill.state == RUNNING:
        state = ACTIVE if engine.locks.is_alive(drill.id) else INTERRUPTED
    return {
        "drill_id": drill.id,
        "zfs_snapshot": drill.snapshot,
        "state": state,
        "started": drill.started,
        "verdict": drill.result.get("verdict"),
        "failed": [vm["name"] for vm in vms if vm["verdict"] == FAILED],
        "inconclusive": [vm["name"] for vm in vms if vm["verdict"] == INCONCLUSIVE],
        "left": list(drill.result.get("left", ())),
    }
