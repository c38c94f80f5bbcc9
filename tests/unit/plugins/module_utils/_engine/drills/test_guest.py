# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a VM that was powered on, and what a drill may be asked."""

from __future__ import annotations

import inspect
import time
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills import guest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.gate import Gate
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.guest import Look, look_at
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.drills.request import DrillRequest
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import ConnectionFailed, InputError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.snapshots.scheduler import Outcome
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.vm_now import VmNow
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.zfs.names import SnapshotName

RUNNING = VmNow("mail", "50", "[c] mail/mail.vmx", False, "poweredOn", "connected", None, "running", "green", "")
BOOTING = replace(RUNNING, tools="not running", heartbeat="gray")
BARE = replace(RUNNING, tools="not installed", heartbeat="gray")


class Watched:
    """Shows a VM in these states, one after the other. The last one stays."""

    def __init__(self, *states: Any) -> None:
        self.states = list(states)

    def state(self, vm_moid: str) -> VmNow | None:
        now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(now, Exception):
            raise now
        assert now is None or isinstance(now, VmNow)
        return now

    def forget(self, vm_moid: str) -> None:
        pass


def seen(*states: Any, expected: bool = False, limit: float = 0.0) -> Look:
    part = look_at(Watched(*states), "vm-1", limit, expected)  # type: ignore[arg-type]
    try:
        request = next(part)
        while True:
            time.sleep(min(0.01, request.seconds))  # type: ignore[union-attr]
            request = part.send(Outcome())
    except StopIteration as end:
        found: Look = end.value
        return found


AWAY = ConnectionFailed("vcenter did not answer", "Check the network")


@pytest.mark.parametrize(
    ("state", "verdict", "reason"),
    [
        (RUNNING, "verified", ""),
        (replace(RUNNING, heartbeat="yellow"), "verified", ""),
        (replace(RUNNING, heartbeat="red"), "failed", "the heartbeat is red"),
        (replace(RUNNING, heartbeat="gray"), "failed", "the heartbeat is gray"),
        (BOOTING, "failed", "VMware Tools did not run"),
        (BARE, "booted", "no VMware Tools"),
        (replace(RUNNING, power="poweredOff"), "failed", "went off by itself"),
        (replace(RUNNING, power="suspended"), "failed", "went off by itself"),
        (replace(RUNNING, connection="notResponding"), "inconclusive", "host is not connected"),
        (None, "inconclusive", "removed from the inventory"),
        (AWAY, "inconclusive", "did not answer"),
    ],
)
def test_what_is_seen_at_the_end_is_the_verdict(state: Any, verdict: str, reason: str) -> None:
    look = seen(state)
    assert look.verdict == verdict and reason in look.reason and bool(look.reason) is bool(reason)


def test_a_guest_that_starts_late_is_verified() -> None:
    assert seen(BARE, BOOTING, AWAY, RUNNING, limit=60).verdict == "verified"


def test_a_heartbeat_without_running_tools_proves_nothing() -> None:
    assert seen(replace(BOOTING, heartbeat="green")).verdict == "failed"


def test_tools_that_froze_the_guest_must_run_again() -> None:
    assert guest.expects_tools("application") and not guest.expects_tools("still")
    assert seen(BARE, expected=True).verdict == "failed"


def test_a_vm_without_tools_must_run_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "_SETTLED", 0.05)
    monkeypatch.setattr(guest, "_LOOK", 0.01)
    assert seen(BARE, replace(BARE, power="poweredOff"), limit=60).verdict == "failed"
    assert seen(BARE, limit=60).verdict == "booted"


def test_a_large_vm_is_not_passed_for_ever() -> None:
    gate = Gate(2, 4096)
    first, large, small = (gate.enter(memory) for memory in (2048, 4096, 1024))
    assert ended(first) and not ended(large) and not ended(small)
    gate.leave(2048)
    assert not ended(small) and ended(large) and not ended(small)
    gate.leave(4096)
    assert ended(small)


def ended(part: Any) -> bool:
    """Continue a part that waits, and return whether it has ended."""
    try:
        if inspect.getgeneratorstate(part) == inspect.GEN_CREATED:
            next(part)
        else:
            part.send(Outcome())
    except StopIteration:
        return True
    return False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vms": ("mail", "mail")}, "A VM was named twice"),
        ({"sample": -1}, "sample is -1"),
        ({"at_a_time": 0}, "at_a_time is 0"),
        ({"memory": -5}, "memory is -5"),
        ({"network": "keep"}, "cannot keep their networks"),
        ({"network": ""}, "cannot keep their networks"),
        ({"command": "look-at-vm"}, "not an absolute path"),
        ({"boot_timeout": 0.0}, "boot_timeout is 0"),
        ({"command_timeout": float("nan")}, "command_timeout is nan"),
        ({"snapshot": SnapshotName("tank/vmware", "a b/c")}, "not a valid snapshot name"),
    ],
)
def test_an_invalid_request_is_refused_before_a_login(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DrillRequest(**{"snapshot": SnapshotName("tank/vmware", "auto"), **options}).check()
