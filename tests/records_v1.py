# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records as release 1.0.0 wrote them, by its own way of writing: the engine of today only reads them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

PREFIX = "quiesce.vmware_zfs:"


def properties(
    run: str,
    host: str = "",
    consistency: str = "filesystem",
    complete: bool = True,
    held_until: int = 2**40,
    task: str = "",
    vmware_snapshot: str = "",
    vms: Sequence[dict[str, Any]] = (),
    problems: Sequence[str] = (),
) -> dict[str, str]:
    """The user properties that `zfs snapshot -o` got."""
    manifest = {"version": 1, "vmware_snapshot": vmware_snapshot, "vms": list(vms), "problems": list(problems)}
    text = base64.b64encode(zlib.compress(json.dumps(manifest, separators=(",", ":")).encode(), 9)).decode()
    chunks = [text[at : at + 8191] for at in range(0, len(text), 8191)]
    values = {
        "run": run,
        "host": host,
        "consistency": consistency,
        "complete": "yes" if complete else "no",
        "held_until": str(held_until),
        **({"task": task} if task else {}),
        **{f"manifest.{number}": chunk for number, chunk in enumerate(chunks)},
    }
    return {PREFIX + name: value for name, value in values.items()}
