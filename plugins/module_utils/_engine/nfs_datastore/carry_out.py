# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out a plan, one host after the other, and return the outcome of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

from ..errors import ConnectionFailed, VSphereError
from ..vsphere.nas_mounts import MountedDatastore, mount, read_datastores, unmount
from ..vsphere.session import Session
from .plan import Step


@dataclass
class Done:
    """The outcome of a step. A step that failed may have changed something before."""

    step: Step
    changed: bool = False
    complete: bool = False
    error: VSphereError | None = None


def carry_out(session: Session, steps: Sequence[Step], access_mode: str) -> list[Done]:
    """Carry out the steps. All unmounts come first, because they may be a condition for a mount on another host.

    If a host fails, the others are still processed. If the server itself fails, the remaining steps are not tried.
    """
    done = [Done(step, complete=not step.changes) for step in steps]
    doing = [one for one in done if not one.complete]
    try:
        for one in doing:
            for datastore in one.step.unmount:
                _unmount(session, one, datastore)
        for one in doing:
            if one.step.export is not None and one.error is None:
                _mount(session, one, access_mode)
            one.complete = True
    except VSphereError as error:
        for one in doing:
            if not one.complete and one.error is None:
                one.error = VSphereError(f"Not tried, because {error.problem}", error.remedy)
    return done


def _unmount(session: Session, one: Done, datastore: str) -> None:
    def gone(seen: Sequence[MountedDatastore]) -> bool:
        return not any(each.moid == datastore and each.on(one.step.host.moid) for each in seen)

    if one.error is None:
        _call(session, one, lambda: unmount(session, one.step.host, datastore), gone)


def _mount(session: Session, one: Done, access_mode: str) -> None:
    step, export = one.step, one.step.export
    if export is None:
        raise ValueError("a step that mounts needs an export")

    def there(seen: Sequence[MountedDatastore]) -> bool:
        return any(each.name == step.datastore and each.on(step.host.moid) for each in seen)

    _call(session, one, lambda: mount(session, step.host, step.datastore, export, access_mode), there)


def _call(
    session: Session, one: Done, call: Callable[[], None], reached: Callable[[Sequence[MountedDatastore]], bool]
) -> None:
    """Make a call and record its outcome. If the response was lost, check whether the call took effect.

    Raises VSphereError if the server cannot be queried for this check either.
    """
    try:
        call()
        one.changed = True
    except ConnectionFailed as error:
        try:
            took_effect = reached(read_datastores(session, [one.step.host]))
        except VSphereError:
            one.error = error
            raise error from None
        if took_effect:
            one.changed = True
        else:
            one.error = error
    except VSphereError as error:
        one.error = error
