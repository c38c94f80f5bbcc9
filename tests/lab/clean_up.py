# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop all processes, unmount everything, and delete the work files of this checkout."""

from __future__ import annotations

from . import simulator
from .cache import locked
from .commands import remove_tree
from .hypervisor.host import Hypervisor
from .places import BUILD, cache_root
from .storage_host import labs, remove_all


def main() -> None:
    """Stop all labs and simulators, and remove build/ and the partial builds in the cache."""
    for record in BUILD.rglob(simulator.RECORD):
        simulator.end_stray(record.parent)
    for lab in labs():
        Hypervisor(lab).down()
    remove_all()
    remove_tree(BUILD)
    for partial in cache_root().glob("*.partial"):
        try:
            with locked(partial.with_suffix(".lock"), wait=False):
                remove_tree(partial)
        except BlockingIOError:
            pass  # another checkout is building it
    print("Nothing of this checkout runs or is mounted, and build/ is gone; what was built stays in the cache.")
