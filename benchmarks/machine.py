# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine on which the figures are measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

from tests.lab.places import ROOT

from .interpreter import storage_host_python


def facts() -> dict[str, str]:
    """Plain data that does not identify the owner of the machine."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory_gib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "kernel": platform.release(),
        "python": _of_python("import platform; print(platform.python_version())"),
        "pyvmomi": _of_python("import importlib.metadata as m; print(m.version('pyVmomi'))"),
        "ansible_core": importlib.metadata.version("ansible-core"),
    }


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _of_python(question: str) -> str:
    """The output of a program in the Python that is used for the measurements."""
    return subprocess.run(
        [str(storage_host_python()), "-c", question], capture_output=True, text=True, check=True
    ).stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
