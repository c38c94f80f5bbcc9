# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the schedule of a storage host without a controller: the timer, a power cut, and retention.

`make demo` and the molecule scenarios test the roles that configure this.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from typing import Iterator

import pytest

from tests.lab.storage_host import StorageHost

from .conftest import StartVcenter
from .engine_there import bring, enrol, have, remove_timer
from .scene import ended, nfs

SERVICE, AGAIN = "vmware-zfs-task@1.service", "vmware-zfs-again-1.timer"
COMMAND = "/usr/local/bin/vmware-zfs"


@pytest.fixture
def host() -> Iterator[StorageHost]:
    host = StorageHost("scheduled")
    host.reset()
    yield host
    host.down()


def taken(host: StorageHost) -> list[str]:
    """Return the ZFS snapshots of tank/vmware, oldest first."""
    listing = host.ssh(
        ["zfs", "list", "-H", "-o", "name", "-t", "snapshot", "-s", "creation", "-d", "1", "tank/vmware"]
    )
    return listing.stdout.split()


def wait_for_another(host: StorageHost, known: list[str], seconds: float) -> str:
    """Wait for the first ZFS snapshot that is not `known` and for the end of its run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        new = [name for name in taken(host) if name not in known]
        runs = json.loads(host.ssh(["vmware-zfs", "status", "--json"], check=False).stdout)["runs"]
        if new and runs[0]["state"] == "ended" and runs[-1]["state"] != "alive":
            return new[0]
        time.sleep(1.0)
    said = host.ssh(["journalctl", "--unit", "vmware-zfs-task@1.*", "--output=cat", "--lines=40"]).stdout
    raise AssertionError(f"no snapshot within {seconds:g} s: {said}")


def own(host: StorageHost, snapshot: str) -> dict[str, str]:
    """Return the properties of the snapshot from zfs."""
    rows = host.ssh(["zfs", "get", "-H", "-p", "-o", "property,value,source", "all", snapshot]).stdout.splitlines()
    return {name: value for name, value, source in (row.split("\t") for row in rows) if source == "local"}


def result(host: StorageHost) -> dict[str, str]:
    """Wait for the service of the task and return its result."""
    host.ssh(["sh", "-c", f"while systemctl is-active {SERVICE} | grep -q activating; do sleep 0.5; done"])
    shown = host.ssh(["systemctl", "show", SERVICE, "--property=Result,ExecMainStatus"]).stdout
    return dict(line.split("=", 1) for line in shown.split())


def log_with(host: StorageHost, text: str) -> str:
    """Wait until the log of the service contains the text. A run can start immediately after the previous one."""
    deadline = time.monotonic() + 240
    while text not in (log := host.ssh(["journalctl", "--unit", SERVICE, "--output=cat"]).stdout):
        assert time.monotonic() < deadline, log
        time.sleep(1.0)
    return log


def stop_timer_after_start(host: StorageHost) -> None:
    """Wait until the timer has started the service, and stop the timer. The run goes on."""
    begun = f"until systemctl is-active {SERVICE} | grep -q activating; do sleep 0.2; done"
    host.ssh(["sh", "-c", f"{begun}; systemctl stop vmware-zfs-task@1.timer"], timeout=300)


def clock(host: StorageHost) -> datetime:
    return datetime.fromtimestamp(int(host.ssh(["date", "+%s"]).stdout))


def test_the_timer_takes_them_a_power_cut_delays_one_and_retention_lets_go(
    host: StorageHost, start_vcenter: StartVcenter
) -> None:
    vcenter = start_vcenter(nfs("vmware", "tank/vmware", {"name": "web"}, {"name": "db", "guest": "windows"}))
    bring(host)

    # Start the service as the timer does: the trace shows the quiesce, zfs shows the record.
    key = have(host, {}, enrol(vcenter, host))
    host.ssh(["systemctl", "start", "--no-block", SERVICE])
    first = wait_for_another(host, [], 300)
    assert {task["vm_name"] for task in ended(vcenter, "CreateSnapshot") if task.get("quiesced")} >= {"web", "db"}
    record = own(host, first)
    assert record["quiesce.vmware_zfs:task"] == key and record["quiesce.vmware_zfs:complete"] == "yes"
    assert record["quiesce.vmware_zfs:consistency"] == "filesystem"
    assert not [tree for trees in vcenter.snapshots().values() for tree in trees]

    # systemd uses a fixed delay within the jitter for this host and task. The name is that of the minute.
    shown = host.ssh(
        ["systemctl", "show", "vmware-zfs-task@1.timer", "--property=RandomizedDelayUSec,FixedRandomDelay"]
    )
    assert sorted(shown.stdout.split()) == ["FixedRandomDelay=yes", "RandomizedDelayUSec=30s"]

    # Due once, while the power is off. The run starts after booting.
    now = clock(host)
    due = now.replace(second=0) + timedelta(minutes=1 if now.second < 20 else 2)
    have(host, {"minute": str(due.minute), "hour": str(due.hour)})
    known = taken(host)
    assert clock(host) < due, "the storage host was too slow"
    host.power_cut()
    time.sleep(max(0.0, (due - datetime.now()).total_seconds() + 1.0))
    host.boot()
    started = clock(host)
    late = wait_for_another(host, known, 300)
    assert own(host, late)["quiesce.vmware_zfs:complete"] == "yes"
    assert started > due
    time.sleep(10.0)  # further timer events do not repeat it
    assert [name for name in taken(host) if name not in known] == [late]

    # Two hours later, the snapshots of the task are destroyed, except held ones and those of a user.
    host.ssh(["zfs", "hold", "keep", first])
    host.ssh(["zfs", "snapshot", "tank/vmware@by-hand"])
    known = taken(host)
    have(host, {})
    vcenter.rule(method="CreateSnapshot.*", vm="db", count=1, effect="task_fault", fault="ApplicationQuiesceFault")
    host.ssh(["date", "-s", "+2 hours"])
    stop_timer_after_start(host)  # on a slow machine, the next run would begin before this one is examined
    doubted = wait_for_another(host, known, 300)
    assert "Failed with result 'exit-code'" in log_with(host, "code=exited, status=3/")
    warnings = host.ssh(["journalctl", "--unit", SERVICE, "--priority", "warning", "--output=cat"]).stdout
    assert "not complete: The VM 'db'" in warnings and "nothing is destroyed this time" in warnings
    assert late in taken(host), "the clock may be wrong"
    vcenter.clear_rules()
    host.ssh(["systemctl", "start", "vmware-zfs-task@1.timer"])
    host.ssh(["date", "-s", "+40 seconds"])
    newest = wait_for_another(host, [*known, doubted], 300)
    deadline = time.monotonic() + 240
    while late in taken(host) and time.monotonic() < deadline:
        time.sleep(1.0)
    left = taken(host)
    assert late not in left and {first, doubted, newest, "tank/vmware@by-hand"} <= set(left)

    # A run that cannot begin: the service is started again later and is listed as failed in the meantime.
    host.ssh(["systemctl", "stop", "vmware-zfs-task@1.timer"])
    result(host)
    replaced = (
        f"rm {COMMAND}; printf '#!/bin/sh\\nexit 75\\n' >{COMMAND}; chmod 755 {COMMAND}; systemctl start {SERVICE}"
    )
    assert host.ssh(["sh", "-c", replaced], check=False).returncode
    assert result(host) == {"Result": "exit-code", "ExecMainStatus": "75"}
    assert host.ssh(["systemctl", "is-active", AGAIN]).stdout == "active\n"

    # After the timer is removed, nothing starts the service any more.
    remove_timer(host)
    host.ssh(["systemctl", "stop", AGAIN])
    assert host.ssh(["systemctl", "list-timers", "--all", "--no-legend", "vmware-zfs-*"]).stdout == ""
