# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before a credential is stored: can runs log in as it says, and may its account do what they will ask of it? Before it
is removed: is all cleaned up?
"""

from __future__ import annotations

import os
from typing import Iterable, Sequence

from ..errors import InputError, PermissionDenied
from ..matching.match import match_here
from ..state.credentials import Credential
from ..state.journal import Journal
from ..text import counted, printable
from ..vsphere import inventory, sdk
from ..vsphere.datastores import list_datastores
from ..vsphere.privileges import COORDINATE, lacking_on_vms
from ..vsphere.session import Session
from ..vsphere.tls import make_context
from ..vsphere.vms import agents
from ..zfs.command import Zfs
from ..zfs.names import is_within, pool_of
from .server_logins import ServerLogin, datasets_around

_SHOWN = 3  # VMs that a message names for each privilege
_HIDDEN = ("/tmp", "/var/tmp")  # PrivateTmp= in the units of the role runtime


def require_authorities(credential: Credential, in_units: bool) -> None:
    """Raise InputError when the authorities of the credential's `ca_path` cannot be used, or when runs `in_units` of
    the role runtime would not find them. Nobody is asked.
    """
    path = credential.ca_path
    if not path or credential.thumbprint or not credential.validate_certs:
        return  # it decides nothing
    make_context(credential.hostname, True, path, None, None)
    folder = next((hidden for hidden in _HIDDEN if is_within(os.path.realpath(path), hidden)), None)
    if folder and in_units:
        raise InputError(
            f"ca_path '{printable(path, 80)}' lies in {folder},"
            f" and the units of the runtime have a {folder} of their own",
            "Put the certificates into another place, such as /etc/ssl",
        )


def missing_datastores(session: Session, credential: Credential) -> list[str]:
    """A sentence for each datastore that the credential names and the server does not have, or not yet."""
    if not credential.datastores:
        return []
    there = {datastore.name for datastore in list_datastores(session)}
    return [
        f"datastores has '{printable(name, 80)}', which {session.endpoint} does not have;"
        " until it has, every run reports that as a problem."
        for name in credential.datastores
        if name not in there
    ]


def require_privileges(session: Session, credential: Credential, zfs: Zfs) -> None:
    """Raise PermissionDenied when the account lacks a privilege on a VM of the credential's file system.

    A handful of calls, plus three for every 500 VMs. Nobody can be asked about VMs that the account cannot see, and
    about datastores that are not mounted yet.
    """
    datasets = datasets_around(zfs, pool_of(credential.filesystem))
    login = ServerLogin(session, [credential], list_datastores(session))
    login.judge(match_here(login.datastores, datasets), datasets)
    carrying = login.carrying(one.name for one in datasets if is_within(one.name, credential.filesystem))
    found = inventory.read_referenced(
        session,
        inventory.objects_of(session, sdk.vim.Datastore, carrying),
        "vm",
        sdk.vim.VirtualMachine,
        ["name"],
        "list the VMs of the datastores",
        patient=True,  # which of them may not be read is told below
    )
    own = agents(session, list(found))
    names = {
        moid: inventory.unescape(properties.get("name", moid))
        for moid, properties in found.items()
        if moid not in own  # runs leave them alone
    }
    lacking = lacking_on_vms(session, names, COORDINATE)
    if not lacking:
        return
    by_privilege: dict[str, list[str]] = {}
    for privilege, name in sorted(lacking):
        by_privilege.setdefault(privilege, []).append(name)
    said = [f"{privilege} on {_some(vms)}" for privilege, vms in by_privilege.items()]
    raise PermissionDenied(
        f"The account '{printable(credential.username, 80)}' on {session.endpoint} lacks the privilege"
        f" {' and '.join(said)}",
        "Give it a role with that privilege there, as the playbook quiesce.vmware_zfs.vsphere_role does,"
        " or set verify_privileges to false",
        lacking=[{"privilege": privilege, "vm": name} for privilege, name in sorted(lacking)],
    )


def require_nothing_left(
    journal: Journal, credentials: Iterable[Credential], going: Credential, also: Iterable[Credential] = ()
) -> None:
    """Raise InputError when VMware snapshots may be left that only the credential `going` can remove, or one of those
    that are `also` to go.

    `credentials` are all that are stored: one of them that stays can do it as well.
    """
    server, leaving = (going.hostname, going.port), {going.id, *(one.id for one in also)}
    if any((one.hostname, one.port) == server for one in credentials if one.id not in leaving):
        return
    left = [entry for entry in journal.open_entries() if (entry.hostname, entry.port) == server]
    if left:
        raise InputError(
            f"{counted(len(left), 'VMware snapshot')} may be left on {going.hostname}, first '{left[0].name}' of the VM"
            f" '{printable(left[0].vm_name, 80)}', and this is the last credential that could remove them",
            "Run 'vmware-zfs recover' until 'vmware-zfs status' tells of none, or set force",
        )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{printable(name, 80)}'" for name in names[:_SHOWN])
    more = f" and {counted(len(names) - _SHOWN, 'more VM')}" if len(names) > _SHOWN else ""
    return f"the VM{'s' if len(names) > 1 else ''} {shown}{more}"
