# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a share is for: what is refused, and who overlaps with whom."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.clients import (
    check_hosts,
    check_networks,
    covers,
    names,
    overlap,
    same_client,
)

RESOLVED = {
    "esx1": frozenset([ip_address("10.0.0.1"), ip_address("2001:db8::1")]),
    "esx2.lab": frozenset([ip_address("10.0.0.2")]),
    "alias.lab": frozenset([ip_address("10.0.0.2")]),
}


def test_networks_are_kept_in_one_order() -> None:
    given = ["2001:db8::/64", "192.168.1.0/24", "10.0.0.5/32", "10.0.1.0/24"]
    assert check_networks(given) == ("10.0.0.5/32", "10.0.1.0/24", "192.168.1.0/24", "2001:db8::/64")
    assert check_networks(given[::-1]) == check_networks(given) and check_networks([]) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["192.168.1.5/24"], "The network '192.168.1.5/24' is not in canonical form; use 192.168.1.0/24."),
        (["192.168.1.5"], "is not in canonical form; use 192.168.1.5/32."),
        (["10.0.0.0/255.0.0.0"], "is not in canonical form; use 10.0.0.0/8."),
        (["2001:DB8::1/64"], "is not in canonical form; use 2001:db8::/64."),
        (["2001:db8:0::/64"], "use 2001:db8::/64."),
        (
            ["0.0.0.0/0"],
            "The network 0.0.0.0/0 would export the share to everyone; use the networks of the ESXi hosts.",
        ),
        (["::/0"], "The network ::/0 would export the share to everyone"),
        (["10.0.0.0/8", "10.1.0.0/16"], "The network 10.0.0.0/8 overlaps 10.1.0.0/16"),
        (["2001:db8::/32", "2001:db8:1::/48"], "overlaps 2001:db8:1::/48"),
        (["10.0.0.0/8", "10.0.0.0/8"], "The network 10.0.0.0/8 is listed twice"),
        (["esx1"], "'esx1' is not a network; use a network such as 192.168.1.0/24, and hosts for host names."),
        (["*"], "'*' is not a network"),
        (["10.0.0.0/8 "], "is not a network"),
        (["10.0.0.0/33"], "is not a network"),
        (["10.0.0.0/8(rw)\n/ *(rw)"], r"'10.0.0.0/8(rw)\n/ *(rw)' is not a network"),
    ],
)
def test_networks_that_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_networks(given)
    assert said in str(caught.value)


def test_hosts_are_kept_in_one_form_and_order() -> None:
    assert check_hosts(["ESX2.lab.", "2001:DB8::9", "esx1"], RESOLVED) == ("2001:db8::9", "esx1", "esx2.lab")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere.lab"], "The host name 'nowhere.lab' does not resolve on this storage host"),
        (["10.0.0.0/8"], "'10.0.0.0/8' is neither a host name nor an IP address; use networks for networks."),
        (["*.lab"], "is neither a host name nor an IP address"),
        (["@esx"], "is neither a host name nor an IP address"),
        (["esx1(rw)"], "is neither a host name nor an IP address"),
        (
            ["esx2.lab", "alias.lab"],
            "The hosts 'esx2.lab' and 'alias.lab' both have the address 10.0.0.2; list each host only once.",
        ),
        (["esx1", "2001:db8:0::1"], "The hosts 'esx1' and '2001:db8::1' both have the address 2001:db8::1"),
    ],
)
def test_hosts_that_are_refused(given: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_hosts(given, RESOLVED)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.0.0.0/255.0.0.0", "10.1.0.0/16", True),
        ("10.0.0.0/8", "192.168.0.0/16", False),
        ("10.0.0.0/8", "2001:db8::/64", False),
        ("10.0.0.0/8", "esx1", True),
        ("192.168.0.0/16", "esx1", False),
        ("2001:db8::/64", "esx1", True),
        ("esx2.lab", "alias.lab", True),
        ("esx1", "esx2.lab", False),
        ("esx1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1/32", True),
        ("nowhere.lab", "10.0.0.0/8", False),
        ("nowhere.lab", "NOWHERE.lab", True),
        ("10.0.0.0/8", "*", True),
        ("10.0.0.0/8", "*.lab", True),
        ("esx1", "@esx", True),
        ("10.0.0.0/8", "gss/krb5", True),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other, RESOLVED) is overlap(other, one, RESOLVED) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("esx2.lab", "alias.lab", True),
        ("esx1", "ESX1.", True),
        ("esx1", "10.0.0.1", True),
        ("esx1", "2001:DB8:0::1", True),
        ("esx1", "esx2.lab", False),
        ("10.0.0.0/8", "10.0.0.0/255.0.0.0", True),
        ("10.0.0.0/8", "10.1.0.0/16", False),
        ("10.0.0.1/32", "10.0.0.1", False),  # a network and a host are two to exportfs
        ("*.LAB", "*.lab", True),
        ("*.lab", "esx2.lab", False),
        ("@esx", "@esx", True),
        ("*", "10.0.0.0/8", False),
        ("nowhere", "nowhere.lab", True),  # neither resolves
        ("nowhere", "nowhere2.lab", False),
        ("esx1", "esx1.lab", False),  # the first resolves, and so is known to be another
    ],
)
def test_what_exportfs_takes_for_one_client(one: str, other: str, expected: bool) -> None:
    assert same_client(one, other, RESOLVED) is same_client(other, one, RESOLVED) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("10.0.0.0/8", "10.1.0.0/16", False),
        ("*", "10.0.0.0/8", False),
        ("alias.lab", "esx2.lab", True),
        ("esx1", "10.0.0.1", True),
        ("10.0.0.1", "esx1", False),  # its other address is not exported to
        ("nowhere.lab", "NOWHERE.lab.", True),
    ],
)
def test_covers(one: str, other: str, expected: bool) -> None:
    assert covers(one, other, RESOLVED) is expected


def test_only_names_are_resolved() -> None:
    assert names(["10.0.0.0/8", "10.0.0.1", "::1", "*", "*.lab", "@esx", "ESX1.", "esx2.lab"]) == {"esx1", "esx2.lab"}
