# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the privileges that the engine needs and finds those that an account lacks.

According to the vSphere API reference, CreateSnapshotEx_Task needs CreateSnapshot; RemoveSnapshot_Task and
ConsolidateVMDisks_Task need RemoveSnapshot. The other calls of a run only read. CreateNasDatastore and RemoveDatastore,
which mount and unmount datastores, need Host.Config.Storage.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..errors import PermissionDenied, VSphereFault
from . import inventory, sdk
from .session import Session, understands

READ = ("System.Anonymous", "System.Read", "System.View")  # every role has them (API AddAuthorizationRole)
COORDINATE = ("VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot")

_NOT_ASKED = frozenset({"NotSupported", "NotImplemented", "MethodNotFound"})


def lacking_on_vms(session: Session, vms: Mapping[str, str], privileges: Sequence[str]) -> list[tuple[str, str]]:
    """Return (privilege, VM name) for each of `privileges` that the session's account lacks on a VM.

    `vms` maps managed object IDs to names. The result is as that of `lacking_on`.
    """
    return lacking_on(session, sdk.vim.VirtualMachine, vms, privileges) if vms else []


@understands
def lacking_on(
    session: Session, kind: Any, objects: Mapping[str, str], privileges: Sequence[str]
) -> list[tuple[str, str]]:
    """Return (privilege, name) for each of `privileges` that the session's account lacks on an object.

    `objects` maps managed object IDs of the type `kind` to names. The result is also empty if the server cannot check
    privileges: an ESXi host, or an account without System.View on the root folder.
    """
    if not objects or str(session.content.about.apiType) != "VirtualCenter":
        return []
    purpose = "check the account's privileges"
    current = session.call(purpose, lambda: session.content.sessionManager.currentSession)
    lacking: list[tuple[str, str]] = []
    moids = list(objects)
    for at in range(0, len(moids), inventory.PAGE):
        try:
            answers = session.call(
                purpose,
                session.content.authorizationManager.HasPrivilegeOnEntities,
                entity=inventory.objects_of(session, kind, moids[at : at + inventory.PAGE]),
                sessionId=current.key,
                privId=list(privileges),
            )
        except PermissionDenied as error:
            name = objects.get(error.details["object"])
            if name is None:
                return []
            return [(error.details["privilege"], name)]
        except VSphereFault as error:
            if error.kind in _NOT_ASKED:
                return []
            raise
        lacking += [
            (asked.privId, objects[answer.entity._moId])
            for answer in answers
            for asked in answer.privAvailability
            if not asked.isGranted
        ]
    return lacking
