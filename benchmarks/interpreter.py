# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that everything measured runs in: the distribution's, as on a storage host, with what we need."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.lab.places import ROOT
from tests.lab.python_environments import distribution_python, virtual_environment


@cache
def storage_host_python() -> Path:
    """The interpreter; the first time its virtual environment is made."""
    place = virtual_environment("measured", ROOT / "requirements.txt", python=distribution_python())
    return place / "bin" / "python"


def module_environment() -> dict[str, str]:
    """What has Ansible run modules as on a storage host: in the distribution's Python, with the runtime's beside it."""
    return {
        "ANSIBLE_PYTHON_INTERPRETER": distribution_python(),
        "VMWARE_ZFS_PYTHON": str(storage_host_python()),
        "PYTHONDONTWRITEBYTECODE": "",
    }
