# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up a machine so that a lab starts in seconds."""

from __future__ import annotations

from typing import Any

from . import simulator
from .archive import read_archive
from .cache import remove_unused
from .emulator import processor
from .hypervisor.image import hypervisor_image
from .kernel import kernel
from .machine_packages import install_missing
from .python_environments import development_environment, guest_wheels
from .root_filesystem import base_system, disk_image, login_key
from .saved_state import saved_state
from .steps import Runner, Say, Step
from .storage_host import Built
from .zfs_module import zfs_module

ARCHIVE, PACKAGES, KERNEL, PROBE, MODULE = (
    "Debian archive",
    "machine's packages",
    "guest kernel",
    "processor probe",
    "OpenZFS module",
)
BASE, KEY, WHEELS, IMAGE, STATE = "base system", "login key", "guest wheels", "disk image", "saved state"
VENV, SIMULATOR, HYPERVISOR = "virtual environment", "simulated vCenter", "hypervisor image"


def steps(refresh: bool) -> list[Step]:
    """Return the steps with their dependencies."""

    def image(say: Say, done: dict[str, Any]) -> Any:
        return disk_image(done[ARCHIVE], done[BASE], done[KERNEL], done[MODULE], done[WHEELS], done[KEY], say)

    def state(say: Say, done: dict[str, Any]) -> Any:
        return saved_state(done[IMAGE], done[KERNEL], done[KEY], done[PROBE], say)

    return [
        Step(ARCHIVE, lambda say, done: read_archive(refresh)),
        Step(MODULE, lambda say, done: zfs_module(done[ARCHIVE], say), [ARCHIVE]),
        Step(PACKAGES, lambda say, done: install_missing(done[ARCHIVE], say), [ARCHIVE]),
        Step(KERNEL, lambda say, done: kernel(done[ARCHIVE]), [ARCHIVE]),
        Step(BASE, lambda say, done: base_system(done[ARCHIVE]), [PACKAGES], patience=5),
        Step(WHEELS, lambda say, done: guest_wheels(done[ARCHIVE]), [PACKAGES], patience=5),
        Step(KEY, lambda say, done: login_key(), [PACKAGES]),
        Step(PROBE, lambda say, done: processor(done[KERNEL]), [KERNEL, PACKAGES]),
        Step(VENV, lambda say, done: development_environment(), [PACKAGES], patience=10),
        Step(SIMULATOR, lambda say, done: simulator.build(), [PACKAGES], patience=10),
        Step(IMAGE, image, [BASE, KERNEL, MODULE, WHEELS, KEY]),
        Step(STATE, state, [IMAGE, PROBE]),
        Step(
            HYPERVISOR, lambda say, done: hypervisor_image(done[ARCHIVE], done[KERNEL]), [KERNEL, PACKAGES], patience=5
        ),
    ]


def main(refresh: bool = False) -> None:
    """Build missing products and print the durations. Raises LabError if a step fails."""
    print("Setting up the lab (what was built before is used again).", flush=True)
    runner = Runner(steps(refresh))
    done = runner.run()
    Built(done[KERNEL], done[IMAGE], done[STATE], done[KEY], done[HYPERVISOR], done[PROBE]).write()
    remove_unused()
    print(runner.table(), flush=True)
