# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What exportfs is told: of our own lines of the table in force, and of no others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.steps import (
    Steps,
    argument,
    back,
    in_force,
    steps,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.exports.table import Entry, parse

OPTIONS = "rw,sync,no_root_squash"
RESOLVED = dict.fromkeys(("esx1", "esx1.lab"), frozenset([ip_address("10.0.0.1")]))


def entries(*clients: str, options: str = OPTIONS) -> list[Entry]:
    return [entry for client in clients for entry in parse(f"/tank/vmware {client}({options})", "f")]


def clients(found: Steps) -> tuple[list[str], list[str]]:
    return [line.client for line in found.unexport], [entry.client for entry in found.export]


@pytest.mark.parametrize(
    ("former", "wanted", "table", "expected"),
    [
        ([], ["10.0.0.0/8"], [], ([], ["10.0.0.0/8"])),
        (["10.0.0.0/8"], ["10.0.0.0/8"], ["10.0.0.0/8"], ([], [])),
        (["10.0.0.0/8", "esx1"], ["10.0.0.0/8"], ["10.0.0.0/8", "esx1.lab"], (["esx1.lab"], [])),
        (["esx1"], [], ["esx1.lab", "172.16.0.0/12", "*.lab"], (["esx1.lab"], [])),
        (["esx1"], ["esx1.lab"], ["esx1.lab"], ([], [])),
        (["esx1"], [], [], ([], [])),  # nothing to withdraw
        ([], ["10.1.0.0/16"], ["10.0.0.0/8", "*"], ([], ["10.1.0.0/16"])),  # a wider one of others is no own one
        (["fd00::/64"], [], ["FD00:0::/64", "fd00::/63"], (["FD00:0::/64"], [])),
    ],
)
def test_only_own_lines_come_and_go(
    former: list[str], wanted: list[str], table: list[str], expected: tuple[list[str], list[str]]
) -> None:
    assert clients(steps(entries(*former), entries(*wanted), entries(*table), RESOLVED)) == expected


def test_another_option_is_a_line_to_export_and_none_to_withdraw() -> None:
    old, new = entries("10.0.0.0/8", options="ro"), entries("10.0.0.0/8")
    assert clients(steps(old, new, old, {})) == ([], ["10.0.0.0/8"])


def test_the_way_back_restores_own_lines_with_the_options_that_they_had() -> None:
    was = [*entries("10.0.0.0/8", "esx1.lab", options="ro"), *entries("172.16.0.0/12")]
    own = entries("10.0.0.0/8", "esx1", "192.168.0.0/16")
    now = entries("10.0.0.0/8", "192.168.0.0/16", "172.16.1.0/24")
    undo = back(was, own, now, RESOLVED)
    assert clients(undo) == (["192.168.0.0/16"], ["10.0.0.0/8", "esx1.lab"])
    assert {entry.options for entry in undo.export} == {("ro",)}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("10.0.0.0/8(rw,sync,no_root_squash,sec=sys,rw,no_root_squash)", True),
        ("10.0.0.0/255.0.0.0(rw,no_root_squash)", True),
        ("10.0.0.0/8(ro,sync,no_root_squash)", False),
        ("10.1.0.0/16(rw,sync,no_root_squash)", False),
        ("*(rw,sync,no_root_squash)", False),
        ("", False),
    ],
)
def test_whether_a_share_is_in_force(table: str, expected: bool) -> None:
    now = parse(f"/tank/vmware {table}", "etab") if table else []
    assert in_force(entries("10.0.0.0/8"), now, {}) is expected
    assert in_force([], now, {})


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("10.0.0.0/8", "10.0.0.0/8:/tank/vmware"),
        ("esx1.lab", "esx1.lab:/tank/vmware"),
        ("fd00::/64", "[fd00::]/64:/tank/vmware"),
        ("fd00::1", "[fd00::1]:/tank/vmware"),
        ("*", "*:/tank/vmware"),
        ("@esx", "@esx:/tank/vmware"),
    ],
)
def test_an_argument_of_exportfs(client: str, expected: str) -> None:
    assert [argument(entry) for entry in entries(client)] == [expected]
