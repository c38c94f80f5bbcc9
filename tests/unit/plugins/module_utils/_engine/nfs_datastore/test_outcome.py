# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a datastore on each host, and the module's result of it."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DatastoreDrift, VSphereError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.carry_out import Done
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.outcome import (
    Outcome,
    outcome_of,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.plan import Step
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.nfs_datastore.request import Wanted
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.hosts import Host
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.nas_mounts import (
    Export,
    Mount,
    MountedDatastore,
)
from ansible_collections.quiesce.vmware_zfs.plugins.modules.vmware_nfs_datastore import as_result

EXPORT = Export(("nfs",), "/tank/vmware", "3")
WANTED = Wanted("vmware", EXPORT)
A, B = (Host(f"host-{n}", f"esx{n}", "C0", "DC0", "dc-1", "connected", False, f"system-{n}") for n in (1, 2))
MOUNT = Step(A, "vmware", "mount", False, export=EXPORT, after=("vmware: new",))
REMOUNT = Step(B, "vmware", "remount", True, export=EXPORT, before=("vmware: old",), after=("vmware: new",))
NOW = [MountedDatastore("ds-1", "vmware", "NFS", True, EXPORT, (Mount("host-1", "readWrite", True, EXPORT),))]


def test_hosts_and_the_datastore_are_told_as_they_are_in_the_end() -> None:
    outcome = outcome_of([Done(MOUNT, changed=True)], WANTED, NOW)
    result = as_result(outcome)
    assert result["changed"] and result["diff"] == {"before": {"esx1": []}, "after": {"esx1": ["vmware: new"]}}
    assert result["datastore"] == {
        "moid": "ds-1", "name": "vmware", "datacenter": "DC0", "type": "NFS", "servers": ["nfs"],
        "path": "/tank/vmware", "accessible": True,
    }  # fmt: skip
    (host,) = result["hosts"]
    assert (host["action"], host["mounted"], host["reason"]) == ("mount", True, "")
    assert outcome.failure is None and outcome.notes == ()


def test_a_host_that_failed_is_named_with_what_is_left_of_its_mount() -> None:
    error = VSphereError("It cannot be mounted", "Look")
    outcome = outcome_of([Done(MOUNT, True), Done(REMOUNT, True, error=error)], WANTED, NOW)
    assert outcome.failure and outcome.failure.problem == "It cannot be mounted (the old mount was already removed)"
    result = as_result(outcome)
    assert [host["action"] for host in result["hosts"]] == ["mount", "failed"]
    assert result["changed"] and result["diff"]["after"] == {"esx1": ["vmware: new"], "esx2": []}
    untouched = as_result(outcome_of([Done(REMOUNT, error=error)], WANTED, NOW))
    assert not untouched["changed"] and untouched["diff"]["before"] == untouched["diff"]["after"] != {}


def test_what_would_be_refused_changes_nothing() -> None:
    drift = replace(REMOUNT, action="drift", after=REMOUNT.before)
    outcome = outcome_of([Done(MOUNT, True), Done(drift)], WANTED, [], DatastoreDrift("esx2 differs", "Unmount it"))
    result = as_result(outcome)
    assert not result["changed"] and result["diff"]["before"] == result["diff"]["after"]
    assert [host["action"] for host in result["hosts"]] == ["mount", "drift"] and result["datastore"] is None


def test_several_datastores_of_a_host_are_one_list() -> None:
    steps = [Step(A, name, "unmount", True, before=(f"{name}: old",)) for name in ("one", "two")]
    outcome: Outcome = outcome_of([Done(step, True) for step in steps], None, NOW)
    assert as_result(outcome)["diff"] == {"before": {"esx1": ["one: old", "two: old"]}, "after": {"esx1": []}}
    assert outcome.datastore is None
