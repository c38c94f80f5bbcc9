# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manages a vSphere role and its permission on an object: reads the current state, plans and makes the changes."""

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
    """The permission that gives `principal` the role on the object at inventory `path`; "/" is the root folder."""

    principal: str
    group: bool = False
    path: str = "/"
    propagate: bool = True


@dataclass(frozen=True)
class State:
    """The current or desired state of a role.

    `privileges` (sorted) is None if the role does not exist. `grant` is the name of the role that the principal has
    directly on the object and whether it propagates; None if the principal has no permission there.
    """

    privileges: tuple[str, ...] | None
    grant: tuple[str, bool] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for results and diffs."""
        grant = {"role": self.grant[0], "propagate": self.grant[1]} if self.grant else None
        return {"privileges": None if self.privileges is None else list(self.privileges), "permission": grant}


class Roles:
    """The roles of a server. The account needs Authorization.ModifyRoles and Authorization.ModifyPermissions."""

    def __init__(self, session: Session, name: str, grant: Grant | None) -> None:
        """Raises InputError if nothing exists at the path, and for a system role."""
        self._session, self._name, self._grant = session, name, grant
        self._manager = session.content.authorizationManager
        self._roles = session.call("list the roles", lambda: self._manager.roleList) or ()
        self._role: Any = next((role for role in self._roles if inventory.unescape(role.name) == name), None)
        if self._role is not None and self._role.system:
            raise InputError(
                f"The role '{printable(name, 80)}' is a system role, which cannot be changed", "Choose another name"
            )
        self._entity: Any = self._find(grant.path) if grant else None
        self._permission: Any = self._read_permission(grant) if grant else None

    def state(self) -> State:
        """Return the current state."""
        privileges = None if self._role is None else tuple(sorted(self._role.privilege))
        if self._permission is None:
            return State(privileges)
        return State(privileges, (self._role_name(self._permission.roleId), bool(self._permission.propagate)))

    def wanted(self, privileges: Sequence[str]) -> State:
        """Return the desired state. Raises InputError for a privilege that the server does not have."""
        known = self._session.call("list the privileges", lambda: self._manager.privilegeList) or ()
        unknown = sorted(set(privileges) - {privilege.privId for privilege in known})
        if known and unknown:
            raise InputError(
                f"{self._session.endpoint} has no privilege '{printable(unknown[0], 80)}'",
                "Use the privilege's ID, for example VirtualMachine.State.CreateSnapshot",
            )
        grant = (self._name, self._grant.propagate) if self._grant else None
        return State(tuple(sorted({*privileges, *READ})), grant)

    def unwanted(self) -> State:
        """Return the desired state for removal of the role and, if one is named, of its permission.

        Raises InputError if the role is used in other permissions.
        """
        if self._role is None:
            return State(None, self.state().grant)
        found = self._session.call(
            "list the permissions of the role", self._manager.RetrieveRolePermissions, roleId=self._role.roleId
        )
        others = [one for one in found or () if not self._is_ours(one)]
        if others:
            raise InputError(
                f"The role '{printable(self._name, 80)}' is assigned to '{printable(others[0].principal, 80)}'"
                + (f" and {counted(len(others) - 1, 'more time')}" if others[1:] else ""),
                "Remove these permissions first; principal and path select one to remove",
            )
        ours = self._permission is not None and self._permission.roleId == self._role.roleId
        return State(None, None if ours else self.state().grant)

    def change(self, before: State, after: State) -> None:
        """Change the role and its permission from `before` to `after`."""
        call, manager = self._session.call, self._manager
        if before.grant != after.grant and after.grant is None and self._grant:
            call("remove a permission", manager.RemoveEntityPermission, entity=self._entity,
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
                "create a role", manager.AddAuthorizationRole, name=self._name, privIds=given, repeatable=False
            )
        elif before.privileges != after.privileges:
            call("change a role", manager.UpdateAuthorizationRole, roleId=role_id, newName=self._name, privIds=given)
        if self._grant and before.grant != after.grant:
            permission = sdk.vim.AuthorizationManager.Permission(
                entity=self._entity, principal=self._grant.principal, group=self._grant.group,
                roleId=role_id, propagate=self._grant.propagate,
            )  # fmt: skip
            call("assign a role", manager.SetEntityPermissions, entity=self._entity, permission=[permission])

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
                f"{self._session.endpoint} has no object at '{printable(path, 200)}'",
                "Give the path as 'datacenter', 'datacenter/vm/folder' or 'datacenter/datastore/name'",
            )
        return found

    def _read_permission(self, grant: Grant) -> Any:
        found = self._session.call(
            "read the permissions of an object",
            self._manager.RetrieveEntityPermissions,
            entity=self._entity,
            inherited=False,
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
    r"""Return whether two names are one user or group, in any case. vCenter stores user@domain as DOMAIN\user."""
    return _account(one) == _account(other)


def _account(name: str) -> tuple[str, str]:
    domain, separator, user = name.lower().partition("\\")
    if not separator:
        user, _unused, domain = name.lower().partition("@")
    return domain, user
