# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves the living VM out of the way of its restored copy: shut down, renamed, and kept with all its files."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from ..errors import ConnectionFailed, RestoreFailed, VSphereError
from ..snapshots.scheduler import Call
from ..text import printable
from ..vsphere.registration import find_in_folder
from ..vsphere.session import Session
from ..vsphere.vm_now import VmNow, Watch, read_one
from ..vsphere.vm_power import shut_down_guest, start_power_off
from .flow import Part, Requests, Steps, is_kind, pause
from .rename import rename, shortened_to_fit

_LOOK = 2.0  # seconds between two looks at a guest that shuts down


@dataclass(frozen=True)
class LivingVm:
    """The VM that a copy replaces, as the plan saw it. `aside` is the name that it gets.

    `force`: power it off if its guest cannot be shut down in time. `folder_moid` is its folder in the inventory.
    """

    moid: str
    name: str
    instance_uuid: str
    vmx_path: str
    folder_moid: str
    aside: str
    force: bool = False


def name_aside(name: str, date: str) -> str:
    """Return the name of a VM that was replaced on a date (YYYY-MM-DD)."""
    return shortened_to_fit(name, f"-replaced-{date}")


def move_aside(requests: Requests, living: LivingVm, steps: Steps, watch: Watch) -> Part[None]:
    """Shut the living VM down and rename it. It is not touched if its new name is taken, or if it is another VM."""
    now = yield from _same_vm(requests, living)
    if (yield from requests.ask(find_in_folder, living.folder_moid, living.aside)):
        raise RestoreFailed(
            f"The original VM cannot be renamed: the name '{printable(living.aside, 80)}' is taken",
            "Rename the VM that has this name",
        )
    if now.on:
        yield from _shut_down(requests, living, steps, watch)
        now = yield from _same_vm(requests, living)
    if now.on:
        raise RestoreFailed(f"The original VM '{printable(living.name, 80)}' was powered on again", "Check by whom")
    yield from rename(requests, steps, living.moid, now.name, living.aside, now.instance_uuid, now.vmx_path)


def _same_vm(requests: Requests, living: LivingVm) -> Part[VmNow]:
    """Read the living VM. Raises RestoreFailed unless it is the one that the plan saw."""
    found = yield from requests.ask(read_one, living.moid)
    seen = (living.name, living.instance_uuid, living.vmx_path)
    if found is None or (found.name, found.instance_uuid, found.vmx_path) != seen:
        raise RestoreFailed(
            f"The original VM '{printable(living.name, 80)}' is not the same as when the restore began",
            "Start it again",
        )
    if found.connection != "connected":
        raise RestoreFailed(
            f"The host of the original VM '{printable(living.name, 80)}' is not connected, so its state is unknown",
            "Connect the host, or restore the VM under another name",
        )
    return found


def _shut_down(requests: Requests, living: LivingVm, steps: Steps, watch: Watch) -> Part[None]:
    """Shut the guest down, or with `force` power the VM off. Returns when the VM is off."""
    step = steps.intend("living_off", {"vm_moid": living.moid, "instance_uuid": living.instance_uuid})
    problem = yield from _ask_guest(requests, living)
    if problem and not living.force:
        steps.done(step)  # the guest was not asked, so the VM stays on
        raise _not_shut_down(living, problem)
    is_off = not problem and (yield from _wait_for_off(requests, living.moid, watch))
    if not is_off and not living.force:
        raise _not_shut_down(living, f"its guest did not shut down within {requests.patience.shutdown:g} s")
    if not is_off:
        look = partial(_is_off, vm_moid=living.moid)
        yield from requests.carry_out("The power-off of the original VM", start_power_off, living.moid, look=look)
    steps.done(step)


def _not_shut_down(living: LivingVm, problem: str) -> RestoreFailed:
    return RestoreFailed(
        f"The original VM '{printable(living.name, 80)}' was not shut down: {problem}",
        "Shut it down in its guest, or use force to power it off",
    )


def _ask_guest(requests: Requests, living: LivingVm) -> Part[str]:
    """Ask the guest to shut down. Returns why that is not possible, or ""."""
    requests.count += 1
    outcome = yield Call(partial(shut_down_guest, requests.session, living.moid))
    error = outcome.error
    if error is None or isinstance(error, ConnectionFailed) or is_kind(error, "InvalidPowerState"):
        return ""  # the wait shows whether a call without an answer took effect
    return error.problem


def _wait_for_off(requests: Requests, vm_moid: str, watch: Watch) -> Part[bool]:
    deadline = time.monotonic() + requests.patience.shutdown
    try:
        while True:
            if _is_seen_off(watch, vm_moid):
                return True
            if time.monotonic() >= deadline:
                return False
            yield from pause(min(_LOOK, requests.patience.shutdown))
    finally:
        watch.forget(vm_moid)


def _is_seen_off(watch: Watch, vm_moid: str) -> bool:
    try:
        now = watch.state(vm_moid)
    except VSphereError:
        return False  # the next look may succeed
    return now is not None and now.power == "poweredOff"


def _is_off(session: Session, vm_moid: str) -> str:
    now = read_one(session, vm_moid)
    return "off" if now is not None and now.power == "poweredOff" else ""
