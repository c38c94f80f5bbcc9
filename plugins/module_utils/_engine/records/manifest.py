# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a record: JSON, compressed, as text in parts that fit into user properties."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Collection, Mapping

from ..zfs.snapshots import MAX_PROPERTY_VALUE
from .levels import LEVELS

PREFIX = "quiesce.vmware_zfs:"  # of all our user properties
PART = PREFIX + "manifest."  # and the number of the part, from 0 on
MOST_BYTES = 32 * 2**20  # of JSON, some 50,000 VMs; compressed it has fewer parts than three digits can count


def encode(manifest: Mapping[str, Any]) -> list[str]:
    """The parts of the manifest."""
    packed = zlib.compress(json.dumps(manifest, separators=(",", ":")).encode(), 9)
    text = base64.b64encode(packed).decode("ascii")
    return [text[at : at + MAX_PROPERTY_VALUE] for at in range(0, len(text), MAX_PROPERTY_VALUE)]


def parts_in(values: Mapping[str, str]) -> list[str]:
    """The parts of the manifest in a snapshot's properties, up to the first that is missing or empty."""
    parts: list[str] = []
    while part := values.get(f"{PART}{len(parts)}"):
        parts.append(part)
    return parts


def decode(text: str, versions: Collection[int]) -> dict[str, Any]:
    """The manifest in its joined parts: its keys `vmware_snapshot`, `vms` and `problems` are what they should be.

    Raises ValueError, zlib.error or RecursionError for one that is damaged or of another version.
    """
    inflate = zlib.decompressobj()  # a snapshot may have been received from anywhere: it must not fill the memory
    packed = inflate.decompress(base64.b64decode(text, validate=True), MOST_BYTES)
    if not inflate.eof:
        raise ValueError("the manifest does not end, or is too long")
    manifest = json.loads(packed)
    if not isinstance(manifest, dict) or manifest.get("version") not in versions:
        raise ValueError("no manifest of a known version")
    name, vms, problems = (manifest.get(key) for key in ("vmware_snapshot", "vms", "problems"))
    if not (isinstance(name, str) and isinstance(vms, list) and isinstance(problems, list)):
        raise ValueError("the manifest lacks a part")
    if not all(isinstance(vm, dict) and vm.get("level") in LEVELS for vm in vms):
        raise ValueError("a VM in the manifest has no level")
    return {**manifest, "problems": [str(problem) for problem in problems]}


DAMAGED = (ValueError, zlib.error, RecursionError)  # what decode raises
