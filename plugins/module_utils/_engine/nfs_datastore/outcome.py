# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of a change to a datastore, as plain data: the datastore and what was done on each host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from ..errors import DatastoreDrift, MountFailed
from ..text import counted, printable
from ..vsphere.nas_mounts import MountedDatastore
from .carry_out import Done
from .plan import Step
from .request import Wanted


@dataclass(frozen=True)
class DatastoreFacts:
    """A datastore as vSphere reports it after the change."""

    moid: str
    name: str
    datacenter: str
    type: str
    servers: tuple[str, ...]
    path: str
    accessible: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results."""
        return {**self.__dict__, "servers": list(self.servers)}


@dataclass(frozen=True)
class HostOutcome:
    """What was done on one host, or would be done in check mode. `before` and `after` are its mounts as text."""

    step: Step
    action: str  # that of the step, or "failed"
    changed: bool
    mounted: bool  # whether the host mounts the datastore after the change
    reason: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results."""
        return {**self.step.as_dict(), "action": self.action, "mounted": self.mounted, "reason": self.reason}


@dataclass(frozen=True)
class Outcome:
    """`datastore` is None if it does not exist, and if the request was not about a single datastore.

    `refusal` is the error that this request raises outside check mode. `failure` names the hosts that failed; the
    changes on the other hosts are kept. `notes` are sentences about hosts that were skipped or whose mount differs.
    """

    datastore: DatastoreFacts | None
    hosts: tuple[HostOutcome, ...]
    notes: tuple[str, ...] = ()
    refusal: DatastoreDrift | None = None
    failure: MountFailed | None = None


def outcome_of(
    done: Sequence[Done], wanted: Wanted | None, now: Sequence[MountedDatastore], refusal: DatastoreDrift | None = None
) -> Outcome:
    """Return the outcome of the steps. `now` are the datastores after the change."""
    noteworthy = [one.step for one in done if one.step.reason or one.step.action == "drift"]
    return Outcome(
        _facts(wanted, done, now),
        tuple(_host(one, now) for one in done),
        tuple(f"{sentence(step)}." for step in noteworthy),
        refusal,
        _failure([one for one in done if one.error is not None]),
    )


def _failure(failed: Sequence[Done]) -> MountFailed | None:
    if not failed:
        return None
    others = f", and {more_hosts([one.step for one in failed[1:]])} failed too" if len(failed) > 1 else ""
    return MountFailed(
        f"{_why(failed[0])}{others}", "The changes on the other hosts are kept; fix the cause and run the module again"
    )


def _facts(wanted: Wanted | None, done: Sequence[Done], now: Sequence[MountedDatastore]) -> DatastoreFacts | None:
    named = next((each for each in now if wanted is not None and each.name == wanted.name), None)
    if named is None:
        return None
    return DatastoreFacts(
        named.moid,
        named.name,
        done[0].step.host.datacenter,
        named.type,
        named.export.servers if named.export else (),
        named.export.path if named.export else "",
        named.accessible,
    )


def _host(one: Done, now: Sequence[MountedDatastore]) -> HostOutcome:
    step = one.step
    mounted = any(each.name == step.datastore and each.on(step.host.moid) for each in now)
    if one.error is not None:
        after = () if one.changed else step.before
        return HostOutcome(step, "failed", one.changed, mounted, _why(one), step.before, after)
    return HostOutcome(step, step.action, one.changed, mounted, step.reason, step.before, step.after)


def _why(one: Done) -> str:
    """Return why a step failed."""
    problem = one.error.problem if one.error is not None else ""
    return f"{problem} (the old mount was already removed)" if one.changed else problem


def sentence(step: Step) -> str:
    """Return the message for a host, without a full stop."""
    name = printable(step.host.name, 80)
    if step.drift:
        return f"{name} {' and '.join(each.message for each in step.drift)}"
    if step.action == "in_use":
        return f"{name} keeps the datastore '{printable(step.datastore, 80)}': {step.reason}"
    return f"{name} was skipped: {step.reason}" if step.action == "skipped" else f"{name}: {step.reason}"


def more_hosts(steps: Sequence[Step]) -> str:
    """`2 more hosts (esx1, esx2)`."""
    shown = ", ".join(printable(step.host.name, 80) for step in steps[:10])
    return f"{counted(len(steps), 'more host')} ({shown}{', …' if len(steps) > 10 else ''})"
