# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A power cut of the storage host, with the engine and its database on the storage host itself, as users have them.

The real VMs stop for the time without power, and go on then.
"""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.lab.push import engine_files, push
from tests.lab.simulator import Simulator
from tests.lab.storage_host import StorageHost

from . import engine_process, judge
from .disks import THE_END
from .episode import Verdict
from .stage import PATIENCE, Hung, Stage

PLACE = "/var/lib/chaos"  # on the storage host
PYTHON = "/opt/vmware-zfs/venv/bin/python"
PACKAGE = "ansible_collections/quiesce/vmware_zfs/plugins/module_utils/_engine"
AFTER_ZFS_SNAPSHOT = "zfs-snapshot:after:1"
INSTANTS = (
    "create:after:3",
    AFTER_ZFS_SNAPSHOT,
    "set_state:releasing:after:1",
    "remove:after:2",
    "gone:after:1",
    "keep_seals:after:1",
    "zfs-seal:before:1",
    "zfs-seal:after:1",
)

_ADD_CREDENTIALS = """
import json, sys
from pathlib import Path
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.identity import StorageHost
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credential
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import Credentials
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
state = Path(sys.argv[1])
with Credentials.open(Paths(state / "db", state / "etc" / "key")) as credentials:
    for given in json.load(sys.stdin):
        password = Secret(given.pop("password"))
        credentials.insert(Credential("", "", "").merged(given), password)
print(StorageHost.here(Paths(state / "db", state / "etc" / "key")).id)
"""


def drawn_instant(rng: random.Random) -> str:
    """While the VMs are held, released or the records sealed."""
    return rng.choice([one for one in INSTANTS if one != AFTER_ZFS_SNAPSHOT])


def play(folder: Path, host: StorageHost, first: str) -> Verdict:
    """Two runs, the power cut once at the instant `first`, and once right after the ZFS snapshot."""
    stage = Stage(folder, host, "tank/power", real=True)
    verdict = Verdict()
    try:
        guest = _Guest(stage)
        for instant in (first, AFTER_ZFS_SNAPSHOT):
            _cut_at(instant, stage, guest, verdict)
    except Exception as error:
        verdict.harness_broke(error)
    finally:
        if verdict.violated():
            verdict.suspect(stage)
        stage.close()
    return verdict


class _Guest:
    """The engine on the storage host, whose clock has another offset to this machine's after each start."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._number = stage, 0
        self._push()
        given = [
            {
                "hostname": "10.0.2.2", "port": vcenter.port, "username": vcenter.user, "password": vcenter.password,
                "filesystem": stage.dataset, "ca_path": f"{PLACE}/{name}.pem",
            }
            for name, vcenter in self._vcenters()
        ]  # fmt: skip
        command = ["env", f"PYTHONPATH={PLACE}", PYTHON, "-c", _ADD_CREDENTIALS, f"{PLACE}/state"]
        self.id = stage.host.ssh(command, input=json.dumps(given)).stdout.strip()
        self._clocks: list[tuple[int, float, float]] = []  # from which line of the diary on, offset at least, at most
        self.compare_clocks()

    def _push(self) -> None:
        """The engine, this harness's part of it and the certificate authority."""
        self._stage.host.ssh(["mkdir", "-p", "-m", "700", f"{PLACE}/zfs", f"{PLACE}/state"])
        files = {
            **engine_files(f"{PLACE}/{PACKAGE}"),
            f"{PLACE}/engine_process.py": Path(str(engine_process.__file__)),
            f"{PLACE}/bin/zfs": Path(__file__).parent / "zfs",
            **{f"{PLACE}/{name}.pem": vcenter.ca_path for name, vcenter in self._vcenters()},
        }
        push(self._stage.host, files)

    def _vcenters(self) -> list[tuple[str, Simulator]]:
        return [("first", self._stage.vcenter), ("second", self._stage.second)]

    def compare_clocks(self) -> None:
        """After each start of the host. Asking takes a while, so there is an interval that the offset lies in."""
        lines = len(self._lines())
        before = time.time()
        clock = float(self._stage.host.ssh(["date", "+%s.%N"]).stdout)
        self._clocks.append((lines, clock - time.time(), clock - before))

    def _lines(self) -> list[str]:
        """The diary as it is; it begins with the first command that takes or lists a snapshot."""
        log = f"{PLACE}/zfs/log"
        return self._stage.host.ssh(["sh", "-c", f"if [ -e {log} ]; then cat {log}; fi"]).stdout.splitlines()

    def start(self, **task: Any) -> "subprocess.Popen[str]":
        self._number += 1
        task = {
            "environment": self._environment(), "state": f"{PLACE}/state", "locks": "/run/chaos", "call_timeout": 30.0,
            "dataset": self._stage.dataset, "snapshot": f"power-{self._number}",
            "policy": {"vm_timeout": 60.0, "max_hold": 120.0}, **task,
        }  # fmt: skip
        words = ["env", f"PYTHONPATH={PLACE}", PYTHON, f"{PLACE}/engine_process.py", json.dumps(task)]
        line = " ".join(shlex.quote(word) for word in words)
        return subprocess.Popen(
            ["ssh", "-F", str(self._stage.host.ssh_config), "storage", line],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return {
            "CHAOS_ZFS": f"{PLACE}/zfs",
            "CHAOS_REAL_ZFS": "/usr/sbin/zfs",
            "CHAOS_SYNC": "yes",
            "CHAOS_ROOTS": self._stage.dataset,
            "PATH": f"{PLACE}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        }

    def dump(self, label: str) -> None:
        """Note the records as they are now."""
        environment = [f"{name}={value}" for name, value in self._environment().items()]
        self._stage.host.ssh(["env", *environment, f"{PLACE}/bin/zfs", "chaos-dump", label])

    def dumps(self) -> dict[str, str]:
        """The dumps so far, by their numbers."""
        script = f"cd {PLACE}/zfs/dumps && for file in [0-9]*[0-9]; do printf '\\f%s\\n' $file; cat $file; done"
        pages = self._stage.host.ssh(["bash", "-ec", script]).stdout.split("\f")
        return {number: text for number, _unused, text in (page.partition("\n") for page in pages)}

    def diary(self) -> list[tuple[str, float, str]]:
        """In this machine's time: of what the clocks leave open a begin is the latest, all else the earliest."""
        entries = []
        for number, line in enumerate(self._lines()):
            words = line.rstrip("\0").split(" ", 2)
            _unused, least, most = [clock for clock in self._clocks if clock[0] <= number][-1]
            if len(words) == 3:
                entries.append((words[0], float(words[1]) - (least if words[0] == "begin" else most), words[2].strip()))
        return entries


def _cut_at(instant: str, stage: Stage, guest: _Guest, verdict: Verdict) -> None:
    before = judge.foreign(stage.machines(), {guest.id})
    run = guest.start(what="run", wait_at=[instant])
    assert run.stdout is not None
    said = run.stdout.readline()
    if json.loads(said or "{}").get("at") != instant:
        verdict.other.append(f"the run on the storage host did not come to {instant}: {said}{run.communicate()[1]}")
        return
    stage.host.power_cut()
    run.communicate()
    verdict.faults["power cut of the storage host"] += 1
    stage.host.boot()
    guest.compare_clocks()
    guest.dump(f"power cut at {instant}")
    begun = time.monotonic()
    for later in (False, True):
        stage.wait_idle()
        recovery = guest.start(what="recover", later=later)
        try:
            output, complaint = recovery.communicate(timeout=2 * PATIENCE)
        except subprocess.TimeoutExpired:
            recovery.kill()
            raise Hung("the recovery after a power cut did not end") from None
        if "result" not in (json.loads(output) if output else {}):
            verdict.other.append(f"the recovery after a power cut at {instant} said: {output}{complaint}")
    verdict.recover_seconds = max(verdict.recover_seconds, (time.monotonic() - begun) / 2)
    guest.dump(THE_END)
    machines = stage.machines()
    verdict.left_behind += judge.left_behind(machines, {guest.id})
    verdict.foreign_lost += judge.foreign_lost(before, judge.foreign(machines, {guest.id}))
    verdict.judge_records(stage, judge.observe(guest.diary(), guest.dumps()))
    stage.destroy_snapshots()
