# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of an export: networks and hosts from the options, and clients in the notation of exports(5)."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import combinations
from typing import Iterable, Mapping, Sequence, Union

from ..addresses import Address, address, host_name, is_host_name
from ..door.host import StorageHost
from ..errors import InputError
from ..storage_host.resolver import LOOKUP_SECONDS, ask_all, resolve
from ..text import printable

Network = Union[IPv4Network, IPv6Network]
Resolved = Mapping[str, frozenset[Address]]  # see resolve_clients


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """Return the networks in the order in which they are written to the file.

    Raises InputError for a network that is not in canonical form, includes every address, or overlaps another network.
    """
    checked = [_network(text) for text in networks]
    for one, other in combinations(checked, 2):
        if _overlap(one, other):
            both = "is listed twice" if one == other else f"overlaps {other}"
            raise InputError(f"The network {one} {both}", "List each address only once")
    return tuple(str(network) for network in sorted(checked, key=lambda network: (network.version, network)))


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InputError(
            f"'{printable(text)}' is not a network", "Use a network such as 192.168.1.0/24, and hosts for host names"
        ) from None
    if str(network) != text:
        raise InputError(f"The network '{printable(text)}' is not in canonical form", f"Use {network}")
    if network.prefixlen == 0:
        raise InputError(
            f"The network {network} would export the share to everyone", "Use the networks of the ESXi hosts"
        )
    return network


def check_hosts(hosts: Sequence[str], resolved: Resolved) -> tuple[str, ...]:
    """Return the hosts in the order in which they are written to the file, with addresses in canonical form.

    Raises InputError for a host that is neither an address nor a name that resolves, or that is listed twice.
    """
    seen: dict[Address, str] = {}
    checked = []
    for text in hosts:
        bare = address(text)
        name = str(bare) if bare else host_name(text)
        if bare is None and not is_host_name(text):
            raise InputError(
                f"'{printable(text)}' is neither a host name nor an IP address", "Use networks for networks"
            )
        found = frozenset([bare]) if bare else resolved.get(name, frozenset())
        if not found:
            raise InputError(
                f"The host name '{name}' does not resolve on this storage host",
                "Correct the name, or add it to DNS or to /etc/hosts on the storage host",
            )
        for each in found:
            if each in seen:
                raise InputError(
                    f"The hosts '{seen[each]}' and '{name}' both have the address {each}", "List each host only once"
                )
        seen.update(dict.fromkeys(found, name))
        checked.append(name)
    return tuple(sorted(checked))


def names(clients: Iterable[str]) -> set[str]:
    """Return the host names among the clients. They must be resolved before the clients can be compared."""
    return {host_name(client) for client in clients if address(client) is None and is_host_name(client)}


def resolve_clients(host: StorageHost, clients: Iterable[str]) -> Resolved:
    """Return the addresses of the host names among the clients, and of their canonical names. A name that does not
    exist has no addresses. A name that the resolver did not resolve in time is missing from the result.
    """
    found: dict[str, frozenset[Address]] = {}
    for answer in ask_all(partial(resolve, host), names(clients), LOOKUP_SECONDS).values():
        for name, addresses in answer.items():
            found[name] = found.get(name, frozenset()) | addresses
    return found


def same_client(one: str, other: str, resolved: Resolved) -> bool:
    """Return whether exportfs treats both as one client, with one entry per path: the same text in any case, the same
    network, or host names and addresses with a common address.

    For names that do not resolve, a short name matches the full name, because the table of active exports has only full
    names.
    """
    if host_name(one) == host_name(other):
        return True
    if _is_host(one) != _is_host(other):
        return False
    mine, theirs = _networks(one, resolved), _networks(other, resolved)
    if mine and theirs:
        return bool(set(mine) & set(theirs))
    if not _is_host(one) or mine or theirs:
        return False
    short, full = sorted((host_name(one), host_name(other)), key=len)
    return full.startswith(f"{short}.")


def overlap(one: str, other: str, resolved: Resolved) -> bool:
    """Return whether a machine can match both clients, as far as is known.

    Wildcards and netgroups can match any machine. A name that does not resolve matches only itself.
    """
    if host_name(one) == host_name(other):
        return True
    networks, others = _networks(one, resolved), _networks(other, resolved)
    if networks is None or others is None:
        return True
    return any(_overlap(network, another) for network in networks for another in others)


def covers(one: str, other: str, resolved: Resolved) -> bool:
    """Return whether an active entry for `one` is the entry of `other` and includes all addresses of `other`."""
    if not same_client(one, other, resolved):
        return False
    return host_name(one) == host_name(other) or set(_networks(other, resolved) or ()) <= set(
        _networks(one, resolved) or ()
    )


def within(one: str, others: Iterable[str], resolved: Resolved) -> bool:
    """Return whether the others, together, include every machine that `one` includes, as far as is known."""
    given = list(others)
    if any(host_name(one) == host_name(other) for other in given):
        return True
    mine = _networks(one, resolved)
    theirs = [network for other in given for network in _networks(other, resolved) or ()]
    joined: list[Network] = [
        *collapse_addresses(network for network in theirs if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in theirs if isinstance(network, IPv6Network)),
    ]
    return bool(mine) and all(any(_lies_in(network, wider) for wider in joined) for network in mine or ())


def _lies_in(one: Network, wider: Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(wider, IPv4Network) and one.subnet_of(wider)
    return isinstance(wider, IPv6Network) and one.subnet_of(wider)


def _is_host(client: str) -> bool:
    """Return whether a client is one host, by name or address. Networks, wildcards and netgroups are not."""
    return address(client) is not None or is_host_name(client)


def _networks(client: str, resolved: Resolved) -> Sequence[Network] | None:
    """Return the networks of a client, or None if they cannot be determined."""
    bare = address(client)
    if bare is not None:
        return [ip_network(bare)]
    try:
        return [ip_network(client, strict=False)]
    except ValueError:
        pass
    if not is_host_name(client):
        return None  # a wildcard, a netgroup, gss/krb5
    return [ip_network(found) for found in resolved.get(host_name(client), ())]


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
