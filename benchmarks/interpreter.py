# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python for the measurements: that of the distribution, as on a storage host, with our requirements."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.lab.places import ROOT
from tests.lab.python_environments import distribution_python, virtual_environment


@cache
def storage_host_python() -> Path:
    """The interpreter. The first call creates its virtual environment."""
    place = virtual_environment("measured", ROOT / "requirements.txt", python=distribution_python())
    return place / "bin" / "python"


def module_environment() -> dict[str, str]:
    """Variables that make Ansible run modules as on a storage host: Python of the distribution, plus the runtime's."""
    return {
        "ANSIBLE_PYTHON_INTERPRETER": distribution_python(),
        "VMWARE_ZFS_PYTHON": str(storage_host_python()),
        "PYTHONDONTWRITEBYTECODE": "",
    }
