# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report on a VM agrees with the level that a run can reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.matching.match import Match
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning import vm_report as vm_reports
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.planning.server_logins import ServerLogin
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.datastores import Datastore
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vms import Disk, Vm

WEB = Vm(
    moid="vm-1", name="web", instance_uuid="5029-1", vmx_path="[ds] web/web.vmx", host_moid="host-1", power="poweredOn",
    template=False, connected=True, readable=True, guest="linux", tools="running",
    disks=(Disk("Hard disk 1", (("ds-1", "web/web.vmdk"),), False),), consolidation_needed=False, obstacles=(),
)  # fmt: skip


class Session:
    endpoint, server_id = "vcenter.lab", "1234"


@pytest.mark.parametrize(
    ("changes", "can_quiesce", "reason"),
    [
        ({}, True, ""),
        ({"tools": "not running"}, False, "VMware Tools are not running"),
        ({"guest": "other"}, False, "not known to freeze this guest"),
        ({"guest": "other", "tools": "not running"}, False, "VMware Tools are not running"),
        ({"guest": "other", "power": "poweredOff"}, False, ""),
    ],
)
def test_what_cannot_be_quiesced_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], can_quiesce: bool, reason: str
) -> None:
    monkeypatch.setattr(vm_reports, "list_vms", lambda session, datastores: [replace(WEB, **changes)])
    datastore = Datastore("ds-1", "ds", "DC0", "NFS", ("10.0.2.15",), "/a", True, "vcenter.lab")
    session: Any = Session()
    login = ServerLogin(session, [], matches={"ds-1": Match(datastore, "", "root", "", (("", "tank/a"),))})
    (report,) = vm_reports.vm_report([login], ["tank/a"])
    assert report["can_quiesce"] is can_quiesce
    assert bool(report["reasons"]) is bool(reason) and reason in "".join(report["reasons"])
