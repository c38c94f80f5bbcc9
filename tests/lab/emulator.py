# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU: the available accelerator, the command line, and the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Sequence

from .cache import locked
from .commands import output
from .places import LabError, cache_root, short_hash
from .qmp import Monitor

QEMU = "qemu-system-x86_64"
MEMORY = "2G"
PROBE_SECONDS = 15.0
KERNEL_OPTIONS = (
    "root=/dev/vda rw console=ttyS0 quiet loglevel=4 net.ifnames=0 mitigations=off init_on_alloc=0 audit=0 apparmor=0 "
    "cryptomgr.notests random.trust_cpu=on nowatchdog no_timer_check systemd.show_status=false"
)


@dataclass(frozen=True)
class Processor:
    """The accelerator that runs the guest."""

    name: str  # `kvm` or `tcg`
    options: Sequence[str]


EMULATED = Processor("tcg", ("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem", "-smp", "2"))
VIRTUAL = Processor("kvm", ("-accel", "kvm", "-cpu", "host", "-smp", "2"))


def version() -> str:
    """Return the first line of QEMU's version output."""
    if not shutil.which(QEMU):
        raise LabError("QEMU is not installed; run `make setup`")
    return output([QEMU, "--version"]).splitlines()[0]


def processor(kernel: Path) -> Processor:
    """Return KVM if a guest boots with it (a device node proves nothing), otherwise emulation. Tested once per boot."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return EMULATED
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    verdict = cache_root() / f"kvm-{short_hash(boot, version(), kernel.name)}"
    with locked(cache_root() / "kvm.lock"):
        if not verdict.exists():
            for older in cache_root().glob("kvm-*"):
                older.unlink()
            verdict.write_text("works" if _kvm_starts(kernel) else "does not work")
    return VIRTUAL if verdict.read_text() == "works" else EMULATED


def _kvm_starts(kernel: Path) -> bool:
    probe = [
        QEMU,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        "-m",
        "256M",
        *VIRTUAL.options,
        "-serial",
        "stdio",
        "-kernel",
        str(kernel / "vmlinuz"),
        "-initrd",
        str(kernel / "initrd"),
        "-append",
        "console=ttyS0 quiet lab.probe",
    ]
    try:
        done = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return b"the probed processor works" in done.stdout


@dataclass(frozen=True)
class Emulator:
    """The process of one guest. `mark` on its command line distinguishes it from all other processes.

    Without a subclass, the guest is a storage host.
    """

    mark: str
    folder: Path  # contains the PID file, the console log, and the disks root.qcow2 and tank.qcow2
    socket: Path
    called: ClassVar[str] = "storage host"
    memory: ClassVar[str] = MEMORY

    @property
    def pid_file(self) -> Path:
        return self.folder / "pid"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def start(self, kernel: Path, on: Processor, ports: dict[int, int], state: Path | None = None) -> None:
        """Start the process. `ports` maps guest ports to machine ports. With `state`, resume from this state."""
        self.socket.unlink(missing_ok=True)
        self.console.unlink(missing_ok=True)
        argv = [
            QEMU,
            "-name",
            self.mark,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "pc",
            "-m",
            self.memory,
            *on.options,
            "-kernel",
            str(kernel / "vmlinuz"),
            "-initrd",
            str(kernel / "initrd"),
            "-append",
            KERNEL_OPTIONS,
            *self.devices(ports),
            "-rtc",
            "base=utc,clock=host",
            "-serial",
            f"file:{self.console}",
            "-qmp",
            f"unix:{self.socket},server=on,wait=off",
            "-pidfile",
            str(self.pid_file),
            "-daemonize",
        ]
        if state is not None:
            argv += ["-incoming", f"exec:cat '{state}'"]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"The {self.called}'s emulator did not start: {done.stderr.strip()}")

    def devices(self, ports: dict[int, int]) -> list[str]:
        """Return the options for the disks and the network cards."""
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{here}-10.0.2.15:{there}" for there, here in ports.items())
        network = ["-netdev", f"user,id=net0{forwards}", "-device", "virtio-net-pci,netdev=net0,romfile="]
        return [*self._disk("root", 0), *self._disk("tank", 1), *network]

    def _disk(self, name: str, order: int) -> list[str]:
        # `unsafe` skips only the machine's own flush to its disk. What the guest flushed has been handed to the
        # machine's kernel by then (qcow2's tables too), which outlives a killed emulator: a power cut of the guest
        # loses nothing that it was promised.
        file = f"file={self.folder / name}.qcow2,format=qcow2,cache=unsafe,discard=unmap,detect-zeroes=unmap"
        device = f"virtio-blk-pci,drive={name},serial={name},addr=0x{order + 5:x}"
        return ["-drive", f"{file},if=none,id={name}", "-device", device]

    def pid(self) -> int | None:
        """The process's number while it lives, else None."""
        try:
            number = int(self.pid_file.read_text())
            words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return number if self.mark.encode() in words else None

    def kill(self) -> None:
        """Kill the process immediately, like a power cut, and wait until it has ended."""
        number = self.pid()
        if number is not None:
            os.kill(number, signal.SIGKILL)
        self.wait_gone()
        self.pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    def wait_gone(self) -> None:
        """Wait until the process has ended."""
        end = time.monotonic() + 10
        while (number := self.pid()) is not None:
            if time.monotonic() > end:
                raise LabError(f"The emulator's process {number} does not end; look at it with `ps -p {number}`")
            time.sleep(0.01)

    def monitor(self) -> Monitor:
        """Connect to the control socket of the process."""
        return Monitor(self.socket)
