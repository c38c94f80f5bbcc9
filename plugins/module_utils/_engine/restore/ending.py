# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists restores, and ends them: what runs on a clone is taken away, what was copied stays."""

from __future__ import annotations

from typing import Any, Callable, ContextManager

from ..errors import InputError, RestoreFailed
from ..state.engine import Engine
from ..state.locks import RESTORE
from ..state.restores import DONE, ENDED, FOLDER, RUNNING, UNDONE, RestoreRecord
from ..vsphere.session import Session
from ..zfs.names import dataset_of
from .undo import undo

_SHOWN = 5
STAYS = "The restored VM stays: it is an ordinary VM in its datastore, and can be deleted in the vSphere client."


def overview(engine: Engine) -> list[dict[str, Any]]:
    """Return the restores that are under way, were interrupted, or are in use: plain data, newest first."""
    return [_plain(engine, one) for one in engine.restores.list([RUNNING, DONE])]


def _plain(engine: Engine, restore: RestoreRecord) -> dict[str, Any]:
    running = restore.state == RUNNING
    state = ("running" if engine.locks.is_alive(restore.id) else "interrupted") if running else "restored"
    notes = [step.note for step in engine.restores.steps(restore.id) if step.note and step.state != UNDONE]
    return {
        "restore_id": restore.id,
        "zfs_snapshot": restore.snapshot,
        "way": restore.way,
        "vm": restore.vm,
        "restored_name": restore.name,
        "server": restore.hostname,
        "state": state,
        "started": restore.started,
        "clones": [one["clone"] for one in restore.result.get("datastores", ())],
        "datastores": [one["name"] for one in restore.result.get("datastores", ())],
        "problems": notes,
    }


def end(engine: Engine, restore: RestoreRecord, session: Callable[[], ContextManager[Session]]) -> str:
    """End a restore. Returns a sentence about what stays, or "".

    `session` logs in to the server of the restore; it is not called for a copy. Raises InputError for a restore that is
    under way or ended, and RestoreFailed if something could not be taken away.
    """
    if restore.state in (ENDED, UNDONE):
        raise InputError(f"The restore {restore.id} has ended already", "Nothing was changed")
    if engine.locks.is_alive(restore.id):
        raise InputError(f"The restore {restore.id} is still running", "Wait until it ends, or stop its process")
    finished = restore.state == DONE
    if finished and restore.way == FOLDER:
        engine.restores.set_state(restore.id, ENDED)
        return STAYS
    with engine.locks.alive(restore.id, dataset_of(restore.snapshot), RESTORE), session() as opened:
        left = undo(engine, opened, restore, finished)
    if left:
        raise RestoreFailed(
            f"The restore {restore.id} could not be taken away: {'. '.join(left[:_SHOWN])}", "Run the command again",
            left=left,
        )  # fmt: skip
    return ""
