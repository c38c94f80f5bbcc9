# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""More addresses of this storage host; the argument spec is ALIASES of _ansible.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  aliases:
    description:
      - Additional host names and IP addresses that ESXi hosts use to reach this storage host. Use this for addresses
        that are not configured on this storage host, such as NAT addresses or a virtual address that is currently on
        another cluster node.
    type: list
    elements: str
    default: []
"""
