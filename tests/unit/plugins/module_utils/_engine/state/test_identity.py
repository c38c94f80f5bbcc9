# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and marks that identify the VMware snapshots of this storage host, and no others."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.records import levels
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import Origin, StorageHost

HERE, THERE = StorageHost("nas", "0123456789ab"), StorageHost("nas", "ba9876543210")


def test_ours_is_known_by_name_and_mark_together() -> None:
    run = identity.new_run_id()
    name, text = identity.snapshot_name(run), identity.description(HERE, run, "tank/vm@one")
    assert identity.origin_of(HERE, name, text) == Origin(run, "tank/vm@one")
    assert identity.origin_of(THERE, name, text) is None
    assert identity.origin_of(HERE, name + " ", text) is None
    assert identity.origin_of(HERE, "by hand", text) is None
    assert identity.origin_of(HERE, name, "") is None
    assert identity.origin_of(HERE, identity.snapshot_name(identity.new_run_id()), text) is None


def test_run_ids_differ_and_the_hosts_stays() -> None:
    assert len({identity.new_run_id() for _unused in range(100)}) == 100
    assert len(HERE.id) == 12


@pytest.mark.parametrize(
    ("guest", "manifest", "level"),
    [
        ("windows server", "[ds] db/db-vss_manifests1.zip", "application"),
        ("windows server", "", "filesystem"),
        ("windows server", "[ds] db/db-quiesce_manifest1.xml", "filesystem"),
        ("windows", "[ds] pc/pc-vss_manifests1.zip", "filesystem"),
        ("linux", "[ds] web/web-quiesce_manifest1.xml", "filesystem"),
        ("other", "[ds] bsd/bsd-vss_manifests1.zip", "crash"),
    ],
)
def test_the_level_of_a_quiesced_snapshot_is_the_lower_one_in_doubt(guest: str, manifest: str, level: str) -> None:
    assert levels.of_quiesced(guest, manifest) == level


def test_the_level_of_a_set_is_that_of_its_worst_member() -> None:
    assert levels.lowest([]) == "still"
    assert levels.lowest(["still", "application", "filesystem"]) == "filesystem"
    assert levels.lowest(iter(["crash", "still"])) == "crash"
