# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks before and after the ZFS snapshot: what each VM has really reached, read from vSphere and never assumed."""

from __future__ import annotations

from typing import Iterable, Sequence

from ..text import counted, printable
from ..vsphere.vm_snapshots import VmState, states_on
from . import consistency
from .consistency import APPLICATION, CRASH, FILESYSTEM, STILL
from .quiesce import Hold
from .sites import Site

_GONE = "it was removed, or its files left the datastores, during the run"
_OUT_OF_SIGHT = "its host is not connected to vCenter any more, or its snapshots cannot be read"


def confirm(
    site: Site, datasets: Iterable[str], holds: Sequence[Hold], strangers_known: Iterable[str], name: str
) -> list[str]:
    """Write the level that each hold has reached to it; return what else lowers the whole, in words.

    One bulk read of all VMs that are on the site's datastores now. `strangers_known` are the VMs (managed object IDs)
    there that have no hold of this site; whoever else runs there came after the plan. `name` is that of the run's
    VMware snapshots. Raises VSphereError.
    """
    now = states_on(site.session, site.carrying(datasets))
    for hold in holds:
        _confirm_one(hold, now.get(hold.member.moid), name)
    known = {hold.member.moid for hold in holds}.union(strangers_known)
    came = [moid for moid, state in now.items() if moid not in known and state.power == "poweredOn"]
    if came:
        return [
            f"{counted(len(came), 'running VM')} came to the datastores of {site.server} during the run: "
            + printable(", ".join(came))
        ]
    return []


def not_held(site: Site, datasets: Iterable[str], holds: Sequence[Hold], name: str) -> dict[str, str]:
    """Those of `holds` that did not last, with why, by the VM's managed object ID: read after the ZFS snapshot.

    A VMware snapshot that was there before it and is there after it was there all the time, and so was a VM on the
    datastores. Raises VSphereError.
    """
    now = states_on(site.session, site.carrying(datasets))
    found = {}
    for hold in (hold for hold in holds if hold.level != CRASH):
        state = now.get(hold.member.moid)
        if state is None:
            found[hold.member.moid] = _GONE
        elif not state.seen:
            found[hold.member.moid] = _OUT_OF_SIGHT
        elif hold.level == STILL:
            if state.power == "poweredOn":
                found[hold.member.moid] = "it was powered on during the run"
        elif not any(snapshot.moid == hold.snapshot for snapshot in state.named(name)):
            found[hold.member.moid] = "somebody else removed its VMware snapshot during the run"
    return found


def _confirm_one(hold: Hold, state: VmState | None, name: str) -> None:
    if hold.level != CRASH and (state is None or not state.seen):
        _lower(hold, "vm", _OUT_OF_SIGHT if state else _GONE)
    elif hold.level == STILL:
        if state is not None and state.power == "poweredOn":
            _lower(hold, "vm", "it was powered on during the run")
    elif hold.snapshot and not hold.failed:
        found = next(
            (snapshot for snapshot in (state.named(name) if state else ()) if snapshot.moid == hold.snapshot), None
        )
        if found is None:
            _lower(hold, "vm", "its VMware snapshot was gone before the ZFS snapshot")
        elif hold.quiesced and not found.quiesced:
            _lower(hold, "quiesce", "vSphere took its snapshot without quiescing it: check VMware Tools in the guest")
        elif not hold.quiesced:
            hold.level = CRASH
        else:
            reached = consistency.of_quiesced(hold.member.guest, found.manifest)
            if hold.level == APPLICATION and reached == FILESYSTEM:
                hold.reason = "its VMware snapshot holds no VSS manifest, so its applications were not prepared"
            hold.level = consistency.lowest((hold.level, reached))
    else:
        hold.level = CRASH


def _lower(hold: Hold, hindrance: str, reason: str) -> None:
    hold.level, hold.hindrance, hold.reason = CRASH, hindrance, reason
