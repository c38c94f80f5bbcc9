# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks before a credential is stored (does the login work, does the account have the privileges) or removed (may
VMware snapshots remain that no other credential can remove).
"""

from __future__ import annotations

import os
from typing import Iterable, Sequence

from ..errors import InputError, PermissionDenied
from ..grouping import grouped
from ..matching.match import match_on
from ..state.credentials import RESTORE, Credential, of_purpose
from ..state.journal import Journal
from ..state.restores import Restores
from ..text import counted, printable
from ..vsphere import inventory, sdk
from ..vsphere.datastores import list_datastores
from ..vsphere.privileges import COORDINATE, lacking_on_vms
from ..vsphere.session import Session
from ..vsphere.tls import make_context
from ..vsphere.vms import agents
from ..zfs.command import Zfs
from ..zfs.names import is_within, pool_of
from .selection import datasets_around
from .server_logins import ServerLogin

_SHOWN = 3  # VMs that a message names for each privilege
_HIDDEN = ("/tmp", "/var/tmp")  # PrivateTmp= in the units of the role runtime


def require_authorities(credential: Credential, in_units: bool) -> None:
    """Raise InputError if the CA certificates in `ca_path` cannot be used, or, with `in_units`, if runs in the units of
    the role runtime could not read them. Sends nothing to a server.
    """
    path = credential.ca_path
    if not path or credential.thumbprint or not credential.validate_certs:
        return  # ca_path has no effect
    make_context(credential.hostname, True, path, None, None)
    folder = next((hidden for hidden in _HIDDEN if is_within(os.path.realpath(path), hidden)), None)
    if folder and in_units:
        raise InputError(
            f"ca_path '{printable(path, 80)}' is in {folder}, and the systemd units of the runtime use a private "
            f"{folder}",
            "Move the certificates to another directory, such as /etc/ssl",
        )


def missing_datastores(session: Session, credential: Credential) -> list[str]:
    """Return a sentence for each datastore that the credential names and the server does not have."""
    if not credential.datastores:
        return []
    existing = {datastore.name for datastore in list_datastores(session)}
    restores = credential.purpose == RESTORE
    effect = "no restore finds VMs on it" if restores else "every run reports this as a problem"
    return [
        f"datastores has '{printable(name, 80)}', which {session.endpoint} does not have;"
        f" {effect} until the datastore exists."
        for name in credential.datastores
        if name not in existing
    ]


def require_privileges(session: Session, credential: Credential, zfs: Zfs) -> None:
    """Raise PermissionDenied if the account lacks a privilege of runs on a VM on the credential's file system.

    Needs a few calls, plus three for every 500 VMs. VMs that the account cannot see and datastores that are not mounted
    yet cannot be checked.
    """
    datasets = datasets_around(zfs, pool_of(credential.filesystem))
    login = ServerLogin(session, [credential], list_datastores(session))
    login.judge(match_on(zfs.host, login.datastores, datasets), datasets)
    datastores = login.datastores_on(one.name for one in datasets if is_within(one.name, credential.filesystem))
    vms = inventory.read_referenced(
        session,
        inventory.objects_of(session, sdk.vim.Datastore, datastores),
        "vm",
        sdk.vim.VirtualMachine,
        ["name"],
        "list the VMs of the datastores",
        patient=True,  # unreadable VMs are part of the result below
    )
    ignored = agents(session, list(vms))  # runs ignore the VMs of vSphere itself
    names = {
        moid: inventory.unescape(properties.get("name", moid))
        for moid, properties in vms.items()
        if moid not in ignored
    }
    lacking = lacking_on_vms(session, names, COORDINATE)
    if not lacking:
        return
    parts = [f"{privilege} on {_some(vm_names)}" for privilege, vm_names in grouped(sorted(lacking)).items()]
    raise PermissionDenied(
        f"The account '{printable(credential.username, 80)}' on {session.endpoint} lacks the privilege"
        f" {' and '.join(parts)}",
        "Grant a role with that privilege to the account there, as the playbook quiesce.vmware_zfs.vsphere_role does,"
        " or set verify_privileges to false",
        lacking=[{"privilege": privilege, "vm": name} for privilege, name in sorted(lacking)],
    )


def require_nothing_left(
    journal: Journal,
    restores: Restores,
    credentials: Iterable[Credential],
    going: Credential,
    also: Iterable[Credential] = (),
) -> None:
    """Raise InputError if something may exist that only the credential `going`, or one of `also`, can remove: VMware
    snapshots of runs, or what an unfinished restore left.

    `credentials` are all stored credentials, `also` are others that are removed together with `going`. Nothing is lost
    if another credential for the same server and purpose stays.
    """
    server, removed = (going.hostname, going.port), {going.id, *(credential.id for credential in also)}
    same = [one for one in of_purpose(credentials, going.purpose) if (one.hostname, one.port) == server]
    if any(one.id not in removed for one in same):
        return
    if going.purpose == RESTORE:
        _require_no_restore(restores, going)
    else:
        _require_no_vmware_snapshot(journal, going)


def _require_no_restore(restores: Restores, going: Credential) -> None:
    left = [one for one in restores.unfinished() if (one.hostname, one.port) == (going.hostname, going.port)]
    if left:
        raise InputError(
            f"{counted(len(left), 'restore')} on {going.hostname} did not finish, for example that of the VM "
            f"'{printable(left[0].vm, 80)}' ({left[0].id}), and this is the last credential for restores that can undo "
            "it",
            "Run 'vmware-zfs recover' until 'vmware-zfs restores' shows none that is running, or set force",
        )


def _require_no_vmware_snapshot(journal: Journal, going: Credential) -> None:
    left = [entry for entry in journal.open_entries() if (entry.hostname, entry.port) == (going.hostname, going.port)]
    if left:
        raise InputError(
            f"{counted(len(left), 'VMware snapshot')} may still exist on {going.hostname}, for example "
            f"'{left[0].name}' of the VM '{printable(left[0].vm_name, 80)}', and this is the last credential that can "
            "remove them",
            "Run 'vmware-zfs recover' until 'vmware-zfs status' shows none, or set force",
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{printable(name, 80)}'" for name in names[:_SHOWN])
    more = f" and {counted(len(names) - _SHOWN, 'more VM')}" if len(names) > _SHOWN else ""
    return f"the VM{'s' if len(names) > 1 else ''} {shown}{more}"
