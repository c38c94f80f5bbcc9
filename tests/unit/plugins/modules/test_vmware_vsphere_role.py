# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vmware_vsphere_role: where to log in."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.modules import vmware_vsphere_role
from ansible_collections.quiesce.vmware_zfs.tests.unit.module_arguments import patch_module_args


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {},
            "Where to log in is not clear without hostname and username and password; give them, or set VMWARE_HOST "
            "and VMWARE_USER and VMWARE_PASSWORD in the module's environment.",
        ),
        (
            {"hostname": "vc.lab", "username": "u"},
            "Where to log in is not clear without password; give it, or set VMWARE_PASSWORD in the module's "
            "environment.",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_variable(
    given: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("VMWARE_HOST", "VMWARE_USER", "VMWARE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with patch_module_args(given), pytest.raises(SystemExit):
        vmware_vsphere_role.main()
    assert json.loads(capsys.readouterr().out)["msg"] == sentence
