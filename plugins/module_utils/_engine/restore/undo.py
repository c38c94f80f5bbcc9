# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undoes the steps of a restore in reverse order: after a failure, in recovery, and when a user ends it.

A step that cannot be undone keeps the earlier steps that it depends on: files stay while a VM is registered that uses
them. Everything can be repeated.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Sequence

from ..errors import QuiesceError
from ..state.engine import Engine
from ..state.journal import ignore_registry_errors
from ..state.restores import DONE, ENDED, INTENDED, UNDONE, RestoreRecord, RestoreStep
from ..vsphere.session import Session
from . import undo_storage, undo_vsphere
from .folder_copy import Place, hand_over
from .steps import FOLDER, HANDOVER, HOLD, LIVING_OFF

_UNREACHABLE = "The server of the restore cannot be reached"


def undo(
    engine: Engine, session: Session | None, restore: RestoreRecord, finished: bool = False, unreachable: str = ""
) -> list[str]:
    """Undo a restore, and return a sentence for each thing that stays. Nothing of it exists if the list is empty.

    A VM that was handed over to the user stays, with everything that it needs, unless the user ends the restore
    (`finished`). Without a `session`, only what is not on the server is undone; `unreachable` says why.
    """
    steps = [step for step in engine.restores.steps(restore.id) if step.state != UNDONE]
    delivered = set() if finished else {_vm(step) for step in steps if step.kind == HANDOVER and step.state == DONE}
    left = _undo_steps(engine, session, list(reversed(steps)), delivered, finished, unreachable or _UNREACHABLE)
    left += [text for step in steps if _vm(step) in delivered and (text := _hand_over(engine, step))]
    if not left:
        engine.restores.set_state(restore.id, ENDED if finished else DONE if delivered else UNDONE)
    return left


def undo_vm(engine: Engine, session: Session, restore: str, vm: str) -> list[str]:
    """Undo what a restore did for one of its VMs, and return a sentence for each thing that stays."""
    steps = [step for step in engine.restores.steps(restore) if step.state != UNDONE and _vm(step) == vm]
    return _undo_steps(engine, session, list(reversed(steps)), set(), False, "")


def _hand_over(engine: Engine, step: RestoreStep) -> str:
    """Remove the marker from the folder of a VM that was handed over. Returns why that failed, or ""."""
    try:
        if step.kind == FOLDER:
            hand_over(engine.zfs.host, Place.of(step.data))
    except QuiesceError as error:
        return str(error).rstrip(".")
    return ""


def _undo_steps(
    engine: Engine,
    session: Session | None,
    steps: Sequence[RestoreStep],
    delivered: set[str],
    finished: bool,
    unreachable: str,
) -> list[str]:
    left: list[str] = []
    kept: set[str] = set(delivered)  # VMs of which something stays; "" for what all VMs share
    for step in steps:
        if _stays(step, kept, delivered, finished):
            continue
        problem = _undo_step(engine, session, step, finished, unreachable)
        if problem:
            left.append(problem)
            if step.kind not in (HOLD, LIVING_OFF):
                kept.add(_vm(step))
            _note(engine, step, problem)
        else:
            engine.restores.undone(step.id)
    return left


def _stays(step: RestoreStep, kept: set[str], delivered: set[str], finished: bool) -> bool:
    """Return whether a step is not undone: something that stays needs it, or it belongs to the user."""
    if step.kind == HOLD:  # it only protects a restore that is under way
        return False
    if step.kind == LIVING_OFF:  # a VM that was replaced is off on purpose
        return finished or _vm(step) in delivered
    return bool(kept) if not _vm(step) else _vm(step) in kept


def _undo_step(engine: Engine, session: Session | None, step: RestoreStep, finished: bool, unreachable: str) -> str:
    try:
        if step.kind in undo_storage.KINDS:
            return undo_storage.undo(engine.zfs, step.kind, step.data)
        if step.kind not in undo_vsphere.KINDS:
            return ""
        if session is None:
            return unreachable
        return undo_vsphere.undo(session, step.kind, step.data, finished, _pending(step))
    except QuiesceError as error:
        return str(error).rstrip(".")


def _pending(step: RestoreStep) -> float | None:
    """Return the age in seconds of a step whose end was not recorded, or None."""
    if step.state != INTENDED:
        return None
    begun = datetime.fromisoformat(step.changed.replace("Z", "+00:00"))
    return (datetime.now(timezone.utc) - begun).total_seconds()  # negative if the clock was set back


def _note(engine: Engine, step: RestoreStep, problem: str) -> None:
    ignore_registry_errors(lambda: engine.restores.note(step.id, problem))


def _vm(step: RestoreStep) -> str:
    return str(step.data.get("vm", ""))
