# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount and unmount datastores: read the state, plan, refuse unsafe changes, carry out, read the state again."""

from __future__ import annotations

from typing import Any, Collection, Sequence

from ..errors import DatastoreDrift, MountFailed, VSphereError
from ..matching.match import objection
from ..storage_host.view import address, observe
from ..text import counted, printable
from ..vsphere.hosts import Scope, hosts_in_scope
from ..vsphere.nas_mounts import MountedDatastore, RegisteredVm, read_datastores, read_vms
from ..vsphere.session import Session
from .carry_out import Done, carry_out
from .plan import Step, plan_absent, plan_present, plan_purge, refuse_in_use, spare_in_use
from .request import Wanted


def present(session: Session, wanted: Wanted, scope: Scope, on_drift: str, check: bool) -> dict[str, Any]:
    """Mount the datastore on the hosts in scope. Return the module's result with `warnings`.

    `on_drift` is `fail`, `report` or `remount`, and applies to hosts whose mount differs. Hosts that are not connected
    are skipped with a warning, so that a host under repair does not block the others. Raises InputError, DatastoreDrift
    or DatastoreInUse before the first change, and MountFailed after the last host.
    """
    hosts = hosts_in_scope(session, scope)
    seen = read_datastores(session, hosts)
    steps = plan_present(wanted, hosts, seen, remount=on_drift == "remount")
    if all(step.action == "skipped" for step in steps):
        raise VSphereError(f"No host can mount the datastore: {_listed(steps)}", "Reconnect a host and try again")
    return _finish(session, wanted, steps, seen, on_drift, check)


def absent(session: Session, wanted: Wanted, scope: Scope, on_drift: str, check: bool) -> dict[str, Any]:
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
    return _finish(session, wanted, steps, seen, on_drift, check)


def purge(session: Session, keep: Collection[str], aliases: Sequence[str], scope: Scope, check: bool) -> dict[str, Any]:
    """Unmount all NFS datastores of this storage host from the hosts in scope, except those named in `keep`.

    Datastores with a server that is not known to be this storage host are not changed. Datastores with registered VMs
    are not changed either, with a warning. Returns and raises as `present` does.
    """
    hosts = hosts_in_scope(session, scope)
    seen = read_datastores(session, hosts)
    servers = {server for each in seen if each.export is not None for server in each.export.servers}
    view = observe(aliases, {server for server in servers if address(server) is None})
    steps = plan_purge(keep, lambda server: not objection(server, view), hosts, seen)
    steps = spare_in_use(steps, _vms(session, steps))
    return _result(
        session, None, [Done(step) for step in steps] if check else carry_out(session, steps, ""), seen, check
    )


def _finish(
    session: Session,
    wanted: Wanted,
    steps: Sequence[Step],
    seen: Sequence[MountedDatastore],
    on_drift: str,
    check: bool,
) -> dict[str, Any]:
    """Refuse the change, or carry it out and return the result."""
    refuse_in_use(steps, _vms(session, steps))
    refusal = _refusal(wanted, steps, on_drift)
    if refusal is not None and not check:
        raise refusal
    done = [Done(step) for step in steps] if check else carry_out(session, steps, wanted.access_mode)
    result = _result(session, wanted, done, seen, check)
    if refusal is not None:
        result["changed"] = False
        result["diff"]["after"] = result["diff"]["before"]
        result["warnings"].append(f"Outside check mode, this fails: {refusal}")
    return result


def _vms(session: Session, steps: Sequence[Step]) -> dict[str, list[RegisteredVm]]:
    unmounted = {moid for step in steps if step.changes for moid in step.unmount}
    return read_vms(session, unmounted) if unmounted else {}


def _refusal(wanted: Wanted, steps: Sequence[Step], on_drift: str) -> DatastoreDrift | None:
    """Return the error for hosts whose mount differs, or None if there are none or drift is only reported."""
    differing = [step for step in steps if step.action == "drift"]
    if not differing or on_drift == "report":
        return None
    others = f", and {_hosts(differing[1:])} differ too" if len(differing) > 1 else ""
    remedy = "unmount it in vSphere, or change the options to match"
    if on_drift == "remount":
        remedy += "; remounting cannot fix this"
    else:
        remedy += ", or set on_drift to remount or report"
    return DatastoreDrift(
        f"{_sentence(differing[0])}{others}",
        f"Nothing was changed; {remedy}",
        hosts=[step.as_dict() for step in steps],
    )


def _result(
    session: Session, wanted: Wanted | None, done: Sequence[Done], seen: Sequence[MountedDatastore], check: bool
) -> dict[str, Any]:
    """Return the module's result. Raises MountFailed with the result if a host failed."""
    changed = any(one.step.changes if check else one.changed for one in done)
    now = seen
    if changed and not check:
        hosts = {one.step.host.moid: one.step.host for one in done}
        try:
            now = read_datastores(session, list(hosts.values()))
        except VSphereError:
            pass  # the result then has the earlier state of the datastore, and still what was done on each host
    failed = [one for one in done if one.error is not None]
    result = {
        "changed": changed,
        "datastore": _facts(wanted, done, now),
        "hosts": [_host(one, now) for one in done],
        "diff": {
            "before": _diff((one.step.host.name, one.step.before) for one in done),
            "after": _diff(
                (one.step.host.name, one.step.after if one.error is None else () if one.changed else one.step.before)
                for one in done
            ),
        },
    }
    if failed:
        first = failed[0]
        others = f", and {_hosts([one.step for one in failed[1:]])} failed too" if len(failed) > 1 else ""
        raise MountFailed(
            f"{_why(first)}{others}",
            "The changes on the other hosts are kept; fix the cause and run the module again",
            **result,
        )
    noteworthy = [one.step for one in done if one.step.reason or one.step.action == "drift"]
    return {**result, "warnings": [f"{_sentence(step)}." for step in noteworthy]}


def _facts(wanted: Wanted | None, done: Sequence[Done], now: Sequence[MountedDatastore]) -> dict[str, Any] | None:
    """Return the datastore as plain data, or None if it does not exist."""
    named = next((each for each in now if wanted is not None and each.name == wanted.name), None)
    if named is None:
        return None
    return {
        "moid": named.moid,
        "name": named.name,
        "datacenter": done[0].step.host.datacenter,
        "type": named.type,
        "servers": list(named.export.servers) if named.export else [],
        "path": named.export.path if named.export else "",
        "accessible": named.accessible,
    }


def _host(one: Done, now: Sequence[MountedDatastore]) -> dict[str, Any]:
    step = one.step
    host = {**step.as_dict(), "mounted": any(each.name == step.datastore and each.on(step.host.moid) for each in now)}
    if one.error is not None:
        host.update(action="failed", reason=_why(one))
    return host


def _why(one: Done) -> str:
    """Return why a step failed."""
    problem = one.error.problem if one.error is not None else ""
    return f"{problem} (the old mount was already removed)" if one.changed else problem


def _diff(mounts: Any) -> dict[str, list[str]]:
    by_host: dict[str, list[str]] = {}
    for name, words in mounts:
        by_host.setdefault(name, []).extend(words)
    return by_host


def _sentence(step: Step) -> str:
    """Return the message for a host, without a full stop."""
    name = printable(step.host.name, 80)
    if step.drift:
        return f"{name} {' and '.join(each.sentence for each in step.drift)}"
    if step.action == "in_use":
        return f"{name} keeps the datastore '{printable(step.datastore, 80)}': {step.reason}"
    return f"{name} was skipped: {step.reason}" if step.action == "skipped" else f"{name}: {step.reason}"


def _listed(steps: Sequence[Step]) -> str:
    return ", ".join(f"{printable(step.host.name, 80)}: {step.reason}" for step in steps[:5])


def _hosts(steps: Sequence[Step]) -> str:
    """`2 more hosts (esx1, esx2)`."""
    shown = ", ".join(printable(step.host.name, 80) for step in steps[:10])
    return f"{counted(len(steps), 'more host')} ({shown}{', …' if len(steps) > 10 else ''})"
