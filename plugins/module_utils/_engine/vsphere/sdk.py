# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that imports pyVmomi, and only when it is used: its types take as long to load as all else together.

    sdk.vim, sdk.vmodl, sdk.SoapStubAdapter

Nothing fails here when it is missing: `require()` says so when it is needed.
"""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import DependencyError
from ..text import printable

MINIMUM = "8.0.3"
API_VERSION = "vim25/6.5"  # spoken to every server: the oldest supported, so that all of them understand it


def __getattr__(name: str) -> Any:
    if name not in ("vim", "vmodl", "SoapStubAdapter"):
        raise AttributeError(name)
    found = globals()[name] = getattr(importlib.import_module("pyVmomi"), name)
    return found


def require() -> None:
    """Raise DependencyError unless pyVmomi is there and knows the API version that the engine speaks."""
    try:
        known = _versions()
    except Exception as error:  # which is what pyVmomi raises on a Python that is too old for it
        missing = isinstance(error, ImportError)
        raise DependencyError(
            "The Python library pyVmomi "
            + ("is missing on this host" if missing else f"on this host cannot be used: {printable(error)}"),
            f"Install pyVmomi {MINIMUM} or later, made for the Python that runs the engine, "
            "or apply the role quiesce.vmware_zfs.runtime",
        ) from error
    if API_VERSION not in known:
        raise DependencyError(
            "The Python library pyVmomi on this host is too old", f"Install pyVmomi {MINIMUM} or later"
        )


def stub_version() -> str:
    """pyVmomi's own name of API_VERSION, e.g. `vim.version.version11`."""
    return _versions()[API_VERSION]


def _versions() -> dict[str, str]:
    importlib.import_module("pyVmomi")  # which fills the map
    versions: dict[str, str] = importlib.import_module("pyVmomi.VmomiSupport").versionMap
    return versions
