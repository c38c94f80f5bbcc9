# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The saved disks and memory of a storage host that has just booted. Every lab resumes from this state."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable

from .cache import product, product_path
from .commands import run
from .emulator import KERNEL_OPTIONS, MEMORY, Emulator, Processor, version
from .places import GUEST_FILES, LOGS, LabError, runtime_folder, short_hash
from .shell import Shell

LOG = LOGS / "saved-state.log"
TANK_SIZE = "8G"
FIRST_START = GUEST_FILES / "first-start.sh"
START_SECONDS = 600.0


def free_port() -> int:
    """Return a free TCP port on the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def overlay(base: Path, disk: Path) -> None:
    """Create a disk as an overlay of `base`."""
    run(
        [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "raw" if base.suffix == ".img" else "qcow2",
            "-b",
            str(base),
            str(disk),
        ],
        LOG,
    )


def saved_state(image: Path, kernel: Path, key: Path, on: Processor, say: Callable[[str], None]) -> Path:
    """Return a folder with `root.qcow2`, `tank.qcow2` and `memory` of the running host at one point in time."""
    cpu = ""
    if on.name == "kvm":  # saved memory can be resumed only on the same type of processor
        cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    path = product_path(
        "saved-state",
        str(image),
        str(kernel),
        version(),
        MEMORY,
        KERNEL_OPTIONS,
        *on.options,
        cpu,
        TANK_SIZE,
        FIRST_START.read_text(),
    )

    def build(folder: Path) -> None:
        mark = f"quiesce-lab-build-{short_hash(str(folder))}"
        emulator = Emulator(mark, folder, runtime_folder() / f"{short_hash(mark)}.qmp")
        emulator.kill()
        shell = Shell(folder / "ssh.config", runtime_folder() / f"{short_hash(mark)}.ssh")
        overlay(image / "root.img", folder / "root.qcow2")
        run(["qemu-img", "create", "-q", "-f", "qcow2", str(folder / "tank.qcow2"), TANK_SIZE], LOG)
        port = free_port()
        shell.write(port, key / "key", image / "host_key.pub", folder / "known_hosts", folder / "bin")
        try:
            say("starting the storage host for the first time")
            emulator.start(kernel, on, {22: port})
            shell.connect(port, START_SECONDS)
            say("making the pool")
            done = shell.run(["sh", "-s"], FIRST_START.read_text(), START_SECONDS)
            if done.returncode:
                raise LabError(f"The storage host's first start failed: {(done.stderr or done.stdout).strip()}")
            shell.disconnect()
            _wait_for("the last login has ended", emulator.console)
            say("saving the running machine")
            with emulator.monitor() as monitor:
                monitor.save(folder / "memory", START_SECONDS)
                monitor.execute("quit")
            emulator.wait_gone()
        except subprocess.TimeoutExpired:
            raise LabError(
                f"The storage host did not finish its first start within {START_SECONDS:.0f} s; is the machine busy?"
            ) from None
        finally:
            shell.disconnect()
            emulator.kill()
        for disk in ("root.qcow2", "tank.qcow2", "memory"):
            os.chmod(folder / disk, 0o444)

    return product(path, build)


def _wait_for(words: str, console: Path) -> None:
    end = time.monotonic() + 60
    while words not in console.read_text(errors="replace"):
        if time.monotonic() > end:
            raise LabError(f"The storage host's console never said {words!r}; what it said is in {console}")
        time.sleep(0.1)
