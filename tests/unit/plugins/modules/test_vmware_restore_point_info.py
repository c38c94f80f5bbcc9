# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_restore_point_info through main(): it returns what it documents, and errors are one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import engine as engines
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_restore_point_info as module
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args

from ..module_utils._engine.restore.test_contents import vm
from ..module_utils._engine.restore.test_points import ROOT, PointPool, folder, sealed


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PointPool:
    monkeypatch.setenv("VMWARE_ZFS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("VMWARE_ZFS_LOCK_DIR", str(tmp_path / "locks"))
    made = PointPool(tmp_path / "dataset")
    monkeypatch.setattr(engines, "Zfs", lambda: made)
    return made


def call(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args(options), pytest.raises(SystemExit):
        module.main()
    returned: dict[str, Any] = json.loads(capsys.readouterr().out)
    return returned


@pytest.mark.parametrize("check", [False, True])
def test_it_returns_what_it_documents_and_changes_nothing(
    check: bool, pool: PointPool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pool.put("one", sealed())
    told = call(capsys, dataset=ROOT, vm="mail", _ansible_check_mode=check)
    documented = yaml.safe_load(module.RETURN)
    assert told["changed"] is False and {*documented, "changed", "invocation"} >= told.keys() >= {
        *documented,
        "changed",
    }
    (point,) = told["points"]
    contains = documented["points"]["contains"]
    assert point.keys() == contains.keys() and point["vms"][0].keys() == contains["vms"]["contains"].keys()
    assert not (tmp_path / "state").exists()


def test_errors_are_one_sentence(pool: PointPool, capsys: pytest.CaptureFixture[str]) -> None:
    pool.put("one", sealed())
    assert "does not exist on this storage host" in call(capsys, dataset="tank/none")["msg"]
    assert "a similar name is 'mail'" in call(capsys, dataset=ROOT, vm="mial")["msg"]


def test_a_name_that_is_no_text_is_returned_as_text(
    pool: PointPool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    vmx = vm(folder(tmp_path, "one") / "a", "a") / "a.vmx"
    vmx.write_bytes(vmx.read_bytes().replace(b'displayName = "a"', b'displayName = "a\xff"'))
    pool.put("one")
    told = call(capsys, dataset=ROOT)
    (name,) = [found["name"] for found in told["points"][0]["vms"]]
    assert name.encode()  # no lone surrogates, which JSON of other programs cannot have
