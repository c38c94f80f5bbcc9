# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the hypervisor answers when it refuses a call."""

from __future__ import annotations


class Refused(Exception):
    """A call that is refused. `fault` is the name of the vSphere fault that fits best."""

    def __init__(self, fault: str, text: str) -> None:
        super().__init__(text)
        self.fault = fault
