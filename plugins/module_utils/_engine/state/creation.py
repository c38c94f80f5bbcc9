# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the creation of a VMware snapshot: it decides how its absence has to be proved."""

from __future__ import annotations

from enum import Enum


class Creation(str, Enum):
    """The values are those that the journal stores.

    UNASKED     it was never asked for
    ASKED       it was asked for, or is about to be; nothing more is known
    MADE        it succeeded
    FAILED      it ended without success; half a VMware snapshot may be left
    UNANSWERED  nobody saw it end: it may be there, or come to be even after its absence was seen
    REPEATED    nobody saw it end and it was asked for again: two may come to be, of one name
    OVERDUE     nobody saw it end, but it was absent for so long that it will not come to be any more
    """

    UNASKED = "unasked"
    ASKED = "asked"
    MADE = "made"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    REPEATED = "repeated"
    OVERDUE = "overdue"

    def may_run(self) -> bool:
        """Whether the server may still be at it, so that its recent tasks have to be looked at."""
        return self is not Creation.MADE

    def may_come(self, seen: bool) -> bool:
        """Whether a VMware snapshot may come to be after none is there. `seen`: one was there."""
        return self is Creation.REPEATED or (self in (Creation.ASKED, Creation.UNANSWERED) and not seen)
