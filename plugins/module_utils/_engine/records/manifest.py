# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encodes the manifest of a record: compressed JSON as text, split into parts that fit into user properties."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Collection, Mapping

from ..zfs.snapshots import MAX_PROPERTY_VALUE
from .levels import LEVELS

PREFIX = "quiesce.vmware_zfs:"  # of all user properties of this collection
PART = PREFIX + "manifest."  # followed by the number of the part, starting at 0
MOST_BYTES = 32 * 2**20  # of JSON: about 50,000 VMs; compressed, it has fewer than 1,000 parts


def encode(manifest: Mapping[str, Any]) -> list[str]:
    """Encode a manifest and return its parts."""
    packed = zlib.compress(json.dumps(manifest, separators=(",", ":")).encode(), 9)
    text = base64.b64encode(packed).decode("ascii")
    return [text[at : at + MAX_PROPERTY_VALUE] for at in range(0, len(text), MAX_PROPERTY_VALUE)]


def parts_in(values: Mapping[str, str]) -> list[str]:
    """Return the parts of the manifest in a snapshot's properties, up to the first missing or empty part."""
    parts: list[str] = []
    while part := values.get(f"{PART}{len(parts)}"):
        parts.append(part)
    return parts


def decode(text: str, versions: Collection[int]) -> dict[str, Any]:
    """Decode the joined parts of a manifest and check its keys `vmware_snapshot`, `vms` and `problems`.

    Raises ValueError, zlib.error or RecursionError if the manifest is damaged or has another version.
    """
    inflate = zlib.decompressobj()  # limits the size: a received snapshot is untrusted and must not fill the memory
    packed = inflate.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
    if not inflate.eof:
        raise ValueError("the manifest is incomplete or too long")
    manifest = json.loads(packed)
    if not isinstance(manifest, dict) or manifest.get("version") not in versions:
        raise ValueError("the version of the manifest is unknown")
    name, vms, problems = (manifest.get(key) for key in ("vmware_snapshot", "vms", "problems"))
    if not (isinstance(name, str) and isinstance(vms, list) and isinstance(problems, list)):
        raise ValueError("a key of the manifest is missing or invalid")
    if not all(isinstance(vm, dict) and vm.get("level") in LEVELS for vm in vms):
        raise ValueError("a VM in the manifest has no valid level")
    return {**manifest, "problems": [str(problem) for problem in problems]}


DAMAGED = (ValueError, zlib.error, RecursionError)  # what decode raises
