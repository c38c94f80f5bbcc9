# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that imports pyVmomi. Nothing fails here when it is missing: `require()` says so when it is needed."""

from __future__ import annotations

from typing import Any

from ..errors import DependencyError
from ..text import printable

MINIMUM = "8.0.3"
API_VERSION = "vim25/6.5"  # spoken to every server: the oldest supported, so that all of them understand it

vim: Any
vmodl: Any
SoapStubAdapter: Any
IMPORT_ERROR: Exception | None
try:
    import pyVmomi
    from pyVmomi import VmomiSupport

    _package: Any = pyVmomi  # it makes its names at run time
    vim, vmodl, SoapStubAdapter = _package.vim, _package.vmodl, _package.SoapStubAdapter
    IMPORT_ERROR = None
    _versions: dict[str, str] = VmomiSupport.versionMap
except Exception as error:  # which is what pyVmomi raises on a Python that is too old for it
    SoapStubAdapter = vim = vmodl = None
    _versions = {}
    IMPORT_ERROR = error


def require() -> None:
    """Raise DependencyError unless pyVmomi is there and knows the API version that the engine speaks."""
    if IMPORT_ERROR is not None:
        missing = isinstance(IMPORT_ERROR, ImportError)
        raise DependencyError(
            "The Python library pyVmomi "
            + ("is missing on this host" if missing else f"on this host cannot be used: {printable(IMPORT_ERROR)}"),
            f"Install pyVmomi {MINIMUM} or later, made for the Python that runs the engine, "
            "or apply the role quiesce.vmware_zfs.runtime",
        )
    if API_VERSION not in _versions:
        raise DependencyError(
            "The Python library pyVmomi on this host is too old", f"Install pyVmomi {MINIMUM} or later"
        )


def stub_version() -> str:
    """pyVmomi's own name of API_VERSION, e.g. `vim.version.version11`."""
    return _versions[API_VERSION]
