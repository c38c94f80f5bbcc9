# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renames a VM. The name is in the journal before, so that it can be undone."""

from __future__ import annotations

from functools import partial

from ..errors import RestoreFailed
from ..text import printable
from ..vsphere.registration import start_rename
from ..vsphere.session import Session
from ..vsphere.vm_now import read_one
from .flow import Part, Requests, Steps, is_kind

LONGEST = 80  # characters of a name in vSphere


def rename(
    requests: Requests,
    steps: Steps,
    vm_moid: str,
    before: str,
    after: str,
    instance_uuid: str,
    vmx_path: str,
) -> Part[None]:
    """Rename a VM (managed object ID) from `before` to `after`.

    The instance UUID and the path of the VM identify it if it is renamed back.
    """
    step = steps.intend(
        "rename",
        {
            "vm_moid": vm_moid,
            "before": before,
            "after": after,
            "instance_uuid": instance_uuid,
            "vmx_path": vmx_path,
        },
    )
    yield from change_name(requests, vm_moid, after)
    steps.done(step)


def change_name(requests: Requests, vm_moid: str, name: str) -> Part[None]:
    """Give a VM a name. Raises RestoreFailed if it is taken."""
    try:
        yield from requests.carry_out(
            "The renaming of the VM", start_rename, vm_moid, name, look=partial(_has_name, vm_moid=vm_moid, name=name)
        )
    except RestoreFailed as error:
        if not is_kind(error, "DuplicateName"):
            raise
        raise RestoreFailed(
            f"The name '{printable(name, 80)}' is taken by another VM in the same folder", "Choose another name"
        ) from error


def shortened_to_fit(name: str, ending: str) -> str:
    """Return the name with the ending, in at most as many characters as vSphere allows."""
    return name[: LONGEST - len(ending)] + ending


def _has_name(session: Session, vm_moid: str, name: str) -> str:
    now = read_one(session, vm_moid)
    return name if now is not None and now.name == name else ""
