# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of scenarios: what each run of the engine has to come to, whatever server it works with."""

from __future__ import annotations

from .creating import CREATING
from .model import Scenario
from .others import OTHERS
from .plain import PLAIN
from .policies import POLICIES
from .releasing import RELEASING_ROWS
from .servers import SERVERS
from .storage import STORAGE
from .unreadable import UNREADABLE

SCENARIOS: tuple[Scenario, ...] = (
    *PLAIN,
    *POLICIES,
    *CREATING,
    *RELEASING_ROWS,
    *SERVERS,
    *OTHERS,
    *STORAGE,
    *UNREADABLE,
)
assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
