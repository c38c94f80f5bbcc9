# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage host of the lab, for the command `lab` and for tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Sequence

from .cache import locked
from .emulator import Emulator, Processor
from .link import CONFIGURE, Link
from .places import BUILD, LABS, LabError, check_lab_name, default_lab_name, runtime_folder, short_hash
from .saved_state import free_port, overlay
from .shell import Shell

BUILT = BUILD / "lab-built.json"
BOOT_SECONDS = 600.0
WAKE_SECONDS = 180.0
_PATHS = ("kernel", "image", "state", "key", "hypervisor")


@dataclass(frozen=True)
class Built:
    """The products of the setup for this checkout."""

    kernel: Path
    image: Path
    state: Path
    key: Path
    hypervisor: Path
    processor: Processor

    def write(self) -> None:
        BUILT.parent.mkdir(exist_ok=True)
        BUILT.write_text(
            json.dumps(
                {
                    **{name: str(getattr(self, name)) for name in _PATHS},
                    "processor": [self.processor.name, *self.processor.options],
                },
                indent=1,
            )
        )

    @classmethod
    def read(cls) -> Built:
        try:
            known = json.loads(BUILT.read_text())
            built = cls(
                **{name: Path(known[name]) for name in _PATHS},
                processor=Processor(known["processor"][0], tuple(known["processor"][1:])),
            )
        except (OSError, ValueError, KeyError):
            raise LabError("The lab is not built yet; run `make setup`") from None
        if not all(getattr(built, name).exists() for name in _PATHS):
            raise LabError("What the lab was built from is gone from the cache; run `make setup`")
        return built


class StorageHost:
    """One storage host: a virtual machine with OpenZFS and NFS. Several can run in parallel under different names."""

    def __init__(self, name: str | None = None) -> None:
        self.name = check_lab_name(name or default_lab_name())
        self.folder = LABS / self.name
        mark = f"quiesce-lab-{short_hash(str(self.folder))}"
        self._emulator = Emulator(mark, self.folder, runtime_folder() / f"{mark[-16:]}.qmp")
        self._shell = Shell(self.folder / "ssh.config", runtime_folder() / f"{mark[-16:]}.ssh")
        sockets = [runtime_folder() / f"{mark[-16:]}.{end}" for end in ("storage", "hypervisor")]
        self.link = Link(sockets[0], sockets[1], self.folder / "linked")

    # Properties for tests

    @property
    def path_dir(self) -> Path:
        """The folder of the wrappers `zfs` and `zpool`. Prepend it to PATH."""
        return self.folder / "bin"

    @property
    def ssh_config(self) -> Path:
        """The configuration for `ssh -F <file> storage`."""
        return self._shell.config

    @property
    def ssh_port(self) -> int:
        return int(self._ports()["22"])

    @property
    def nfs_port(self) -> int:
        return int(self._ports()["2049"])

    @property
    def private_key(self) -> Path:
        return Built.read().key / "key"

    def inventory(self) -> dict[str, Any]:
        """Return the variables of the host for an Ansible inventory."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.ssh_port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.private_key),
            "ansible_python_interpreter": "/usr/bin/python3",
            # Use the connection that the lab has open. Ansible opens one of its own only with ControlPersist.
            "ansible_ssh_args": f"-o ControlMaster=no -o ControlPath={self._shell.control}",
            "ansible_ssh_common_args": f"-F {self.ssh_config} -o UserKnownHostsFile={self.folder / 'known_hosts'} "
            "-o HostKeyAlias=storage",
        }

    def running(self) -> bool:
        return self._emulator.pid() is not None

    def status(self) -> dict[str, Any]:
        """Return plain data about this lab. The ports are included while it is running."""
        found: dict[str, Any] = {"name": self.name, "running": self.running(), "folder": str(self.folder)}
        if found["running"]:
            found.update(
                pid=self._emulator.pid(),
                ssh_port=self.ssh_port,
                nfs_port=self.nfs_port,
                processor=self._known()["processor"],
                path_dir=str(self.path_dir),
                ssh_config=str(self.ssh_config),
            )
        found["disks_kept"] = (self.folder / "root.qcow2").exists()
        return found

    # Operations for tests

    def up(self) -> None:
        """Keep the host if it responds. Otherwise, start it in its initial state."""
        with self._alone():
            if not (self.running() and self._answers()):
                self._wake()

    def reset(self) -> None:
        """Start it in its initial state."""
        with self._alone():
            self._wake()

    def power_cut(self) -> None:
        """Cut the power. `boot` boots from the same disks."""
        with self._alone():
            if not self.running():
                raise LabError(
                    f"The lab {self.name} does not run: there is no power to cut; start it with `tests/lab/lab up`"
                )
            self._emulator.kill()
            self._shell.disconnect()

    def boot(self) -> None:
        """Boot from the disks after a power cut or `down`. Wait until booting is complete."""
        with self._alone():
            if self.running():
                raise LabError(f"The lab {self.name} runs already; cut its power first with `tests/lab/lab power-cut`")
            if not (self.folder / "root.qcow2").exists():
                raise LabError(f"The lab {self.name} has no disks to boot; start it with `tests/lab/lab up`")
            self._start(None)
            self._shell.connect(self.ssh_port, BOOT_SECONDS)
            self._shell.run(["systemctl", "is-system-running", "--wait"], None, BOOT_SECONDS)
            self._plug_wanted()

    def down(self) -> None:
        """Stop everything. The disks are kept until the next `up` or `reset`."""
        if self.folder.exists():
            with self._alone():
                self._emulator.kill()
                self._shell.disconnect()

    def connect_hypervisor(self) -> None:
        """Connect the network of the hypervisor, now and after each start, until `disconnect_hypervisor`."""
        with self._alone():
            self.link.wanted.touch()
            self._plug_wanted()

    def disconnect_hypervisor(self) -> None:
        """The network stays until the host is stopped, but the next start is without it."""
        self.link.wanted.unlink(missing_ok=True)

    def ssh(
        self,
        argv: Sequence[str],
        input: str | None = None,
        check: bool = True,
        timeout: float | None = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in the guest with its exact arguments. With `check`, raises subprocess.CalledProcessError."""
        if not self.running():
            raise LabError(f"The lab {self.name} does not run; start it with `tests/lab/lab up`")
        done = self._shell.run(argv, input, timeout)
        if check:
            done.check_returncode()
        return done

    def interactive(self, argv: Sequence[str], terminal: bool = False) -> int:
        """Connect the terminal to the guest. Return the exit status of the guest. `terminal`: the command gets one."""
        if not self.running():
            raise LabError(f"The lab {self.name} does not run; start it with `tests/lab/lab up`")
        return self._shell.interactive(argv, terminal)

    # Implementation

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock"):
            yield

    def _known(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads((self.folder / "lab.json").read_text())
        except FileNotFoundError:
            raise LabError(f"The lab {self.name} was never started; start it with `tests/lab/lab up`") from None
        return known

    def _ports(self) -> dict[str, int]:
        ports: dict[str, int] = self._known()["ports"]
        return ports

    def _answers(self) -> bool:
        try:
            return self._shell.run(["true"], None, 30).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def _wake(self) -> None:
        """Discard the current state and resume from the saved state."""
        built = Built.read()
        self._emulator.kill()
        self._shell.disconnect()
        for disk in ("root.qcow2", "tank.qcow2"):
            (self.folder / disk).unlink(missing_ok=True)
            overlay(built.state / disk, self.folder / disk)
        self._start(built.state / "memory")
        with self._emulator.monitor() as monitor:
            monitor.go_on(WAKE_SECONDS)
        self._shell.connect(self.ssh_port, WAKE_SECONDS)
        # The clock of the guest continues from the time of saving. Certificates and timers need the current time.
        self.ssh(["date", "-u", "-s", f"@{time.time():.3f}"])
        self._plug_wanted()

    def _plug_wanted(self) -> None:
        if not self.link.wanted.exists():
            return
        if self.ssh(["test", "-e", "/sys/class/net/eth1"], check=False).returncode:
            with self._emulator.monitor() as monitor:
                self.link.plug(monitor)
        self.ssh(["sh", "-c", CONFIGURE])

    def _start(self, state: Path | None) -> None:
        built = Built.read()
        for attempt in (1, 2, 3):
            ports = {22: free_port(), 2049: free_port()}
            try:
                self._emulator.start(built.kernel, built.processor, ports, state)
                break
            except LabError:  # another process has taken one of the ports
                if attempt == 3:
                    raise
        (self.folder / "lab.json").write_text(json.dumps({"ports": ports, "processor": built.processor.name}))
        self._shell.write(
            ports[22], built.key / "key", built.image / "host_key.pub", self.folder / "known_hosts", self.path_dir
        )


def labs() -> list[StorageHost]:
    """Return all labs of this checkout."""
    return [StorageHost(folder.name) for folder in sorted(LABS.iterdir()) if folder.is_dir()] if LABS.exists() else []


def remove_all() -> None:
    """Stop all labs of this checkout and remove their folders."""
    for lab in labs():
        lab.down()
        shutil.rmtree(lab.folder)
