# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses from which an ESXi host mounts NFS datastores: those of its VMkernel adapters."""

from __future__ import annotations

from ..addresses import address
from ..errors import VSphereError
from . import inventory, sdk
from .session import Session, understands


@understands
def addresses_of_host(session: Session, host_moid: str) -> tuple[str, ...]:
    """Return the addresses of all VMkernel adapters of a host. Raises VSphereError if vSphere shows none."""
    host = session.managed_object(sdk.vim.HostSystem, host_moid)
    path = "config.network.vnic"
    found = inventory.read(session, [host], [path], "read the addresses of a host").get(host_moid, {})
    ips = [adapter.spec.ip for adapter in found.get(path, ()) if adapter.spec.ip is not None]
    texts = [text for ip in ips for text in (ip.ipAddress, *_version_6(ip))]
    usable = [
        text
        for text in texts
        if (one := address(text or "")) is not None and not (one.is_loopback or one.is_link_local)
    ]
    if not usable:
        raise VSphereError(
            "vSphere shows no address of the ESXi host, so a clone cannot be exported to it",
            "Set clients to the addresses from which the host mounts NFS datastores",
        )
    return tuple(dict.fromkeys(usable))


def _version_6(ip: object) -> list[str]:
    config = getattr(ip, "ipV6Config", None)
    return [str(one.ipAddress) for one in getattr(config, "ipV6Address", None) or ()]
