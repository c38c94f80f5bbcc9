# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run meets its faults: a vCenter that breaks, real ZFS, and an engine in a process that can be killed."""

from __future__ import annotations

import errno
import fcntl
import itertools
import multiprocessing
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.errors import RegistryError, VSphereError
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.secret import Secret
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state import identity
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.cipher import Cipher
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.credentials import (
    Credential,
    Credentials,
)
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.database import Database, Paths
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.state.journal import Journal
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import sdk
from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere.session import (
    Endpoint,
    Session,
    Timeouts,
    connect,
)

from tests.lab.places import GUEST
from tests.lab.simulator import USER, Simulator, SimulatorError
from tests.lab.storage_host import StorageHost

from . import disks, engine_process, judge, restore_process
from .truth import Place, Truth, read_trace

LAB = "chaos"  # the storage host's name
OWN_MOUNTS = "CHAOS_OWN_MOUNTS"  # set where a mount ends with this process: the state gets a file system of its own
PATIENCE = 90.0  # seconds after which a run or a recovery counts as one that hangs
_AHEAD = 0.5  # seconds
FAILING_POOL = "failing"  # a pool whose disk can be made to fail
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([engine_process.__name__, restore_process.__name__])
_numbers = itertools.count(1)

SIMULATED = ("web-1", "web-2", "web-3", "mail", "ledger")  # of the first vCenter, that run
VMS = (*SIMULATED, *disks.WRITING)
WINDOWS = {"mail", disks.WRITING[1]}
INVENTORY = (
    {"name": "web-1"}, {"name": "web-2"}, {"name": "web-3", "disks": [{}, {"datastore": "local"}]},
    {"name": "mail", "guest": "windows", "guest_id": "windows2019srv_64Guest"},
    {"name": "archive", "power": "off"},
)  # fmt: skip
VISITOR = {"name": "visitor", "iso": "main"}  # only an ISO image of it is on a dataset, until somebody moves its disk
REMOTE = "remote"  # the VM of the second vCenter

PREPARE = """
zfs list -H -o name {dataset} >/dev/null 2>&1 && zfs destroy -r {dataset}
zfs create {dataset}; zfs create {dataset}/nested
head -c 8M /dev/urandom >/{dataset}/nested/data
! zpool list -H {pool} >/dev/null 2>&1 || exit 0
modprobe dm_mod; modprobe loop
rm -f /var/tmp/{pool}.img; truncate -s 96M /var/tmp/{pool}.img; disk=$(losetup -f --show /var/tmp/{pool}.img)
dmsetup create {pool} --table "0 $((96 * 2048)) linear $disk 0"
echo "0 $((96 * 2048)) linear $disk 0" >/var/tmp/{pool}.table
zpool create -o failmode=wait {pool} /dev/mapper/{pool}; zfs create {pool}/vms
"""
_SET_TABLE = "dmsetup suspend --nolockfs {pool}; {table} | dmsetup load {pool}; dmsetup resume {pool}; "
_FAIL = """
dd if=/dev/zero of=/{pool}/vms/x bs=4k count=1 2>/dev/null
(zpool sync {pool} >/dev/null 2>&1 &)
until [ "$(zpool list -H -o health {pool})" = SUSPENDED ]; do sleep 0.05; done
"""
_MEND = """
until zpool clear {pool} && [ "$(zpool list -H -o health {pool})" = ONLINE ]; do sleep 0.05; done
"""
_TAMPER = {
    "destroyed": "zfs destroy $name",
    "renamed": "zfs rename $name $name-renamed",
    "recreated": "zfs destroy $name; zfs snapshot $name",
    "copied": """
options=()
while IFS=$'\\t' read -r key value; do options+=(-o "$key=$value")
done < <(zfs get -H -s local -o property,value all $name)
zfs destroy $name; zfs snapshot "${options[@]}" $name
""",
}
FIRST_DISK = 2000  # the device key


class Hung(Exception):
    """A run or a recovery did not end."""


@dataclass
class Process:
    """A run or a recovery in its own process, and what it said so far."""

    process: Any
    line: Connection
    begun: float = field(default_factory=time.monotonic)
    answer: dict[str, Any] = field(default_factory=dict)
    killed_at: str = ""

    def event(self, seconds: float = PATIENCE) -> str:
        """Wait for the next thing to happen: an instant that it waits at, "ended" (answered or dead), or "" if none
        does."""
        if not self.line.poll(seconds):
            return ""
        try:
            message = self.line.recv()
        except (EOFError, OSError):  # also a message that its death cut short
            self.process.join()
            return "ended"
        if "at" in message:
            return str(message["at"])
        if "killed_at" in message:
            self.killed_at = message["killed_at"]
        else:
            self.answer = message
        return self.event()

    def go_on(self) -> None:
        try:
            self.line.send({})
        except OSError:  # it is dead
            pass

    def signal(self, number: int) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.join()

    @property
    def result(self) -> dict[str, Any]:
        """What it did, also where it says so in an error."""
        return dict(self.answer.get("result") or self.answer.get("details") or {})


class Stage:
    """Two vCenters, one dataset with a nested one, one engine; `mutation` breaks the engine (see engine_process.py).

    `vcenter` is the one that faults strike; `second` has one VM on the same dataset. With `real`, some VMs of the
    first have real disks (see disks.py). The dataset must not exist yet then, because the NFS server keeps it busy.
    """

    def __init__(self, folder: Path, host: StorageHost, dataset: str, mutation: str = "", real: bool = False) -> None:
        self.folder, self.host, self.dataset, self.mutation = folder, host, dataset, mutation
        self.state, self.zfs_folder = folder / "state", folder / "zfs"
        for path in (self.state, self.zfs_folder):
            path.mkdir(parents=True)
        host.ssh(["sh", "-ec", PREPARE.format(dataset=dataset, pool=FAILING_POOL)])
        if os.environ.get(OWN_MOUNTS):
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "chaos", str(self.state)], check=True)
        self.paths = Paths(self.state / "db", self.state / "etc" / "key", folder / "locks")
        self.our_hosts = {identity.StorageHost.here(self.paths).id}
        self.set_clock(0)
        self.power: list[tuple[float, str, bool]] = []  # when which VM (by name) was switched on or off here
        self.number = 0
        self.vcenter_steady = threading.RLock()  # held by who asks it something, and by who kills or restarts it
        wrappers = folder / "bin"
        wrappers.mkdir()
        shutil.copy2(Path(__file__).with_name("zfs"), wrappers / "zfs")
        self.environment = {
            "PATH": f"{wrappers}:{os.environ['PATH']}",
            "CHAOS_ZFS": str(self.zfs_folder),
            "CHAOS_REAL_ZFS": str(host.path_dir / "zfs"),
            "CHAOS_ROOTS": f"{dataset} {FAILING_POOL}",
        }
        self._root = dataset  # what the last run was of
        start = partial(Simulator.start, state=True, create_seconds=0.08, remove_seconds=0.08)
        configuration = self._configuration(real)
        self.disks = disks.Disks(host, dataset) if real else None
        if self.disks:
            self.disks.up()
        hypervisor = self.disks.port if self.disks else 0
        self.vcenter = start(configuration, directory=folder / "vcenter", hypervisor=hypervisor)
        far = {"datastores": [{"name": "far", "server": GUEST, "path": f"/{dataset}", "vms": [{"name": REMOTE}]}]}
        self.second = start(far, directory=folder / "second")
        self.places = [*_places(configuration), *_places(far)]  # where files lie, and whoever was moved here
        self.asked: Mapping[str, str] = {}  # the levels that the policies of the run ask of VMs: see Truth
        self._homes = {place.vm: place for place in self.places}
        self._datasets = {one["name"]: one.get("path", "")[1:] for one in configuration["datastores"]}
        self._running = {vm["name"] for one in (configuration, far) for vm in _vms_of(one) if vm.get("power") != "off"}
        self.add_credential()
        if self.disks:
            self.disks.begin()

    def _configuration(self, real: bool) -> dict[str, Any]:
        def datastore(name: str, dataset: str, *vms: dict[str, Any]) -> dict[str, Any]:
            return {"name": name, "server": GUEST, "path": f"/{dataset}", "vms": list(vms)}

        chain = {"name": "ledger", "snapshots": 2}
        return {
            "datastores": [
                datastore(disks.DATASTORE, self.dataset, *INVENTORY, *disks.inventory(real)),
                datastore("nested", f"{self.dataset}/nested", chain),
                datastore("failing", f"{FAILING_POOL}/vms", {"name": "fragile"}),
                {"name": "local", "type": "local", "vms": [{"name": "bystander", "snapshots": 1}, VISITOR]},
            ]
        }

    def close(self) -> None:
        self.vcenter.stop()
        self.second.stop()
        if self.disks:
            self.disks.down()
        if os.environ.get(OWN_MOUNTS):
            subprocess.run(["umount", str(self.state)], check=False)

    # ---- The engine

    def run(self, dataset: str = "", **task: Any) -> Process:
        self.number += 1
        snapshot = f"chaos-{next(_numbers)}"
        self._root = FAILING_POOL if dataset else self.dataset
        return self.start({"what": "run", "dataset": dataset or self.dataset, "snapshot": snapshot, **task})

    def recover(self, **task: Any) -> Process:
        return self.start({"what": "recover", **task})

    def start(self, task: dict[str, Any], work: Callable[..., None] = engine_process.work) -> Process:
        """Start a process that carries out the task."""
        here, there = _processes.Pipe()
        common = {
            "environment": self.environment,
            "state": str(self.state),
            "locks": str(self.paths.lock_dir),
            "mutation": self.mutation,
        }
        process = _processes.Process(target=work, args=({**common, **task}, there), daemon=True)
        process.start()
        there.close()
        return Process(process, here)

    @contextmanager
    def database(self) -> Iterator[Database]:
        with Database.open(self.paths) as database:
            yield database

    def open_entries(self) -> int:
        with self.database() as database:
            return len(Journal(database).open_entries())

    def unsettled_runs(self) -> int:
        with self.database() as database:
            return len(database.rows("SELECT id FROM run WHERE state != 'ended' UNION SELECT run FROM seal"))

    def add_credential(self) -> None:
        """Store the credentials of today, in place of those of before."""
        with self.database() as database:
            credentials = Credentials(database, Cipher(self.paths.key_file))
            for known in credentials.list_all():
                credentials.delete(known.id)
            for vcenter, filesystem in (
                (self.vcenter, self.dataset),
                (self.vcenter, FAILING_POOL),
                (self.second, self.dataset),
            ):
                wanted = Credential(
                    vcenter.host, vcenter.user, filesystem, port=vcenter.port, ca_path=str(vcenter.ca_path)
                )
                credentials.insert(wanted, Secret(vcenter.password))

    def forget_everything(self) -> None:
        """The state database is lost, and the credentials are entered anew by somebody who makes room first."""
        self.fill_disk(False)
        for file in self.paths.state_dir.iterdir():
            file.unlink()
        self.add_credential()

    def replace_account(self) -> None:
        """The account that the run used is no longer there; another one is stored."""
        self._serve_account("keeper@vsphere.local")

    def restore_account(self) -> None:
        self._serve_account(USER)

    def _serve_account(self, name: str) -> None:
        vcenter = self.vcenter
        vcenter._flags = [f"-user={name}" if flag.startswith("-user=") else flag for flag in vcenter._flags]
        vcenter.user = name
        with self.vcenter_steady:
            vcenter.restart()
        try:
            self.add_credential()
        except RegistryError:  # the database is locked or its disk full: the old one stays until that is mended
            pass

    def fill_disk(self, full: bool) -> None:
        """Fill the file system of the state directory to its last byte, or make room again."""
        filler = self.state / "filler"
        if not full:
            filler.unlink(missing_ok=True)
            return
        with open(filler, "wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    @contextmanager
    def locked_database(self) -> Iterator[None]:
        """Another process holds the database's write lock."""
        connection = sqlite3.connect(self.paths.database, isolation_level=None, timeout=10, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    # ---- vSphere, as other people use it

    @contextmanager
    def as_others(self) -> Iterator[Session]:
        endpoint = Endpoint(self.vcenter.host, self.vcenter.port, ca_path=str(self.vcenter.ca_path))
        with connect(endpoint, self.vcenter.user, Secret(self.vcenter.password), Timeouts(5, 5)) as session:
            yield session

    def take_foreign(self, vm: str) -> str:
        """Somebody else takes a snapshot of the VM; returns its name, or "" when vSphere refused it."""
        name = f"backup-{next(_numbers)}"
        try:
            with self.as_others() as session:
                machine = session.managed_object(sdk.vim.VirtualMachine, self.moid(vm))
                done = self.have_done(
                    lambda: session.call("test", machine.CreateSnapshot_Task, name, "not ours", False, False)
                )
        except VSphereError:  # what has struck the vCenter strikes others too
            return ""
        return name if done else ""

    def remove_one_of_ours(self, vm: str) -> bool:
        """Somebody else removes the snapshot that we hold the VM by; whether there was one, and it could be."""
        ours = [one for one in self.each_snapshot(vm) if one["name"].startswith("vmware-zfs ")]
        if not ours:
            return False
        try:
            with self.as_others() as session:
                node = session.managed_object(sdk.vim.vm.Snapshot, ours[0]["moid"])
                return self.have_done(lambda: session.call("test", node.RemoveSnapshot_Task, False))
        except VSphereError:
            return False

    def have_done(self, start: Any) -> bool:
        """Have a task done on a VM that may be busy with another for a while; whether it was done."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            task = start()._moId
            try:
                end = self._end_of(task)
            except SimulatorError:  # it hangs
                return False
            if end["event"] == "vanished" or end.get("fault") not in (None, "", "TaskInProgress"):
                return False
            if not end.get("fault"):
                return True
            time.sleep(0.05)
        return False

    def _end_of(self, task: str) -> dict[str, Any]:
        ends = ("finished", "vanished")
        return self.vcenter.wait_for(lambda entry: entry.get("task") == task and entry.get("event") in ends, seconds=5)

    def unregister(self, vm: str) -> None:
        """vSphere refuses it while a task works on the VM."""
        self.let_tasks_end()
        self.vcenter.unregister(vm)

    def machines(self) -> list[dict[str, Any]]:
        """The VMs of both vCenters, from the simulators' own inventories."""
        return [*self.vcenter.machines(), *self.second.machines()]

    def machine(self, vm: str) -> dict[str, Any]:
        return next(one for one in self.vcenter.machines() if one["name"] == vm)

    def moid(self, vm: str) -> str:
        return str(self.machine(vm)["moid"])

    def each_snapshot(self, vm: str) -> Iterator[dict[str, Any]]:
        def walk(trees: Any) -> Iterator[dict[str, Any]]:
            for tree in trees or ():
                yield tree
                yield from walk(tree.get("children"))

        return walk(self.machine(vm)["snapshots"])

    def switch(self, vm: str, on: bool) -> None:
        """Power a VM on or off, and remember when."""
        before = time.time()
        self.vcenter.vm(vm, power="on" if on else "off")
        self.power.append((before if on else time.time(), vm, on))

    def move(self, vm: str, *, home: str = "", disks: str | dict[int, str] = "follow") -> None:
        """Storage vMotion: of the home to another datastore, of disks, or of both (see Simulator.move)."""
        old, begin = self._place_of(vm), time.time()
        self.vcenter.move(vm, datastore=home, disks=disks)
        lies = dict(old.disks)
        if isinstance(disks, dict):
            lies.update({key: self._datasets[datastore] for key, datastore in disks.items()})
        elif disks == "follow" and home:
            beside = {key for key, dataset in lies.items() if dataset == old.home}
            lies.update(dict.fromkeys(beside, self._datasets[home]))
        to = self._datasets[home] if home else old.home
        self.places.append(Place(begin, time.time(), vm, to, lies))

    def move_back(self, vm: str) -> None:
        """Have all its files where they were from the start."""
        names = {dataset: name for name, dataset in self._datasets.items()}
        first = self._homes[vm]
        self.move(vm, home=names[first.home], disks={key: names[dataset] for key, dataset in first.disks.items()})

    def _place_of(self, vm: str) -> Place:
        return [place for place in self.places if place.vm == vm][-1]

    def wait_released(self, seconds: float = 15.0) -> bool:
        """Wait until none of our VMware snapshots is there any more; whether that came to be."""
        deadline = time.monotonic() + seconds
        while judge.left_behind(self.machines()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def let_tasks_end(self) -> None:
        """Wait until no task works on any VM; those that hang go on to their end."""
        self.vcenter.release()
        self._wait_until(lambda: not self._busy())

    def wait_idle(self) -> None:
        """Wait until the vCenter has no call in hand that it carries out late, and no task works on any VM."""
        self._wait_until(lambda: not (self._late_calls() or self._busy()))

    def _wait_until(self, rests: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not rests():
            if time.monotonic() > deadline:
                raise Hung("the vCenter does not come to rest")
            time.sleep(0.02)

    def _busy(self) -> bool:
        return any(machine.get("busy") for machine in self.machines())

    def _late_calls(self) -> bool:
        calls = self.vcenter.trace()
        return any(call.get("effect") == "call_late" and "done" not in call for call in calls)

    def hang(self) -> str:
        """How the lab itself hangs, so that nothing is proved of the engine; or ""."""
        return self.disks.hang() if self.disks else ""

    def check_disks(self, seen: Sequence[judge.Seen]) -> disks.Checked:
        """Compare the real disks in the ZFS snapshots with what their records say."""
        if not self.disks:
            return disks.Checked()
        self.wait_idle()
        return self.disks.check(seen, self.truth().trace, self.vcenter.machines())

    def truth(self) -> Truth:
        """What really happened so far."""
        trace = [entry for one in (self.vcenter, self.second) for entry in read_trace(one.trace_path)]
        return Truth(trace, self._running, self.power, WINDOWS, self.places, self.asked)

    # ---- ZFS

    def diary(self) -> list[tuple[str, float, str]]:
        """(what, when, of what) of the zfs commands so far: see the wrapper, and `judge.observe`."""
        try:
            lines = (self.zfs_folder / "log").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(what, float(when), rest.strip()) for what, when, rest in (line.split(" ", 2) for line in lines)]

    def wait_zfs(self) -> None:
        """Wait until every command that began, or waits for `hold`, has ended, and what it left is dumped."""
        (self.zfs_folder / "hold").unlink(missing_ok=True)
        deadline = time.monotonic() + 60
        while self.zfs_waits(""):
            if time.monotonic() > deadline:
                raise Hung("a zfs command does not end")
            time.sleep(0.05)

    def zfs_waits(self, command: str = "snapshot") -> bool:
        """Whether such a command waits or works."""
        pattern = f"{self.folder / 'bin' / 'zfs'} {command}"
        return subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=False).returncode == 0

    def came_to_zfs(self) -> bool:
        """Whether a snapshot command began, or is about to."""
        return any(what == "begin" for what, _unused, _rest in self.diary()) or self.zfs_waits()

    def was_trapped(self, trap: str) -> bool:
        """Whether `seal-trap` caught a channel program, or `look-trap` a look: see the wrapper."""
        return any(what == "trap" and (how == "look") == (trap == "look") for what, _unused, how in self.diary())

    def dump(self, label: str) -> None:
        """Note the records of all ZFS snapshots as they are now where the last run took some."""
        command = [str(self.folder / "bin" / "zfs"), "chaos-dump", label, self._root]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, timeout=PATIENCE)

    def dumps(self) -> dict[str, str]:
        """The dumps so far, by their numbers."""
        return {file.name: file.read_text() for file in sorted((self.zfs_folder / "dumps").glob("[0-9]*[0-9]"))}

    def tamper(self, how: str, number: int) -> bool:
        """Somebody else changes one of the ZFS snapshots that were taken last, which is then destroyed, renamed,
        recreated, or recreated with its local properties (copied). Whether it was there."""
        taken = [rest.split() for what, _unused, rest in self.diary() if what == "begin"]
        if not taken:
            return False
        name = taken[-1][number % len(taken[-1])]
        with open(self.zfs_folder / "dump.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # no dump is to show some of it as it was, and some as it is
            begun = time.time()
            script = f"name={shlex.quote(name)}; zfs list -t snapshot $name >/dev/null 2>&1 || exit 3; {_TAMPER[how]}"
            done = self.host.ssh(["bash", "-ec", script], check=False)
            if done.returncode not in (0, 3):
                raise Hung(f"{name} could not be {how} by somebody: {done.stderr}")
            if not done.returncode:
                what = "recreated" if how == "copied" else how
                with open(self.zfs_folder / "log", "a", encoding="utf-8") as log:
                    log.write(f"{what} {begun:.6f} {name}{f' {name}-renamed' if how == 'renamed' else ''}\n")
        self.dump(f"{how} by somebody")
        return not done.returncode

    def reserve(self, much: bool) -> None:
        """Leave no room for a snapshot of the nested dataset: what it holds (8 MiB) is reserved a second time.

        The dataset itself has no quota, because the guests of its real VMs go on writing.
        """
        quota, reservation = ("14M", "12M") if much else ("none", "none")
        nested = f"{self.dataset}/nested"
        self.host.ssh(["sh", "-ec", f"zfs set quota={quota} {nested}; zfs set refreservation={reservation} {nested}"])

    def fail_disk(self, failing: bool) -> None:
        """Have the disk of the failing pool refuse everything, and write to it so that ZFS notices; or mend it."""
        table = f"cat /var/tmp/{FAILING_POOL}.table" + (" | sed s/linear.*/error/" if failing else "")
        script = (_SET_TABLE + (_FAIL if failing else _MEND)).format(pool=FAILING_POOL, table=table)
        self.host.ssh(["sh", "-ec", script])

    def set_clock(self, seconds: float) -> None:
        """Set the storage host's clock, so many seconds off; never behind by the time that setting it takes.

        On a real host engine and ZFS have one clock. Were ZFS's behind, what it takes too late would pass for in time.
        """
        self.host.ssh(["date", "-u", "-s", f"@{time.time() + seconds + _AHEAD:.3f}"])

    def destroy_snapshots(self) -> None:
        """Destroy every ZFS snapshot of this stage, and forget what was noted of them."""
        roots = f"{self.dataset} {FAILING_POOL}"
        script = f'for name in $(zfs list -H -o name -t snapshot -r {roots}); do zfs destroy "$name"; done'
        self.host.ssh(["bash", "-ec", script])
        for trap in ("log", "seal-trap", "look-trap"):
            (self.zfs_folder / trap).unlink(missing_ok=True)
        shutil.rmtree(self.zfs_folder / "dumps", ignore_errors=True)

    def journal(self, open_only: bool = False) -> dict[str, Any]:
        """What the journal holds, for whoever looks into a violation."""
        with self.database() as database:
            rows = database.rows("SELECT * FROM vm_snapshot" + (" WHERE state != 'gone'" if open_only else ""))
            runs = database.rows("SELECT id, state, started, ended, snapshots FROM run ORDER BY started DESC LIMIT 3")
            seals = database.rows("SELECT run, snapshot, createtxg FROM seal")
        tables = {"vm_snapshot": rows[-50:], "run": runs, "seal": seals}
        return {name: [dict(row) for row in found] for name, found in tables.items()}


def _vms_of(configuration: dict[str, Any]) -> list[dict[str, Any]]:
    return [vm for datastore in configuration["datastores"] for vm in datastore["vms"]]


def _places(configuration: dict[str, Any]) -> list[Place]:
    """Where the files of each VM of a simulator's configuration lie."""
    datasets = {one["name"]: one.get("path", "")[1:] for one in configuration["datastores"]}
    return [
        Place(
            0.0,
            0.0,
            vm["name"],
            datasets[datastore["name"]],
            {
                FIRST_DISK + number: datasets[disk.get("datastore", datastore["name"])]
                for number, disk in enumerate(vm.get("disks", [{}]))
            },
        )
        for datastore in configuration["datastores"]
        for vm in datastore["vms"]
    ]
