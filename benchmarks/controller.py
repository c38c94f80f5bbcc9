# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m benchmarks.controller`: the cost of hosts and forks on the machine that runs ansible-playbook.

It runs a play on many hosts, all of which are this machine. It measures the CPU time and, repeatedly, the memory of
ansible-playbook and its forks (proportional set size: shared pages count once). One play uses a command that costs
nothing, which gives the controller's own share. Another play uses a module of this collection, which also runs on this
machine. The cost of ssh is not included. The results are for a table in docs/scaling.md.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import scaling_page
from .interpreter import module_environment

importlib.import_module("tests.conftest")  # makes the collection importable, by ansible-playbook too

PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n    - {task}\n      ignore_errors: true\n"
COMMAND = "ansible.builtin.raw: sleep {seconds}"
# The module rejects its input after it has imported everything.
MODULE = (
    "quiesce.vmware_zfs.vmware_coordinated_snapshot: {dataset: tank/bench, name: bench, vm_timeout: 2, max_hold: 1}"
)
FORKS = (5, 20, 40)


def main() -> None:
    memory = {forks: play(COMMAND.format(seconds=5), hosts=forks, forks=forks)["peak_mb"] for forks in FORKS}
    command, module = ([play(task, hosts, 5) for hosts in (5, 45)] for task in (COMMAND.format(seconds=0), MODULE))
    found = {
        "peak_mb": memory,
        "mb_per_fork": (memory[FORKS[-1]] - memory[FORKS[0]]) / (FORKS[-1] - FORKS[0]),
        "mb_without_forks": memory[FORKS[0]]
        - FORKS[0] * (memory[FORKS[-1]] - memory[FORKS[0]]) / (FORKS[-1] - FORKS[0]),
        "command_cpu_seconds_per_host": (command[1]["cpu_seconds"] - command[0]["cpu_seconds"]) / 40,
        "module_cpu_seconds_per_host": (module[1]["cpu_seconds"] - module[0]["cpu_seconds"]) / 40,
    }
    (scaling_page.RESULTS / "controller.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    scaling_page.write()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def play(task: str, hosts: int, forks: int) -> dict[str, Any]:
    """Run the task on `hosts` hosts with `forks` forks. Returns cpu_seconds and peak_mb."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "play.yml").write_text(PLAY.format(task=task), encoding="utf-8")
        Path(folder, "hosts").write_text("".join(f"host{number}\n" for number in range(hosts)), encoding="utf-8")
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts", "-c", "local", "play.yml"]
        environment = {
            **os.environ,
            **module_environment(),
            "VMWARE_ZFS_STATE_DIR": str(Path(folder, "state")),
        }
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = subprocess.Popen(
            [*command, "--forks", str(forks)], cwd=folder, env=environment, stdout=subprocess.DEVNULL
        )
        peak = 0.0
        while running.poll() is None:
            peak = max(peak, memory_mb(running.pid))
            time.sleep(0.25)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if running.returncode:
        raise RuntimeError(f"ansible-playbook failed with {running.returncode}")
    return {"cpu_seconds": cpu(after) - cpu(before), "peak_mb": peak}


def cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def memory_mb(parent: int) -> float:
    """The memory of ansible-playbook and its forks. Their child processes (shell, module) have other command lines."""
    found = 0.0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ansible-playbook" not in (process / "cmdline").read_bytes():
                continue
            facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            if parent not in (int(process.name), int(facts["PPid"])):
                continue
            lines = (process / "smaps_rollup").read_text().splitlines()
        except (OSError, ValueError):  # the process has ended
            continue
        found += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return found


if __name__ == "__main__":
    main()
