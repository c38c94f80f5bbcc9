# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the version of the vSphere API for a session: the oldest one that both the server and pyVmomi support.

Servers and pyVmomi drop old versions over time. An old version is enough, because the engine uses nothing newer.
"""

from __future__ import annotations

import sys
from xml.etree import ElementTree

from ..errors import ApiUnsupported
from ..text import printable
from . import sdk
from .https import Https

_FILE = "/sdk/vimServiceVersions.xml"
_LARGEST = 1024 * 1024  # bytes of the file; real ones have about 2,000
_NAMESPACE = "urn:vim25"


def choose(https: Https, server: str) -> str:
    """Return pyVmomi's name of the version, for example `vim.version.version11`. Makes one request, before any login.

    If the server returns no version file, the result is the oldest version that pyVmomi knows: every server that
    supports it understands it, and others refuse the first call. Raises ApiUnsupported if there is no common version,
    OSError and HTTPException.
    """
    known = sdk.api_versions()
    offered = _read(https)
    if offered is None:
        return next(iter(known.values()))
    try:
        return next(name for version, name in known.items() if version in offered)
    except StopIteration:
        raise _nothing_in_common(server, offered, list(known)) from None


def _read(https: Https) -> set[str] | None:
    """Return the versions that the server offers, or None if it has no valid version file."""
    try:
        response = https.request("GET", _FILE, {"Accept": "text/xml"})
        if response.status != 200 or len(response.body) > _LARGEST:
            return None
        root = ElementTree.fromstring(response.body, ElementTree.XMLParser(target=_Tree()))
    except (ValueError, LookupError, ElementTree.ParseError):
        return None
    finally:
        https.close()
    if root.tag != "namespaces":
        return None
    found = [one for one in root.findall("namespace") if (one.findtext("name") or "").strip() == _NAMESPACE]
    return {(version.text or "").strip() for one in found for version in one.iter("version")}


class _Tree(ElementTree.TreeBuilder):
    """Refuses a document type, because it can define entities that fill the memory."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("a version file has no document type")


def _nothing_in_common(server: str, offered: set[str], known: list[str]) -> ApiUnsupported:
    numbers = sorted((version for version in offered if sdk.number(version)), key=sdk.number)
    if not numbers:
        return ApiUnsupported(
            f"{server} does not offer the vSphere API", "Check that hostname and port belong to a vCenter or ESXi host"
        )
    problem = f"{server} offers only {_shown(numbers)}"
    newer = sdk.number(numbers[-1]) > sdk.number(known[-1])
    if not any(map(sdk.is_supported, numbers)):
        remedy = "Install a newer release of this collection" if newer else "Update the server"
        return ApiUnsupported(f"{problem}, and this release of the collection supports 6.5 to 9", remedy)
    return ApiUnsupported(
        f"{problem}, and the Python library pyVmomi on this host knows only {_shown(known)}",
        f"Update it with '{sys.executable} -m pip install --upgrade pyVmomi'"
        if newer
        else "Update the server, or install an older pyVmomi",
    )


def _shown(versions: list[str]) -> str:
    ends = dict.fromkeys((versions[0], versions[-1]))
    return f"vSphere API {printable(' to '.join(ends), 60)}"
