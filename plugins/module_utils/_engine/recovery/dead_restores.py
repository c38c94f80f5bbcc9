# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoes restores that were killed. A restore that finished belongs to the user and is left alone."""

from __future__ import annotations

from contextlib import ExitStack

from ..errors import QuiesceError
from ..restore.account import session_to_undo
from ..restore.undo import undo
from ..state.engine import Engine
from ..state.locks import RESTORE
from ..state.restores import RestoreRecord
from ..vsphere.session import Session
from ..zfs.names import dataset_of


def dead_restores(engine: Engine) -> list[RestoreRecord]:
    """Return the restores whose process is dead, oldest first. Those of a copied journal may be alive elsewhere."""
    elsewhere = engine.restores.inherited() if engine.host.copied_just_now() else ()
    return [
        one for one in engine.restores.unfinished() if one.id not in elsewhere and not engine.locks.is_alive(one.id)
    ]


def undo_dead(engine: Engine) -> tuple[list[str], list[str]]:
    """Undo dead restores. Returns the IDs of those that are undone, and sentences about what is left."""
    undone: list[str] = []
    problems: list[str] = []
    for restore in dead_restores(engine):
        left = _undo(engine, restore)
        problems += [
            f"The {restore.what} {restore.id} of '{restore.vm}' is not undone yet: {sentence}." for sentence in left
        ]
        if not left:
            undone.append(restore.id)
    return undone, problems


def _undo(engine: Engine, restore: RestoreRecord) -> list[str]:
    with ExitStack() as stack:
        stack.enter_context(engine.locks.alive(restore.id, dataset_of(restore.snapshot), RESTORE))
        session: Session | None = None
        reason = ""
        try:
            session = stack.enter_context(session_to_undo(engine, restore))
        except QuiesceError as error:
            reason = str(error).rstrip(".")
        return undo(engine, session, restore, unreachable=reason)
