# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""If pyVmomi cannot be used, one sentence explains why."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import NoReturn

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import DependencyError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModuleNotFoundError("No module named 'pyVmomi'"), "is missing on this host; install pyVmomi 8.0.3 or later"),
        (Exception("Python 3.10 or newer is required"), "is not usable: Python 3.10 or newer is required; install"),
    ],
)
def test_why_it_cannot_be_used(error: Exception, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> NoReturn:
        raise error

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(DependencyError, match=told):
        sdk.require()


def test_it_is_loaded_only_when_it_is_used() -> None:
    """Loading its types is slow, and many modules and vmware-zfs commands do not need them."""
    names = ("modules.vmware_coordinated_snapshot", "module_utils._engine.cli.main")
    imports = "; ".join(f"import ansible_collections.quiesce.vmware_zfs.plugins.{name}" for name in names)
    script = f"import sys; {imports}; print('pyVmomi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
