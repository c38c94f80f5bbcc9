# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroys ZFS snapshots by exact name: never those of child datasets, never a clone, never a newer one of that name.

A channel program (zfs-program(8)) destroys many snapshots in one process. It verifies the identity of each snapshot
and destroys it in the same transaction.
"""

from __future__ import annotations

from itertools import islice
from typing import Mapping

from ..errors import ZfsError
from ..grouping import grouped
from . import program
from .command import Zfs
from .names import SnapshotName

_TIMEOUT = 600.0  # seconds for a hundred snapshots
_PATIENCE = 50  # datasets, and snapshots of each, that are unmounted at a time; each dataset needs a process
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
_REASONS = {"another": "another snapshot has this name now", "16": "it is in use", "17": "it has a clone"}


def destroy(zfs: Zfs, snapshots: Mapping[str, str]) -> dict[str, str]:
    """Destroy `snapshots`: names (`dataset@name`) with their `createtxg`, which distinguishes snapshots of equal names.

    Returns the snapshots that still exist, each with the reason.
    """
    words = {name: f"{born} {name}" for name, born in snapshots.items()}
    codes = program.run(zfs, _PROGRAM, words, _TIMEOUT)
    return _unmount_and_destroy(zfs, {name: code for name, code in codes.items() if code not in _DONE})


def _unmount_and_destroy(zfs: Zfs, kept: Mapping[str, str]) -> dict[str, str]:
    """Destroy snapshots that are in use with `zfs destroy`, which unmounts them first.

    A snapshot is mounted after it was read through .zfs/snapshot, and a channel program cannot destroy it then. The
    system unmounts it soon by itself. If snapshots of many datasets are in use, the next run destroys the rest.
    """
    reasons = {name: _REASONS.get(code, f"zfs refuses (error {code})") for name, code in kept.items()}
    in_use = grouped(SnapshotName.of(name) for name, code in kept.items() if code == "16")
    for dataset, shorts in islice(in_use.items(), _PATIENCE):
        names = [str(SnapshotName(dataset, short)) for short in shorts[:_PATIENCE]]
        try:
            zfs.run("destroy", str(SnapshotName(dataset, ",".join(shorts[:_PATIENCE]))))
        except ZfsError as error:
            reasons.update({name: f"it is in use ({error.problem})" for name in names})
        else:
            for name in names:
                del reasons[name]
    return reasons
