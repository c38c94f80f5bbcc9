# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroying ZFS snapshots by exact name: never what lies below them, never a clone, never one that was made anew.

Channel programs (zfs-program(8)) destroy many in one process and look, in the same step, whether each is the one that
was meant.
"""

from __future__ import annotations

from itertools import islice
from typing import Iterable, Mapping

from ..errors import ZfsError
from . import program
from .command import Zfs

_TIMEOUT = 600.0  # seconds for a hundred snapshots
_PATIENCE = 50  # datasets, and snapshots of each, that are unmounted at a time: that takes a process per dataset
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
    """Destroy `snapshots`: names (`dataset@name`) with their `createtxg`, which tells equal names apart.

    Returns those that are still there, each with the reason.
    """
    words = {name: f"{born} {name}" for name, born in snapshots.items()}
    said = program.run(zfs, _PROGRAM, words, _TIMEOUT)
    return _unmount_and_destroy(zfs, {name: code for name, code in said.items() if code not in _DONE})


def _unmount_and_destroy(zfs: Zfs, kept: Mapping[str, str]) -> dict[str, str]:
    """A program cannot destroy what somebody has just read below .zfs/snapshot; the plain command unmounts it first.

    The system unmounts them by itself soon; of what is in use on many datasets most is left to the next turn.
    """
    reasons = {name: _REASONS.get(code, f"zfs refuses (error {code})") for name, code in kept.items()}
    in_use = _by_dataset(name for name, code in kept.items() if code == "16")
    for dataset, shorts in islice(in_use.items(), _PATIENCE):
        names = [f"{dataset}@{short}" for short in shorts[:_PATIENCE]]
        try:
            zfs.run("destroy", f"{dataset}@{','.join(shorts[:_PATIENCE])}")
        except ZfsError as error:
            reasons.update({name: f"it is in use ({error.problem})" for name in names})
        else:
            for name in names:
                del reasons[name]
    return reasons


def _by_dataset(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        dataset, _unused, short = name.partition("@")
        found.setdefault(dataset, []).append(short)
    return found
