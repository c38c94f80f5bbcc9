# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks before and after the ZFS snapshot, at VMs that are not where they were."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import confirm
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.consistency import (
    CRASH,
    FILESYSTEM,
    STILL,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.plan import NOTHING, QUIESCE, Member
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.vsphere.vm_snapshots import VmSnapshot, VmState

NAME = "vmware-zfs run"
OFF = VmState("poweredOff", False, ())
HELD = VmState("poweredOn", False, (VmSnapshot("snapshot-1", NAME, "", True, ""),))
SITE: Any = type("Site", (), {"session": None, "server": "vc", "carrying": lambda self, datasets: list(datasets)})()


def hold(moid: str, level: str) -> Hold:
    given = {field.name: "" for field in fields(Member)}
    given.update(moid=moid, action=NOTHING if level == STILL else QUIESCE, guest="linux", level=level, credential=1)
    return Hold(Member(**given), snapshot="snapshot-1" if level != STILL else "", quiesced=level != STILL, level=level)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, VmState]:
    """What is on the datastores."""
    found: dict[str, VmState] = {}
    monkeypatch.setattr(confirm, "states_on", lambda session, datastores: dict(found))
    return found


@pytest.mark.parametrize("level", [STILL, FILESYSTEM])
def test_a_vm_whose_files_left_is_not_in_the_zfs_snapshot(there: dict[str, VmState], level: str) -> None:
    state = OFF if level == STILL else HELD
    for moment in ("before", "after"):
        there["vm-1"] = state
        one = hold("vm-1", level)
        assert confirm.confirm(SITE, ["tank"], [one], [], NAME) == [] and one.level == level
        assert confirm.not_held(SITE, ["tank"], [one], NAME) == {}
        del there["vm-1"]
        if moment == "before":
            confirm.confirm(SITE, ["tank"], [one], [], NAME)
            assert one.level == CRASH and "its files left the datastores" in one.reason and one.hindrance == "vm"
        else:
            assert list(confirm.not_held(SITE, ["tank"], [one], NAME)) == ["vm-1"]
