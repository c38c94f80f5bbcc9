# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports pyVmomi, and only when it is used, because loading its types takes as long as loading everything else.

    sdk.vim, sdk.vmodl, sdk.SoapStubAdapter

This module can be imported without pyVmomi. `require()` raises an error if pyVmomi is missing.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import DependencyError
from ..text import printable

MINIMUM = "8.0.3"
API_VERSION = "vim25/6.5"  # used with every server: the oldest supported version


def __getattr__(name: str) -> Any:
    if name not in ("vim", "vmodl", "SoapStubAdapter"):
        raise AttributeError(name)
    found = globals()[name] = getattr(importlib.import_module("pyVmomi"), name)
    return found


def require() -> None:
    """Raise DependencyError unless pyVmomi is installed and supports the engine's API version."""
    try:
        known = _versions()
    except Exception as error:  # pyVmomi raises a plain Exception if Python is too old
        missing = isinstance(error, ImportError)
        raise DependencyError(
            "The Python library pyVmomi "
            + ("is missing on this host" if missing else f"on this host is not usable: {printable(error)}"),
            f"Install pyVmomi {MINIMUM} or later for the Python that runs the engine, "
            "or apply the role quiesce.vmware_zfs.runtime",
        ) from error
    if API_VERSION not in known:
        raise DependencyError(
            "The Python library pyVmomi on this host is too old", f"Install pyVmomi {MINIMUM} or later"
        )


def stub_version() -> str:
    """Return pyVmomi's name for API_VERSION, for example `vim.version.version11`."""
    return _versions()[API_VERSION]


def _versions() -> dict[str, str]:
    importlib.import_module("pyVmomi")  # fills the map
    versions: dict[str, str] = importlib.import_module("pyVmomi.VmomiSupport").versionMap
    return versions
