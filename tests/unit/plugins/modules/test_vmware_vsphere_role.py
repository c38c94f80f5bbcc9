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
            "The login data is incomplete: hostname and username and password are not set; set them, or set "
            "VMWARE_HOST and VMWARE_USER and VMWARE_PASSWORD in the environment of the task.",
        ),
        (
            {"hostname": "vc.lab", "username": "u"},
            "The login data is incomplete: password is not set; set it, or set VMWARE_PASSWORD in the environment of "
            "the task.",
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
