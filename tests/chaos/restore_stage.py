# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where restores meet their faults: a stage with real VMs, and a ZFS snapshot of a run that they are restored from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.quiesce.vmware_zfs.plugins.module_utils._engine.vsphere import inventory, sdk

from tests.lab.storage_host import StorageHost

from . import judge, restore_process
from .disks import OFF, WRITING
from .restore_judge import Delivered, Machine, Picture
from .stage import PATIENCE, Hung, Process, Stage

_RUN_SECONDS = 300.0
LIVING, HELPER = WRITING[0], OFF
_READ = """
cd /
echo "=datasets"; zfs list -H -p -o name,guid
echo "=snapshots"; zfs list -H -p -t snapshot -o name,guid
echo "=holds"; zfs list -H -o name -t snapshot | xargs -r zfs holds -H | cut -f 1,2 | tr '\\t' ' '
echo "=exports"; exportfs -s | sed 's/  */ /g'; grep -rhv '^#' /etc/exports.d 2>/dev/null || true
echo "=folders"
find /{dataset} -mindepth 1 -maxdepth 1 -type d ! -name nested
find /{dataset} -xdev -name '*.vmware-zfs-restore*'
find /{pool}/vmware-zfs-restores 2>/dev/null -maxdepth 2 || true
echo "=digests"; sha256sum {files}
"""
_PATHS = ["name", "config.instanceUuid", "config.files.vmPathName", "config.hardware.device", "runtime.powerState"]


class RestoreStage(Stage):
    """A stage on which `run` restores. `point` is the ZFS snapshot that everything is restored from."""

    def __init__(self, folder: Path, host: StorageHost, dataset: str, mutation: str = "") -> None:
        super().__init__(folder, host, dataset, mutation, real=True)
        self.point = self._taken()
        self.theirs: set[str] = set()  # folders that somebody else created meanwhile

    def _taken(self) -> str:
        """Take a ZFS snapshot with a run, and let the guests go on writing."""
        process = self.take_run()
        self.wait_ended(process, _RUN_SECONDS)
        if not process.answer.get("result"):
            raise Hung(f"no ZFS snapshot could be taken for the restores: {process.answer}")
        if self.disks:
            self.disks.wait_for_writes(5)
        return str(process.result["zfs_snapshot"])

    # ---- The engine

    def take_run(self) -> Process:
        """Start a normal run of the dataset beside a restore."""
        return super().run(call_timeout=60.0, policy={"vm_timeout": _RUN_SECONDS, "max_hold": _RUN_SECONDS})

    def run(self, dataset: str = "", **task: Any) -> Process:
        server = {name: getattr(self.vcenter, name) for name in ("host", "port", "user")}
        server |= {"password": self.vcenter.password, "ca_path": str(self.vcenter.ca_path)}
        what = "drill" if task["request"]["way"] == "drill" else "restore"
        return self._start_restoring({"what": what, "server": server, **task})

    def recover(self, **task: Any) -> Process:
        return self._start_restoring({"what": "recover", **task})

    def end(self, restore: str, **task: Any) -> Process:
        return self._start_restoring({"what": "end", "restore": restore, **task})

    def _start_restoring(self, task: dict[str, Any]) -> Process:
        return self.start({"lab": self.host.name, **task}, restore_process.work)

    def request(self, way: str, vms: Iterable[str], **more: Any) -> dict[str, Any]:
        """Return the request of a restore. `way` is also "replace", or "drill" for that of a drill."""
        host = self.vcenter.hosts()[0]["name"]
        asked: dict[str, Any] = {"snapshot": self.point, "way": way, "vms": list(vms), **more}
        if way == "replace":
            asked |= {"way": "folder", "replace": True, "vms": [LIVING]}
        elif way == "mount":
            asked |= {"host": host, "vms": []}
        elif way in ("clone", "drill"):
            asked |= {"host": host}
        elif way == "disk":
            asked |= {"vms": [LIVING], "disk": 1, "attach_to": HELPER}
        return asked

    def dump(self, label: str) -> None:
        """Records are not judged here."""

    def hang(self) -> str:
        """How the lab itself hangs, or "". A guest that does not write because its VM is off says something."""
        on = {one.name for one in self._machines().values() if one.on}
        return super().hang() if on.issuperset(WRITING) else ""

    def open_entries(self) -> int:
        """What recovery has not finished: of runs, and restores that are neither done nor undone."""
        return super().open_entries() + len(self.restores("running"))

    def restores(self, *states: str) -> list[dict[str, Any]]:
        with self.database() as database:
            rows = [dict(row) for row in database.rows("SELECT * FROM restore ORDER BY rowid")]
        return [row for row in rows if row["state"] in states]

    def steps(self, restore: str = "") -> list[dict[str, Any]]:
        """The steps in the journal, with their data."""
        with self.database() as database:
            rows = [dict(row) for row in database.rows("SELECT * FROM restore_step ORDER BY id")]
        return [{**row, "data": json.loads(row["data"])} for row in rows if restore in ("", row["restore"])]

    def journal(self, open_only: bool = False) -> dict[str, Any]:
        found = super().journal(open_only)
        with self.database() as database:
            found["restore"] = [dict(row) for row in database.rows("SELECT * FROM restore ORDER BY rowid DESC LIMIT 3")]
        ids = {row["id"] for row in found["restore"]}
        found["restore_step"] = [step for step in self.steps() if step["restore"] in ids]
        return found

    def delivered(self) -> list[Delivered]:
        """What restores have handed over, and nobody has ended."""
        return [self._delivered(row) for row in self.restores("done")]

    def _delivered(self, row: dict[str, Any]) -> Delivered:
        steps = [one for one in self.steps(row["id"]) if one["state"] != "undone"]
        given = {one["data"]["vm"] for one in steps if one["kind"] == "handover" and one["state"] == "done"}
        mine = [one for one in steps if one["data"].get("vm", "") in given]
        folders = {one["data"]["vm"]: one["data"]["path"] for one in mine if one["kind"] == "folder"}
        renamed = [one["data"] for one in mine if one["kind"] == "rename"]
        names = {one["after"]: folders.get(one["vm"], "") for one in renamed if " (restore " in one["before"]}
        replaced = frozenset(one["before"] for one in renamed if " (restore " not in one["before"])
        holder = HELPER if any(one["kind"] == "attach" for one in mine) else ""
        return Delivered(row["id"], names, replaced, holder, row["way"] != "folder")

    # ---- What the judge sees

    def picture(self) -> Picture:
        """Look at everything, without the engine's eyes."""
        machines = self._machines()
        # Of the guests' disks, only that of the VM that is off stays as it is.
        files = [f"/{self.dataset}/{vm}/{vm}.vmx" for vm in (*WRITING, OFF)]
        files += [f"/{self.dataset}/{OFF}/{OFF}-flat.vmdk", *(f"/{self.dataset}/{vm}/{vm}.vmdk" for vm in WRITING)]
        pool = self.dataset.partition("/")[0]
        script = _READ.format(dataset=self.dataset, pool=pool, files=" ".join(map(shlex.quote, files)))
        parts = _parts(self.host.ssh(["bash", "-euo", "pipefail", "-c", script]).stdout)
        return Picture(
            machines,
            frozenset(
                f"{mount['datastore']} on {host['name']}: {mount.get('path')}"
                for host in self.vcenter.hosts()
                for mount in host["mounts"] or ()
            ),
            _pairs(parts["datasets"]),
            {name: guid for name, guid in _pairs(parts["snapshots"]).items() if not self._is_of_a_run(name)},
            frozenset(parts["holds"]),
            frozenset(parts["exports"]),
            frozenset(parts["folders"]) - self.theirs,
            {line.partition("  ")[2]: line.partition("  ")[0] for line in parts["digests"]},
            frozenset(self.theirs - set(parts["folders"])),
        )

    def _is_of_a_run(self, name: str) -> bool:
        return name.partition("@")[2].startswith("chaos-") and not name.endswith(f"@{self.point.partition('@')[2]}")

    def _machines(self) -> dict[str, Machine]:
        trees = {one["moid"]: one["snapshots"] for one in self.vcenter.machines()}
        with self.as_others() as session:
            found = inventory.read_all(session, sdk.vim.VirtualMachine, _PATHS, "look at all VMs")
        return {
            moid: Machine(
                inventory.unescape(one["name"]),
                one["config.instanceUuid"],
                str(one["runtime.powerState"]) == "poweredOn",
                one["config.files.vmPathName"],
                frozenset(_disks(one["config.hardware.device"])),
                tuple(node["name"] for node, _above in judge.walk(trees.get(moid))),
            )
            for moid, one in found.items()
        }

    # ---- What a person does

    def switch_as_person(self, name: str, on: bool) -> None:
        """Power a VM on or off, unless it is so already."""
        self._task(name, lambda machine: machine.PowerOnVM_Task() if on else machine.PowerOffVM_Task(), on)

    def rename_as_person(self, name: str, new: str) -> None:
        self._task(name, lambda machine: machine.Rename_Task(newName=new))

    def _task(self, name: str, begin: Any, power: bool | None = None) -> None:
        moid, seen = next((moid, one) for moid, one in self._machines().items() if one.name == name)
        if power is not None and seen.on == power:
            return
        with self.as_others() as session:
            machine = session.managed_object(sdk.vim.VirtualMachine, moid)
            if not self.have_done(lambda: session.call("test", lambda: begin(machine))):
                raise Hung(f"a person could not change {name}")

    def delete(self, name: str, folder: str) -> None:
        """Delete a VM that a restore has handed over."""
        self.switch_as_person(name, False)
        moid = next(moid for moid, one in self._machines().items() if one.name == name)
        with self.as_others() as session:
            session.call("test", session.managed_object(sdk.vim.VirtualMachine, moid).UnregisterVM)
        if folder:
            self.host.ssh(["rm", "-rf", "--", folder])

    def take_back(self, name: str) -> None:
        """Give a VM that was replaced its name back, and power it on."""
        aside = next(one.name for one in self._machines().values() if one.name.startswith(f"{name}-replaced-"))
        self.rename_as_person(aside, name)
        self.switch_as_person(name, True)

    def wait_ended(self, process: Process, seconds: float = 2 * PATIENCE) -> None:
        """Wait for a process that nothing happens to."""
        while (event := process.event(seconds)) != "ended":
            if not event:
                process.kill()
                raise Hung(f"a process did not end within {seconds:g} s")
            process.go_on()
        process.process.join()


def _parts(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("="):
            lines = found.setdefault(line[1:], [])
        elif line:
            lines.append(line)
    return found


def _pairs(lines: Iterable[str]) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in lines)


def _disks(devices: Iterable[Any]) -> list[str]:
    disk = sdk.vim.vm.device.VirtualDisk
    return [str(getattr(one.backing, "fileName", "")) for one in devices if isinstance(one, disk)]
