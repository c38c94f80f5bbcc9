# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pyVmomi that cannot be used is told in one sentence."""

from __future__ import annotations

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.errors import DependencyError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils.vsphere import sdk


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'pyVmomi'"), "is missing on this host; Install pyVmomi 8.0.3 or later"),
        (Exception("Python 3.10 or newer is required"), "cannot be used: Python 3.10 or newer is required; Install"),
    ],
)
def test_why_it_cannot_be_used(error: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "IMPORT_ERROR", error)
    with pytest.raises(DependencyError, match=told):
        sdk.require()
