# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known status of the creation of a VMware snapshot. It determines how its absence must be verified."""

from __future__ import annotations

from enum import Enum


class Creation(str, Enum):
    """The status of a creation. The journal stores these values.

    UNASKED     not requested
    ASKED       requested, or about to be requested; nothing else is known
    MADE        succeeded
    FAILED      failed; an incomplete VMware snapshot may exist
    UNANSWERED  its end was not seen: the VMware snapshot may exist, or appear after a check has found it absent
    REPEATED    its end was not seen and it was requested again: two VMware snapshots with one name may appear
    OVERDUE     its end was not seen, but the VMware snapshot has been absent for so long that it will not appear
    """

    UNASKED = "unasked"
    ASKED = "asked"
    MADE = "made"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    REPEATED = "repeated"
    OVERDUE = "overdue"

    def may_run(self) -> bool:
        """Return whether the creation may still be running, so that the server's recent tasks must be checked."""
        return self is not Creation.MADE

    def may_come(self, seen: bool) -> bool:
        """Return whether a VMware snapshot may still appear when none exists. `seen`: one existed before."""
        return self is Creation.REPEATED or (self in (Creation.ASKED, Creation.UNANSWERED) and not seen)
