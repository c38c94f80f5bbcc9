# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a storage host in its initial state and a vCenter for a molecule scenario, and write an Ansible inventory.

    python -m tests.lab.molecule create INVENTORY    start both and write the inventory
    python -m tests.lab.molecule destroy             stop both

The scenarios share both and run one after another. extensions/molecule/create.yml and destroy.yml call this module.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Sequence

from ..collection_path import collections_path
from .places import BUILD, LabError
from .simulator import Simulator, end_stray
from .storage_host import StorageHost

LAB = "molecule"
VCENTER = BUILD / "molecule" / "vcenter"


def create(inventory: Path) -> None:
    collections_path()  # link the checkout as quiesce.vmware_zfs where config.yml expects it
    host = StorageHost(LAB)
    host.reset()
    vcenter = Simulator.start(directory=VCENTER, create_seconds=0.1, remove_seconds=0.1, detached=True)
    inventory.write_text(json.dumps({"all": {"hosts": {"storage": host.inventory()}, "vars": variables(vcenter)}}))


def variables(vcenter: Simulator) -> dict[str, Any]:
    """Return the vCenter variables for the storage host. `vcenter_ca_path` is a path on this machine."""
    return {
        "vcenter_hostname": "10.0.2.2",
        "vcenter_port": vcenter.port,
        "vcenter_username": vcenter.user,
        "vcenter_password": vcenter.password,
        "vcenter_thumbprint": vcenter.thumbprint,
        "vcenter_ca_path": str(vcenter.ca_path),
    }


def destroy() -> None:
    end_stray(VCENTER)
    StorageHost(LAB).down()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.molecule", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("create").add_argument("inventory", type=Path)
    commands.add_parser("destroy")
    options = parser.parse_args(arguments)
    try:
        if options.command == "create":
            create(options.inventory)
        else:
            destroy()
    except LabError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
