# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Powers a restored VM on, answers the question about its identity, and waits for its guest."""

from __future__ import annotations

import time
from functools import partial

from ..errors import QuiesceError, RestoreFailed, VSphereError
from ..snapshots.scheduler import Call, StartTask
from ..text import printable
from ..vsphere.session import Session
from ..vsphere.vm_now import Question, VmNow, Watch, read_one
from ..vsphere.vm_power import COPIED, MOVED, answer, start_power_off, start_power_on
from .flow import Part, Requests, failed, is_busy, is_kind, is_lost, pause, unfinished

_LOOK = 2.0  # seconds between two looks at a VM that starts
_POWER_OFF = 30.0  # seconds for the power-off of a VM that did not start
_CANCEL = ".cancel"  # end of the label of a choice: button.uuid.cancel
_ANSWERED = ("ConcurrentAccess", "InvalidArgument", "InvalidState")  # faults if someone else has answered the question
_WHAT = "The power-on of the VM"


def power_on(requests: Requests, watch: Watch, vm_moid: str, keep_identity: bool) -> Part[None]:
    """Power on a VM of an unfinished restore. If that fails, it is off again, as far as possible."""
    try:
        yield from _start(requests, watch, vm_moid, MOVED if keep_identity else COPIED)
    except QuiesceError:
        yield from _power_off(requests, vm_moid)
        raise
    finally:
        watch.forget(vm_moid)


def _start(requests: Requests, watch: Watch, vm_moid: str, label: str) -> Part[None]:
    """Start the VM. The task waits while a question is open, so the wait is divided by looks at the VM."""
    deadline = time.monotonic() + requests.patience.power_on
    task, lost = "", False
    while True:
        requests.count += not task
        begin = partial(_same, task) if task else partial(start_power_on, requests.session, vm_moid)
        outcome = yield StartTask(begin, min(deadline, time.monotonic() + _LOOK))
        if outcome.error is None and not outcome.vanished and not outcome.unfinished:
            return
        if outcome.unfinished and (not outcome.task or time.monotonic() >= deadline):
            raise unfinished(_WHAT, requests.patience.power_on, deadline)
        task = outcome.task if outcome.unfinished else ""
        lost = lost or is_lost(outcome)
        now = _look(watch, vm_moid) if task else None
        if lost:
            now = yield from requests.ask(read_one, vm_moid)
            if now is not None and now.on and now.question is None:
                return
        yield from _answer(requests, vm_moid, now, label, task)
        if not task:
            if not (is_lost(outcome) or is_busy(outcome.error)) or time.monotonic() >= deadline:
                raise failed(_WHAT, outcome.error)
            yield from pause(_LOOK)


def _same(task: str) -> str:
    """Return the task that is running already, to wait for it once more."""
    return task


def _look(watch: Watch, vm_moid: str) -> VmNow | None:
    try:
        return watch.state(vm_moid)
    except VSphereError:
        return None  # the next look may succeed


def _answer(requests: Requests, vm_moid: str, now: VmNow | None, label: str, task: str) -> Part[None]:
    """Answer the question whether the VM was moved or copied, if it waits for that answer.

    Raises RestoreFailed for any other question. It is answered with "cancel" if it has such a choice, which ends the
    power-on.
    """
    question = now.question if now is not None else None
    if question is None:
        return
    expected = question.about_identity and label in question.choices
    chosen = label if expected else _choice_to_cancel(question)
    if chosen:
        requests.count += 1
        outcome = yield Call(partial(answer, requests.session, vm_moid, question, chosen))
        if expected and outcome.error is not None and not is_kind(outcome.error, *_ANSWERED):
            raise failed("The answer to the question of the VM", outcome.error)
    if not expected:
        if chosen and task:
            yield StartTask(partial(_same, task), time.monotonic() + _POWER_OFF)  # it ends, because it was cancelled
        raise RestoreFailed(
            f"The VM asked an unexpected question at power-on: '{printable(question.text, 300)}'",
            "Restore it without power-on, then power it on in the vSphere client and answer the question there",
        )


def cancel(requests: Requests, vm_moid: str, question: Question) -> Part[None]:
    """Answer the question of a VM with "cancel", if it has such a choice. Someone else may have answered it."""
    chosen = _choice_to_cancel(question)
    if chosen:
        requests.count += 1
        yield Call(partial(answer, requests.session, vm_moid, question, chosen))


def _choice_to_cancel(question: Question) -> str:
    """Return the label of the choice that cancels, or ""."""
    return next((one for one in question.choices if one.endswith(_CANCEL)), "")


def power_off(requests: Requests, vm_moid: str) -> Part[None]:
    """Power off a VM, unless it is off already."""
    try:
        yield from requests.carry_out("The power-off of the VM", start_power_off, vm_moid, look=partial(_off, vm_moid))
    except RestoreFailed as error:
        if not is_kind(error, "InvalidPowerState"):  # it went off by itself
            raise


def _off(vm_moid: str, session: Session) -> str:
    """Return "off" for a VM that is off or gone, or else ""."""
    now = read_one(session, vm_moid)
    return "off" if now is None or now.power == "poweredOff" else ""


def _power_off(requests: Requests, vm_moid: str) -> Part[None]:
    """Power off a VM whose power-on did not succeed. The undo of the restore reports a VM that is still on."""
    try:
        now = yield from requests.ask(read_one, vm_moid)
        if now is not None and now.on:
            yield from requests.carry_out("The power-off of the VM", start_power_off, vm_moid, seconds=_POWER_OFF)
    except QuiesceError:
        return


def wait_for_guest(
    requests: Requests, watch: Watch, vm_moid: str, networked: bool
) -> Part[tuple[VmNow | None, tuple[str, ...]]]:
    """Wait until the guest runs. Returns what was seen last, and what did not come in time.

    Without a network, no address is expected. All VMs share the looks.
    """
    deadline = time.monotonic() + requests.patience.guest
    now: VmNow | None = None
    while True:
        now = _look(watch, vm_moid) or now
        missing = _missing(now, networked)
        if not missing or time.monotonic() >= deadline or (now is not None and now.tools == "not installed"):
            watch.forget(vm_moid)
            return now, missing
        yield from pause(min(_LOOK, requests.patience.guest))


def _missing(now: VmNow | None, networked: bool) -> tuple[str, ...]:
    seen = {
        "heartbeat": now is not None and now.heartbeat == "green",
        "VMware Tools": now is not None and now.tools == "running",
        "address": not networked or (now is not None and bool(now.address)),
    }
    return tuple(what for what, is_there in seen.items() if not is_there)
