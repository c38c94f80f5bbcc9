# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a run reacts to signals from a terminal and from a supervisor."""

from __future__ import annotations

import signal

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.stop import Stop, on_signals


def test_a_run_is_ended_by_signals_and_never_suspended_while_it_holds_vms() -> None:
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGTSTP", "SIGTTIN", "SIGTTOU")
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    stop = Stop()
    with on_signals(stop):
        for name in ("SIGTSTP", "SIGTTIN", "SIGTTOU"):
            assert signal.getsignal(getattr(signal, name)) is signal.SIG_IGN
            signal.raise_signal(getattr(signal, name))
        assert not stop.asked()
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason == "it was interrupted by SIGTERM"
    assert {name: signal.getsignal(getattr(signal, name)) for name in names} == before
