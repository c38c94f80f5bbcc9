# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports pyVmomi, and only when it is used, because loading its types takes as long as loading everything else.

    sdk.vim, sdk.vmodl, sdk.SoapStubAdapter

This module can be imported without pyVmomi. `require()` raises an error if pyVmomi is missing.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from ..errors import DependencyError
from ..text import printable

MINIMUM = "8.0.3"
_NAMESPACE = "vim25/"
_SUPPORTED = range(6, 10)  # major versions of the vSphere API; the oldest version is 6.5
_OLDEST = (6, 5)


def __getattr__(name: str) -> Any:
    if name not in ("vim", "vmodl", "SoapStubAdapter"):
        raise AttributeError(name)
    found = globals()[name] = getattr(importlib.import_module("pyVmomi"), name)
    return found


def require() -> None:
    """Raise DependencyError unless pyVmomi is installed and knows a supported version of the vSphere API."""
    try:
        known = api_versions()
    except Exception as error:  # pyVmomi raises a plain Exception if Python is too old
        missing = isinstance(error, ImportError)
        raise DependencyError(
            "The Python library pyVmomi "
            + ("is missing on this host" if missing else f"on this host is not usable: {printable(error)}"),
            f"Install pyVmomi {MINIMUM} or later for the Python that runs the engine, "
            "or apply the role quiesce.vmware_zfs.runtime",
        ) from error
    if not known:
        raise DependencyError(
            "The Python library pyVmomi on this host is too old", f"Install pyVmomi {MINIMUM} or later"
        )


def api_versions() -> dict[str, str]:
    """Return the supported versions of the vSphere API that pyVmomi knows, the oldest first.

    They map the server's name of a version to pyVmomi's name: {"6.5": "vim.version.version11", ...}.
    """
    importlib.import_module("pyVmomi")  # fills the map
    names: dict[str, str] = importlib.import_module("pyVmomi.VmomiSupport").versionMap
    known = {
        key[len(_NAMESPACE) :]: name
        for key, name in names.items()
        if key.startswith(_NAMESPACE) and is_supported(key[len(_NAMESPACE) :])
    }
    return {version: known[version] for version in sorted(known, key=number)}


def is_supported(version: str) -> bool:
    """Return whether the engine supports this version of the vSphere API."""
    return number(version) >= _OLDEST and number(version)[0] in _SUPPORTED


def number(version: str) -> tuple[int, ...]:
    """Return a version for comparison: (8, 0, 3, 0) for "8.0.3.0", and () for a name that is not a number."""
    is_number = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){0,9}", version)
    return tuple(int(part) for part in version.split(".")) if is_number else ()
