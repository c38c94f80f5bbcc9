# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount and unmount datastores: read the state, plan, refuse unsafe changes, carry out, read the state again."""

from __future__ import annotations

from typing import Collection, Sequence

from ..addresses import address
from ..door.host import StorageHost
from ..errors import DatastoreDrift, VSphereError
from ..matching.match import objection
from ..storage_host.view import observe
from ..text import printable
from ..vsphere.hosts import Scope, hosts_in_scope
from ..vsphere.nas_mounts import MountedDatastore, RegisteredVm, read_datastores, read_vms
from ..vsphere.session import Session
from .carry_out import Done, carry_out
from .outcome import Outcome, more_hosts, outcome_of, sentence
from .plan import Step, plan_absent, plan_present, plan_purge, refuse_in_use, spare_in_use
from .request import Wanted


def present(session: Session, wanted: Wanted, scope: Scope, on_drift: str, check: bool) -> Outcome:
    """Mount the datastore on the hosts in scope.

    `on_drift` is `fail`, `report` or `remount`, and applies to hosts whose mount differs. Hosts that are not connected
    are skipped with a warning, so that a host under repair does not block the others. Raises InputError, DatastoreDrift
    or DatastoreInUse before the first change. If a host fails, the others are done, and the outcome has the failure.
    """
    hosts = hosts_in_scope(session, scope)
    seen = read_datastores(session, hosts)
    steps = plan_present(wanted, hosts, seen, remount=on_drift == "remount")
    if all(step.action == "skipped" for step in steps):
        raise VSphereError(f"No host can mount the datastore: {_listed(steps)}", "Reconnect a host and try again")
    refusal = _refuse(session, steps, on_drift, check)
    return _carry_out(session, wanted, steps, seen, check, refusal)


def absent(session: Session, wanted: Wanted, scope: Scope, on_drift: str, check: bool) -> Outcome:
    """Unmount the datastore from the hosts in scope. Returns and raises as `present` does.

    It is an error if a host that is not connected is known to mount the datastore. The caller may want to destroy the
    dataset next.
    """
    hosts = hosts_in_scope(session, scope)
    seen = read_datastores(session, hosts)
    steps = plan_absent(wanted, hosts, seen)
    unreachable = [step for step in steps if step.action == "skipped" and step.mounted]
    if unreachable:
        raise VSphereError(
            f"The datastore '{printable(wanted.name, 80)}' cannot be unmounted from all hosts: {_listed(unreachable)}",
            "Nothing was changed; reconnect the host, or list the other hosts in hosts",
        )
    refusal = _refuse(session, steps, on_drift, check)
    return _carry_out(session, wanted, steps, seen, check, refusal)


def purge(
    session: Session,
    storage_host: StorageHost,
    keep: Collection[str],
    aliases: Sequence[str],
    scope: Scope,
    check: bool,
) -> Outcome:
    """Unmount all NFS datastores of this storage host from the hosts in scope, except those named in `keep`.

    Datastores with a server that is not known to be this storage host are not changed. Datastores with registered VMs
    are not changed either, with a warning. Returns and raises as `present` does.
    """
    hosts = hosts_in_scope(session, scope)
    seen = read_datastores(session, hosts)
    servers = {server for each in seen if each.export is not None for server in each.export.servers}
    view = observe(storage_host, aliases, {server for server in servers if address(server) is None})
    steps = plan_purge(keep, lambda server: not objection(server, view), hosts, seen)
    steps = spare_in_use(steps, _vms(session, steps))
    return _carry_out(session, None, steps, seen, check)


def _refuse(session: Session, steps: Sequence[Step], on_drift: str, check: bool) -> DatastoreDrift | None:
    """Refuse an unsafe change. Returns what would be refused outside check mode because of drift."""
    refuse_in_use(steps, _vms(session, steps))
    refusal = _refusal(steps, on_drift)
    if refusal is not None and not check:
        raise refusal
    return refusal


def _carry_out(
    session: Session,
    wanted: Wanted | None,
    steps: Sequence[Step],
    seen: Sequence[MountedDatastore],
    check: bool,
    refusal: DatastoreDrift | None = None,
) -> Outcome:
    """Carry out the steps, except in check mode, and read the datastores again."""
    if check:
        return outcome_of([Done(step, changed=step.changes) for step in steps], wanted, seen, refusal)
    done = carry_out(session, steps, wanted.access_mode if wanted else "")
    if any(one.changed for one in done):
        hosts = {one.step.host.moid: one.step.host for one in done}
        try:
            seen = read_datastores(session, list(hosts.values()))
        except VSphereError:
            pass  # the outcome then has the earlier state of the datastore, and still what was done on each host
    return outcome_of(done, wanted, seen)


def _vms(session: Session, steps: Sequence[Step]) -> dict[str, list[RegisteredVm]]:
    unmounted = {moid for step in steps if step.changes for moid in step.unmount}
    return read_vms(session, unmounted) if unmounted else {}


def _refusal(steps: Sequence[Step], on_drift: str) -> DatastoreDrift | None:
    """Return the error for hosts whose mount differs, or None if there are none or drift is only reported."""
    differing = [step for step in steps if step.action == "drift"]
    if not differing or on_drift == "report":
        return None
    others = f", and {more_hosts(differing[1:])} differ too" if len(differing) > 1 else ""
    remedy = "unmount it in vSphere, or change the options to match"
    if on_drift == "remount":
        remedy += "; remounting cannot fix this"
    else:
        remedy += ", or set on_drift to remount or report"
    return DatastoreDrift(
        f"{sentence(differing[0])}{others}", f"Nothing was changed; {remedy}", hosts=[step.as_dict() for step in steps]
    )


def _listed(steps: Sequence[Step]) -> str:
    return ", ".join(f"{printable(step.host.name, 80)}: {step.reason}" for step in steps[:5])
