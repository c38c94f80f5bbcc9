# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying ZFS snapshots by exact name: never what lies below them, never a clone, never one that was made anew.

Channel programs (zfs-program(8)) destroy many in one process and look, in the same step, whether each is the one that
was meant.
"""

from __future__ import annotations

import json
from typing import Iterable, Mapping

from ..errors import ZfsError
from .command import Zfs

_BATCH = 100  # a program runs within one transaction group, during which the pool writes nothing else
_TIMEOUT = 600.0  # seconds
_PROGRAM = """
local result = {}
for _, word in ipairs((...)["argv"]) do
    local at = string.find(word, " ", 1, true)
    local born, name = string.sub(word, 1, at - 1), string.sub(word, at + 1)
    if not zfs.exists(name) then
        result[name] = "gone"
    elseif tostring(zfs.get_prop(name, "createtxg")) ~= born then
        result[name] = "another"
    else
        local error = zfs.sync.destroy(name)
        result[name] = error == 0 and "destroyed" or tostring(error)
    end
end
return result
"""
_DONE = ("destroyed", "gone")
_REASONS = {"another": "it is another snapshot of this name", "16": "it is in use", "17": "it has a clone"}


def destroy(zfs: Zfs, snapshots: Mapping[str, str]) -> dict[str, str]:
    """Destroy `snapshots`: names (`dataset@name`, one pool) with their `createtxg`, which tells equal names apart.

    Returns those that are still there, each with the reason.
    """
    kept: dict[str, str] = {}
    words = [f"{born} {name}" for name, born in snapshots.items()]
    for begin in range(0, len(words), _BATCH):
        batch = words[begin : begin + _BATCH]
        pool = batch[0].split(" ", 1)[1].split("@")[0].split("/")[0]
        said = json.loads(zfs.run("program", "-j", pool, "-", *batch, timeout=_TIMEOUT, script=_PROGRAM)).get("return")
        if said is None:
            raise ZfsError(f"'zfs program' on {pool} did not say what it destroyed", "Look with 'zfs list -t snapshot'")
        kept.update({name: code for name, code in said.items() if code not in _DONE})
    return _unmount_and_destroy(zfs, kept)


def _unmount_and_destroy(zfs: Zfs, kept: Mapping[str, str]) -> dict[str, str]:
    """A program cannot destroy what somebody has just read below .zfs/snapshot; the plain command unmounts it first."""
    reasons = {name: _REASONS.get(code, f"zfs refuses (error {code})") for name, code in kept.items()}
    for names in _by_dataset(name for name, code in kept.items() if code == "16").values():
        try:
            zfs.run("destroy", f"{names[0].split('@')[0]}@{','.join(name.split('@')[1] for name in names)}")
        except ZfsError as error:
            reasons.update({name: f"it is in use ({error.problem})" for name in names})
        else:
            reasons = {name: reason for name, reason in reasons.items() if name not in names}
    return reasons


def _by_dataset(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.split("@")[0], []).append(name)
    return found
