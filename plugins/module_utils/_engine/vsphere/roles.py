# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of a server, and who has one on an object: what there is, what is wanted, and the calls between the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from ..errors import InputError
from ..text import counted, printable
from . import inventory, sdk
from .privileges import READ
from .session import Session


@dataclass(frozen=True)
class Grant:
    """Who has, or is to have, the role: `principal` on the object at the inventory `path`, "/" for all of it."""

    principal: str
    group: bool = False
    path: str = "/"
    propagate: bool = True


@dataclass(frozen=True)
class State:
    """A role as it is or is to be. `privileges` (sorted) are None where there is no such role; `grant` is the role's
    name and whether it is propagated, None where the principal has none on that very object.
    """

    privileges: tuple[str, ...] | None
    grant: tuple[str, bool] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for results and diffs."""
        grant = {"role": self.grant[0], "propagate": self.grant[1]} if self.grant else None
        return {"privileges": None if self.privileges is None else list(self.privileges), "permission": grant}


class Roles:
    """The roles of a server. Its own account needs Authorization.ModifyRoles and Authorization.ModifyPermissions."""

    def __init__(self, session: Session, name: str, grant: Grant | None) -> None:
        """Raises InputError for a path where nothing is, and for a role that the server brings itself."""
        self._session, self._name, self._grant = session, name, grant
        self._manager = session.content.authorizationManager
        self._roles = session.call("list the roles", lambda: self._manager.roleList) or ()
        self._role: Any = next((role for role in self._roles if inventory.unescape(role.name) == name), None)
        if self._role is not None and self._role.system:
            raise InputError(
                f"The role '{printable(name, 80)}' belongs to the server itself", "Give the role a name of its own"
            )
        self._entity: Any = self._find(grant.path) if grant else None
        self._permission: Any = self._read_permission(grant) if grant else None

    def state(self) -> State:
        """The role as it is."""
        privileges = None if self._role is None else tuple(sorted(self._role.privilege))
        if self._permission is None:
            return State(privileges)
        return State(privileges, (self._role_name(self._permission.roleId), bool(self._permission.propagate)))

    def wanted(self, privileges: Sequence[str]) -> State:
        """The role as it is to be. Raises InputError for a privilege that the server does not know."""
        known = self._session.call("list the privileges", lambda: self._manager.privilegeList) or ()
        unknown = sorted(set(privileges) - {privilege.privId for privilege in known})
        if known and unknown:
            raise InputError(
                f"{self._session.endpoint} knows no privilege '{printable(unknown[0], 80)}'",
                "Give its identifier, such as VirtualMachine.State.CreateSnapshot",
            )
        grant = (self._name, self._grant.propagate) if self._grant else None
        return State(tuple(sorted({*privileges, *READ})), grant)

    def unwanted(self) -> State:
        """The role as it is to be when it is to be gone: with the grant, if one is named.

        Raises InputError when others have it.
        """
        if self._role is None:
            return State(None, self.state().grant)
        found = self._session.call(
            "list who has the role", self._manager.RetrieveRolePermissions, roleId=self._role.roleId
        )
        others = [one for one in found or () if not self._is_ours(one)]
        if others:
            raise InputError(
                f"The role '{printable(self._name, 80)}' is given to '{printable(others[0].principal, 80)}'"
                + (f" and {counted(len(others) - 1, 'more time')}" if others[1:] else ""),
                "Take it from them first; principal and path name one to take it from",
            )
        mine = self._permission is not None and self._permission.roleId == self._role.roleId
        return State(None, None if mine else self.state().grant)

    def change(self, before: State, after: State) -> None:
        """Make it what `after` says."""
        call, manager = self._session.call, self._manager
        if before.grant != after.grant and after.grant is None and self._grant:
            call("take a role away", manager.RemoveEntityPermission, entity=self._entity,
                 user=self._permission.principal, isGroup=self._grant.group, repeatable=False)  # fmt: skip
        if after.privileges is None:
            if before.privileges is not None:
                call(
                    "remove a role",
                    manager.RemoveAuthorizationRole,
                    roleId=self._role.roleId,
                    failIfUsed=True,
                    repeatable=False,
                )
            return
        given = [name for name in after.privileges if name not in READ]
        role_id = self._role.roleId if self._role else 0
        if before.privileges is None:
            role_id = call(
                "make a role", manager.AddAuthorizationRole, name=self._name, privIds=given, repeatable=False
            )
        elif before.privileges != after.privileges:
            call("change a role", manager.UpdateAuthorizationRole, roleId=role_id, newName=self._name, privIds=given)
        if self._grant and before.grant != after.grant:
            permission = sdk.vim.AuthorizationManager.Permission(
                entity=self._entity, principal=self._grant.principal, group=self._grant.group,
                roleId=role_id, propagate=self._grant.propagate,
            )  # fmt: skip
            call("give a role", manager.SetEntityPermissions, entity=self._entity, permission=[permission])

    def _find(self, path: str) -> Any:
        if not path.strip("/"):
            return self._session.content.rootFolder
        found = self._session.call(
            "find an object by its path",
            self._session.content.searchIndex.FindByInventoryPath,
            inventoryPath=path.strip("/"),
        )
        if found is None:
            raise InputError(
                f"Nothing is at '{printable(path, 200)}' on {self._session.endpoint}",
                "Give the path as 'datacenter', 'datacenter/vm/folder' or 'datacenter/datastore/name'",
            )
        return found

    def _read_permission(self, grant: Grant) -> Any:
        found = self._session.call(
            "read who has which role", self._manager.RetrieveEntityPermissions, entity=self._entity, inherited=False
        )
        return next((one for one in found or () if self._is_ours(one)), None)

    def _is_ours(self, permission: Any) -> bool:
        grant = self._grant
        return (
            grant is not None
            and same_principal(permission.principal, grant.principal)
            and bool(permission.group) == grant.group
            and (permission.entity is None or permission.entity._moId == self._entity._moId)
        )

    def _role_name(self, role_id: int) -> str:
        return next((inventory.unescape(role.name) for role in self._roles if role.roleId == role_id), str(role_id))


def same_principal(one: str, other: str) -> bool:
    r"""Whether two names mean one user or group: vCenter keeps user@domain as DOMAIN\user, and case means nothing."""
    return _account(one) == _account(other)


def _account(name: str) -> tuple[str, str]:
    domain, separator, user = name.lower().partition("\\")
    if not separator:
        user, _unused, domain = name.lower().partition("@")
    return domain, user
