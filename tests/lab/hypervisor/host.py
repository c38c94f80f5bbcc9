# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisor of a lab: a second guest without OpenZFS, which mounts the datastores over the network."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..emulator import Emulator
from ..link import Link
from ..places import LabError, runtime_folder, short_hash
from ..saved_state import free_port
from ..storage_host import Built, StorageHost

PROGRAM = Path(__file__).resolve().parent / "inside"
GREETING, READY = b"hypervisor\n", b"ready\n"
AGENT_PORT = 7000
ADDRESS = "10.0.4.15"  # of the guest, on the network of this machine
BOOT_SECONDS = 120.0
CALL_SECONDS = 120.0


class HypervisorError(LabError):
    """The hypervisor refused a call. `kind` is the vSphere fault that fits best."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class _Emulator(Emulator):
    called: ClassVar[str] = "hypervisor"
    memory: ClassVar[str] = "384M"
    link: Link

    def devices(self, ports: dict[int, int]) -> list[str]:
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{ADDRESS}:{there}" for there, here in ports.items())
        # Changes of the disk go to a temporary file that ends with the process.
        disk = f"file={Built.read().hypervisor / 'root.img'},format=raw,if=none,id=root,snapshot=on,cache=unsafe"
        network = [
            "-netdev",
            f"user,id=net0,net=10.0.4.0/24{forwards}",
            "-device",
            "virtio-net-pci,netdev=net0,romfile=",
        ]
        return ["-smp", "1", "-drive", disk, "-device", "virtio-blk-pci,drive=root", *network, *self.link.options()]


class Hypervisor:
    """The hypervisor of a running storage host. `up` starts it, `call` makes it do something."""

    def __init__(self, storage: StorageHost) -> None:
        self.storage = storage
        self.folder = storage.folder / "hypervisor"
        mark = f"quiesce-lab-{short_hash(str(self.folder))}"
        self._emulator = _Emulator(mark, self.folder, runtime_folder() / f"{mark[-16:]}.qmp", storage.link)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 for calls."""
        try:
            return int(json.loads((self.folder / "hypervisor.json").read_text())["port"])
        except OSError:
            raise LabError("No hypervisor was started for this lab; start one with Hypervisor.up()") from None

    def running(self) -> bool:
        return self.folder.exists() and self._emulator.pid() is not None

    def up(self, port: int = 0) -> None:
        """Start it without VMs and datastores, and connect it to the storage host. `port` is for calls (0: any)."""
        self.down()
        self.folder.mkdir(parents=True, exist_ok=True)
        built, port = Built.read(), port or free_port()
        self._emulator.start(built.kernel, built.processor, {AGENT_PORT: port})
        (self.folder / "hypervisor.json").write_text(json.dumps({"port": port}))
        self.storage.connect_hypervisor()
        self._send_program(port)

    def down(self) -> None:
        """Stop it immediately, like a power cut. The datastores keep the files of the VMs."""
        if self.folder.exists():
            self._emulator.kill()
            self.storage.disconnect_hypervisor()

    def call(self, action: str, /, **arguments: Any) -> Any:
        """Make the hypervisor do something (inside/agent.py lists the calls). Raises HypervisorError if it refuses."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=CALL_SECONDS) as connection:
            connection.sendall(json.dumps({"call": action, "arguments": arguments}).encode() + b"\n")
            try:
                line = connection.makefile("rb").readline()
            except TimeoutError:
                raise LabError(
                    f"The hypervisor did not answer the call {action} within {CALL_SECONDS:.0f} s, so the lab hangs "
                    f"and the test says nothing; its console is in {self.folder}"
                ) from None
        if not line:
            raise LabError(f"The hypervisor ended the call {action} without an answer; its console is in {self.folder}")
        answer = json.loads(line)
        if "fault" in answer:
            raise HypervisorError(answer["fault"], answer["text"])
        return answer["result"]

    def _send_program(self, port: int) -> None:
        connection = _greeted(port, time.monotonic() + BOOT_SECONDS)
        with connection:
            program = program_zip()
            connection.settimeout(BOOT_SECONDS)
            connection.sendall(struct.pack(">I", len(program)) + program)
            if connection.recv(len(READY), socket.MSG_WAITALL) != READY:
                raise LabError(
                    f"The hypervisor's program did not start; its console is in {self.folder / 'console.log'}"
                )


def _greeted(port: int, end: float) -> socket.socket:
    """Return the first connection that the guest greets. QEMU accepts connections before the guest does."""
    while time.monotonic() < end:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=BOOT_SECONDS)
            if connection.recv(len(GREETING), socket.MSG_WAITALL) == GREETING:
                return connection
            connection.close()
        except OSError:
            pass
        time.sleep(0.1)
    raise LabError(f"The hypervisor did not boot within {BOOT_SECONDS:.0f} s; is the machine busy?")


def program_zip() -> bytes:
    """Return the program of the guest, which is the package `inside`."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(PROGRAM.glob("*.py")):
            archive.write(path, f"{PROGRAM.name}/{path.name}")
    return content.getvalue()
