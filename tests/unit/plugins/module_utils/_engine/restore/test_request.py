# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that cannot be meant is refused before a server or a pool is asked."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.restore.request import (
    DISCONNECT,
    KEEP,
    RestoreRequest,
    check_name,
    parse_snapshot,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.restores import CLONE, DISK, MOUNT

SNAPSHOT = parse_snapshot("tank/vmware@auto-2026-11-20_02-00")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vms": ()}, "No VM was named"),
        ({"vms": ("mail", "mail")}, "named twice"),
        ({"vms": ("mail", "web"), "name": "copy"}, "A name was given for several VMs"),
        ({"way": MOUNT, "host": "esx1"}, "VMs were named"),
        ({"way": MOUNT, "vms": ()}, "No ESXi host was named"),
        ({"way": DISK, "attach_to": "helper"}, "number of the disk is missing"),
        ({"way": DISK, "disk": 1}, "No VM was named that gets the disk"),
        ({"way": DISK, "disk": 1, "attach_to": "helper", "vms": ("mail", "web")}, "A disk of several VMs"),
        ({"way": DISK, "disk": 1, "attach_to": "helper", "replace": True}, "A disk cannot replace a VM"),
        ({"way": DISK, "disk": 1, "attach_to": "helper", "power_on": True}, "no VM to power on"),
        ({"attach_to": "helper"}, "needs the number of a disk"),
        ({"force": True}, "force has no effect without replace"),
        ({"replace": True, "name": "mail2"}, "keeps its name"),
        ({"boot_timeout": -1.0}, "boot_timeout is -1"),
        ({"name": "../mail"}, "is not a valid name"),
    ],
)
def test_contradictions_are_refused_in_one_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        RestoreRequest(SNAPSHOT, **{"vms": ("mail",), **options}).check()
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"way": CLONE, "host": "esx1", "power_on": True},
        {"replace": True, "force": True},
        {"name": "mail 2"},
        {"way": DISK, "disk": 2, "attach_to": "helper"},
        {"way": MOUNT, "vms": (), "host": "esx1"},
        {"boot_timeout": 0.0},
    ],
)
def test_what_can_be_meant_is_accepted(options: dict[str, Any]) -> None:
    RestoreRequest(SNAPSHOT, **{"vms": ("mail",), **options}).check()


@pytest.mark.parametrize("text", ["tank/vmware", "tank/vmware@", "@x", "tank/vm ware@%", "tank/../x@y", "-t@x", ""])
def test_a_name_that_is_no_snapshot_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_snapshot(text)


@pytest.mark.parametrize("name", ["", " mail", "mail ", "a/b", ".hidden", "x" * 81, "a\nb"])
def test_a_name_that_no_vm_can_have_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_the_cards_of_a_copy_are_disconnected_and_those_of_a_replacement_stay() -> None:
    assert RestoreRequest(SNAPSHOT, ("mail",)).cards == DISCONNECT
    assert RestoreRequest(SNAPSHOT, ("mail",), replace=True).cards == KEEP
    assert RestoreRequest(SNAPSHOT, ("mail",), replace=True, network=DISCONNECT).cards == DISCONNECT
    assert RestoreRequest(SNAPSHOT, ("mail",), network="Lab").has_network
    assert not RestoreRequest(SNAPSHOT, ("mail",)).has_network
