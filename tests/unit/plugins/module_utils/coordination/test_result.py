# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a snapshot that was there already, beside that of a run, and what the modules document of both."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination import record, result
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.plan import Member, Plan
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.quiesce import Hold
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.coordination.record import Record
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_coordinated_snapshot

NAME = "tank/a@one"
MEMBER = Member(
    server="vc.lab", server_id="1234", credential=1, moid="vm-1", name="web", instance_uuid="5029-1",
    vmx_path="[a] web/web.vmx", host="host-1", guest="linux", power="poweredOn", action="quiesce", level="filesystem",
    spans=("tank/b",),
)  # fmt: skip
HOLD = Hold(MEMBER, snapshot="snapshot-7", level="filesystem", started=1.0, released=3.5)
DOCUMENTED = yaml.safe_load(vmware_coordinated_snapshot.RETURN)


@pytest.fixture
def existing(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The result of a snapshot whose record tells of one VM."""
    taken = Record(
        run="r1", host="h", consistency="filesystem", complete=True, held_until=1, vms=[result.vm_facts(HOLD)]
    )
    monkeypatch.setattr(result.snapshots, "existing", lambda zfs, names: list(names))
    monkeypatch.setattr(result.snapshots, "own", lambda zfs, names, name: dict.fromkeys(names, "r1"))
    monkeypatch.setattr(record, "read", lambda zfs, name: taken)
    zfs: Any = None
    found = result.of_existing(zfs, [NAME])
    assert found is not None
    return found


def test_the_vms_of_a_snapshot_that_was_there_already_have_what_those_of_a_run_have(existing: dict[str, Any]) -> None:
    plan = Plan("tank/a", (NAME,), (MEMBER,), (), ())
    (of_run,) = result.of_run("r1", plan, [HOLD], None, [])["vms"]
    (vm,) = existing["vms"]
    assert vm.keys() == of_run.keys() == DOCUMENTED["vms"]["contains"].keys()
    assert vm == {**of_run, "power": None, "action": None, "spans": [], "hold_seconds": None}
    assert of_run["hold_seconds"] == 2.5 and of_run["vmware_snapshot_moid"] == "snapshot-7"


def test_everything_in_a_result_is_documented(existing: dict[str, Any]) -> None:
    plan = result.of_plan(Plan("tank/a", (NAME,), (MEMBER,), (), ()))
    waves = result.together([plan], [NAME])
    assert {*existing, *plan, *waves} - DOCUMENTED.keys() == set()
    assert waves["waves"][0].keys() == DOCUMENTED["waves"]["contains"].keys()


def test_what_may_be_null_is_said_to_be(existing: dict[str, Any]) -> None:
    def said(returned: dict[str, Any], name: str) -> str:
        return "".join(returned[name]["description"])

    nulls = [name for name, value in existing.items() if value is None]
    assert nulls == ["hold_window_seconds"] and "V(null)" in said(DOCUMENTED, nulls[0])
    of_vm = [name for name, value in existing["vms"][0].items() if value is None]
    assert of_vm and [name for name in of_vm if "V(null)" not in said(DOCUMENTED["vms"]["contains"], name)] == []
