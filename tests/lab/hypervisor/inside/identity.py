# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""UUIDs and MAC addresses of a VM, and whether its files were copied or moved."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

BIOS, VCENTER, LOCATION = "uuid.bios", "vc.uuid", "uuid.location"
_GENERATED = ("generated", "vpx")  # address types of network cards


def as_vmx(uuid: str) -> str:
    """Return a UUID as .vmx files have it: `56 4d 2a ... 01-9c ... 11`. Other text is not changed."""
    digits = re.sub(r"[^0-9a-fA-F]", "", uuid).lower()
    if len(digits) != 32:
        return uuid
    pairs = [digits[place : place + 2] for place in range(0, 32, 2)]
    return f"{' '.join(pairs[:8])}-{' '.join(pairs[8:])}"


def from_vmx(text: str) -> str:
    """Return a UUID of a .vmx file as the API has it: `564d2a..-....`. Other text is not changed."""
    digits = re.sub(r"[ -]", "", text).lower()
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        return text
    return "-".join(digits[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))


def location(vmx: Path) -> str:
    """Return the value of `uuid.location` for a .vmx file at this path."""
    return as_vmx(hashlib.sha256(str(vmx).encode()).hexdigest()[:32])


def is_copy(settings: dict[str, str], vmx: Path) -> bool:
    """Return whether the VM was powered on or created at another path."""
    return settings.get(LOCATION, location(vmx)) != location(vmx)


def moved(vmx: Path) -> dict[str, str]:
    """Return the settings of a VM that was moved: it keeps its identity."""
    return {LOCATION: location(vmx)}


def copied(settings: dict[str, str], vmx: Path) -> dict[str, str]:
    """Return the settings of a VM that was copied: a new BIOS UUID, and new MAC addresses where they are generated."""
    fresh = secrets.token_hex(16)
    cards = [key[: -len(".addressType")] for key, kind in settings.items() if _is_generated(key, kind)]
    addresses = {f"{card}.generatedAddress": mac(fresh + card) for card in cards}
    return {BIOS: as_vmx(fresh), **addresses, **moved(vmx)}


def _is_generated(key: str, kind: str) -> bool:
    return re.fullmatch(r"ethernet\d+\.addressType", key) is not None and kind in _GENERATED


def mac(seed: str) -> str:
    """Return a generated MAC address. The same seed gives the same address."""
    digits = hashlib.sha256(seed.encode()).hexdigest()
    return f"00:0c:29:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
