# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which VMs are registered with files on a datastore, and where in the inventory, in one call for all."""

from __future__ import annotations

from dataclasses import dataclass

from . import inventory, sdk
from .registration import Home, folder_of_vapp
from .session import Session, understands
from .vm_now import PATHS, VmNow, now_of

_PLACES = ("parent", "parentVApp", "resourcePool", "runtime.host")


@dataclass(frozen=True)
class RegisteredAt:
    """A registered VM: managed object ID, state and home. `vapp` is the vApp that it is in, or ""."""

    moid: str
    now: VmNow
    home: Home
    vapp: str = ""

    def complete_home(self, session: Session) -> Home:
        """Return its home. The folder of a VM in a vApp is that of the vApp, which needs another request."""
        if self.home.folder_moid or not self.vapp:
            return self.home
        folder = folder_of_vapp(session, self.vapp)
        return Home(self.home.datacenter_moid, folder, self.home.host_moid, self.home.pool_moid)


@understands
def read_homes(session: Session, datastore_moid: str, datacenter_moid: str) -> dict[str, RegisteredAt]:
    """Return the VMs with files on a datastore, by the path of their configuration ("[datastore] folder/vm.vmx")."""
    datastore = session.managed_object(sdk.vim.Datastore, datastore_moid)
    found = inventory.read_referenced(
        session,
        [datastore],
        "vm",
        sdk.vim.VirtualMachine,
        [*PATHS, *_PLACES],
        "list the VMs of the datastore",
        patient=True,
    )
    registered = [_registered(moid, properties, datacenter_moid) for moid, properties in found.items()]
    return {one.now.vmx_path: one for one in registered if one.now.vmx_path}


def _registered(moid: str, properties: inventory.Properties, datacenter_moid: str) -> RegisteredAt:
    parts = {name: getattr(properties.get(name), "_moId", "") for name in _PLACES}
    home = Home(datacenter_moid, parts["parent"], parts["runtime.host"], parts["resourcePool"])
    return RegisteredAt(moid, now_of(properties), home, parts["parentVApp"])
