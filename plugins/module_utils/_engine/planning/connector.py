# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connections of one run or one recovery."""

from __future__ import annotations

from dataclasses import replace

from ..secret import Secret
from ..state.engine import Engine
from ..vsphere.refusals import Refusals
from ..vsphere.session import Connect, Endpoint, Session


class Connector:
    """A `connect` that never sends a rejected password again.

    All sessions that it opens share the list of rejected passwords, even when they log in again.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect, self._refusals = connect, Refusals()

    def __call__(self, endpoint: Endpoint, username: str, password: Secret) -> Session:
        session = self._refusals.once(
            str(endpoint), username, password, lambda: self._connect(endpoint, username, password)
        )
        session.refusals = self._refusals
        return session


def with_connector(engine: Engine, connect: Connect | None = None) -> Engine:
    """Return the engine for one run or recovery: its logins share one Connector, over `connect` if given."""
    return replace(engine, connect=Connector(connect or engine.connect))
