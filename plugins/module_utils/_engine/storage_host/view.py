# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage host's addresses, names, mounts and NFS version 4 roots, as plain data.

All queries for the matching are here, so that the matching is a pure function. Every query has a time limit: a DNS
server or a network file system that does not respond cannot block a run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Iterable, Mapping, Sequence

from ..addresses import Address, address, host_name, is_localhost, split_aliases
from ..door.host import StorageHost
from ..errors import DependencyError
from ..paths import clean_path, unescaped
from ..text import printable
from .mounts import Mount, mount_table, system_table
from .resolver import LOOKUP_SECONDS, addresses_of, ask_all

COMMAND_SECONDS = 10.0

# "inet 10.0.2.15/24" in the output of ip and BSD's ifconfig, "inet addr:10.0.2.15" in that of the old net-tools
_INTERFACE_ADDRESS = re.compile(r"^\s*inet6?\s+(?:addr:\s*)?([0-9A-Fa-f.:]+)", re.MULTILINE)


@dataclass(frozen=True)
class StorageHostView:
    """The result of observe(). Addresses and names include the aliases. Names have the form of host_name()."""

    addresses: frozenset[Address]  # without loopback addresses, which are different on every machine
    names: frozenset[str]
    mounts: tuple[Mount, ...] = ()
    pseudo_roots: tuple[str, ...] = ()  # NFS version 4 clients use paths relative to these directories
    resolved: Mapping[str, frozenset[Address]] = field(default_factory=dict)  # absent: no answer in time
    real_paths: Mapping[str, str] = field(default_factory=dict)  # without symbolic links; absent: does not exist
    late_paths: frozenset[str] = frozenset()  # no answer in time, so it is not known whether they exist
    late_aliases: frozenset[str] = frozenset()  # aliases that were not resolved in time


def observe(
    host: StorageHost,
    aliases: Sequence[str] = (),
    names: Iterable[str] = (),
    paths: Iterable[str] = (),
    limit: float = LOOKUP_SECONDS,
) -> StorageHostView:
    """Observe the storage host. Resolve the host `names` and the directory `paths`, for example those of datastores.

    `aliases` are additional names and addresses of the host, such as NAT or virtual addresses. Raises InputError
    for an alias that is neither, and DependencyError if no command lists the addresses.
    """
    alias_names, addresses = split_aliases(aliases)
    own_names = _own_names(host)
    asked = {host_name(name) for name in names if address(name) is None}
    answers = ask_all(partial(addresses_of, host), asked | alias_names, limit)
    resolved = {name: found or frozenset() for name, found in answers.items()}
    for name in alias_names:
        addresses |= {found for found in resolved.get(name, frozenset()) if not found.is_loopback}
    roots = pseudo_roots(system_table(host, "/var/lib/nfs/etab"))
    asked_paths = {clean_path(path) for path in paths}
    asked_paths |= {clean_path(root + path) for root in roots for path in asked_paths}
    mounts = mount_table(host)
    # The kernel's mount table has real paths. A mountpoint needs no lookup, which could hang with its pool.
    mountpoints = asked_paths.intersection(mount.mountpoint for mount in mounts if mount.visible)
    found_paths = ask_all(partial(_real_path, host), asked_paths - mountpoints, limit) | {
        path: path for path in mountpoints
    }
    return StorageHostView(
        addresses=frozenset(addresses | local_addresses(host)),
        names=frozenset(alias_names | own_names),
        mounts=mounts,
        pseudo_roots=roots,
        resolved=resolved,
        real_paths={path: real for path, real in found_paths.items() if real},
        late_paths=frozenset(asked_paths.difference(found_paths)),
        late_aliases=frozenset(name for name in alias_names if answers.get(name) is None),
    )


def local_addresses(host: StorageHost) -> frozenset[Address]:
    """Return the addresses of all interfaces, without loopback addresses and without the zones of IPv6 addresses."""
    for command in (["ip", "addr"], ["ifconfig", "-a"]):
        try:
            ended = host.run(command, COMMAND_SECONDS)
        except (FileNotFoundError, PermissionError):
            continue
        except OSError as error:
            raise _not_listed(command, str(error)) from error
        if ended.status:
            raise _not_listed(command, f"exit status {ended.status}")
        return parse_addresses(ended.output)
    raise DependencyError(
        "The addresses of this storage host are not known, because it has neither 'ip' nor 'ifconfig'",
        "Install iproute2",
    )


def _not_listed(command: Sequence[str], reason: str) -> DependencyError:
    return DependencyError(
        f"The addresses of this storage host cannot be listed: {printable(reason)}",
        f"Check why '{' '.join(command)}' fails",
    )


def parse_addresses(text: str) -> frozenset[Address]:
    """Return the addresses in the output of `ip addr` or `ifconfig -a`, without loopback addresses."""
    found = (address(match) for match in _INTERFACE_ADDRESS.findall(text))
    return frozenset(each for each in found if each is not None and not each.is_loopback)


def pseudo_roots(etab: str) -> tuple[str, ...]:
    """Return the paths that are exported with fsid=0 in the NFS server's table of exports (exportfs(8)).

    The table of active exports also contains the exports of the property sharenfs, which are not in /etc/exports.
    """
    roots = []
    for line in etab.splitlines():
        path, _unused, client = line.strip().rpartition("\t")
        options = client.partition("(")[2].rstrip(")").split(",")
        if path and "fsid=0" in options:
            roots.append(clean_path(unescaped(path.strip())))
    return tuple(dict.fromkeys(roots))


def _own_names(host: StorageHost) -> set[str]:
    """Return the short and the full name. The full name comes from the resolver, with a time limit."""
    name = host.name()
    canonical = ask_all(lambda _name: host.full_name(), [name], LOOKUP_SECONDS).get(name, name)
    full = {host_name(name), host_name(canonical)}
    return {name for name in full | {name.partition(".")[0] for name in full} if name and not is_localhost(name)}


def _real_path(host: StorageHost, path: str) -> str:
    try:
        real = host.real_path(path)
        return real if host.exists(real) else ""
    except ValueError:  # a null byte
        return ""
