# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom an export is for: networks and hosts as a user gives them, and clients as exports(5) writes them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import combinations
from typing import Iterable, Mapping, Sequence, Union

from ..errors import InputError
from ..storage_host.view import LOOKUP_SECONDS, Address, address, ask_all, host_name, is_host_name, resolve
from ..text import printable

Network = Union[IPv4Network, IPv6Network]
Resolved = Mapping[str, frozenset[Address]]  # see resolve_clients


def check_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """The networks in the order in which they are written down.

    Raises InputError for one that is not normalised, that means everybody, or that shares addresses with another.
    """
    checked = [_network(text) for text in networks]
    for one, other in combinations(checked, 2):
        if _overlap(one, other):
            both = "is given twice" if one == other else f"shares addresses with {other}"
            raise InputError(f"The network {one} {both}", "Give each address once")
    return tuple(str(network) for network in sorted(checked, key=lambda network: (network.version, network)))


def _network(text: str) -> Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InputError(
            f"'{printable(text)}' is no network", "Give it as 192.168.1.0/24, and host names in hosts"
        ) from None
    if str(network) != text:
        raise InputError(f"The network '{printable(text)}' is not in its normal form", f"Give {network}")
    if network.prefixlen == 0:
        raise InputError(f"The network {network} is everybody", "Give the networks of the ESXi hosts")
    return network


def check_hosts(hosts: Sequence[str], resolved: Resolved) -> tuple[str, ...]:
    """The hosts in the order in which they are written down, addresses in their normal form.

    Raises InputError for one that is neither an address nor a name that resolves, or that is given twice.
    """
    seen: dict[Address, str] = {}
    checked = []
    for text in hosts:
        bare = address(text)
        name = str(bare) if bare else host_name(text)
        if bare is None and not is_host_name(text):
            raise InputError(f"'{printable(text)}' is neither a host name nor an address", "Give networks in networks")
        found = frozenset([bare]) if bare else resolved.get(name, frozenset())
        if not found:
            raise InputError(
                f"The host '{name}' does not resolve on this storage host",
                "Correct the name, or see that the storage host's resolver knows it",
            )
        for each in found:
            if each in seen:
                raise InputError(f"The hosts '{seen[each]}' and '{name}' are both {each}", "Give each host once")
        seen.update(dict.fromkeys(found, name))
        checked.append(name)
    return tuple(sorted(checked))


def names(clients: Iterable[str]) -> set[str]:
    """The clients that have to be resolved before it can be told whether they overlap."""
    return {host_name(client) for client in clients if address(client) is None and is_host_name(client)}


def resolve_clients(clients: Iterable[str]) -> Resolved:
    """The addresses of the host names among clients, and of their canonical names. A name that does not exist has none,
    and one of which the resolver could not say in time is left out.
    """
    found: dict[str, frozenset[Address]] = {}
    for answer in ask_all(resolve, names(clients), LOOKUP_SECONDS).values():
        for name, addresses in answer.items():
            found[name] = found.get(name, frozenset()) | addresses
    return found


def same_client(one: str, other: str, resolved: Resolved) -> bool:
    """Whether exportfs takes both for one client, of which a path has one entry: the same text in any case, the same
    network, or host names and addresses that have an address in common.

    Of names that do not resolve a short one stands for the full one: the table in force has only the latter.
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
    """Whether a machine can be meant by both clients, as far as that is known.

    Wildcards and netgroups may mean anybody; a name that does not resolve means nobody but itself.
    """
    if host_name(one) == host_name(other):
        return True
    networks, others = _networks(one, resolved), _networks(other, resolved)
    if networks is None or others is None:
        return True
    return any(_overlap(network, another) for network in networks for another in others)


def covers(one: str, other: str, resolved: Resolved) -> bool:
    """Whether an entry for `one` in the table in force is that of `other`, with every address that `other` has."""
    if not same_client(one, other, resolved):
        return False
    return host_name(one) == host_name(other) or set(_networks(other, resolved) or ()) <= set(
        _networks(one, resolved) or ()
    )


def within(one: str, others: Iterable[str], resolved: Resolved) -> bool:
    """Whether whoever is meant by `one` is meant by others too, by one or by several together, as far as is known."""
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
    """Whether a client is one host, by name or address; networks, wildcards and netgroups are not."""
    return address(client) is not None or is_host_name(client)


def _networks(client: str, resolved: Resolved) -> Sequence[Network] | None:
    """The networks that a client is, None where that is not to be told."""
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
