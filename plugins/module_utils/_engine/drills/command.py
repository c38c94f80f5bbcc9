# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the user's own program for a VM of a drill. It gets what it needs in environment variables, and no secret."""

from __future__ import annotations

import posixpath
import threading
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping

from ..door.host import Ended, ProgramTimeout, StorageHost
from ..errors import InputError
from ..records.verdicts import FAILED, INCONCLUSIVE
from ..restore.flow import Part
from ..restore.sources import Source
from ..secret import Secret
from ..snapshots.scheduler import Sleep
from ..text import printable, reason_of
from .result import VmDrilled

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POLL = 0.2  # seconds between checks whether the program has ended
_STOPPED = 10.0  # seconds until a program ends that is killed because the drill is stopped
_MOST_OUTPUT = 1000  # characters
_CHECK_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """The verdict because of the program, "" if its status is 0, and why. `output` is the end of its output."""

    verdict: str = ""
    reason: str = ""
    output: str = ""


def check_command(host: StorageHost, command: str) -> None:
    """Raise InputError unless the program is a file of root that nobody else can change."""
    if not command:
        return
    private = ["-user", "0", "!", "-perm", "-0020", "!", "-perm", "-0002", "-perm", "-0100"]
    try:
        found = host.run(["find", "-L", command, "-prune", "-type", "f", *private], _CHECK_SECONDS)
    except OSError as error:
        raise InputError(f"The command {printable(command, 200)} cannot be checked: {reason_of(error)}") from error
    if not found.output.strip():
        raise InputError(
            f"The command {printable(command, 200)} is not a program that only root can change",
            "Give the path of a program on the storage host, with the owner root and the mode 0755 or 0700",
        )


def base_disks(source: Source) -> Iterator[str]:
    """Yield the paths of the files with the data of the VM's base disks, in the ZFS snapshot, which is read-only."""
    folder = posixpath.join(source.mountpoint, ".zfs", "snapshot", source.snapshot.name, source.vm.folder)
    for disk in source.vm.disks:
        for extent in disk.chain.base.extents if disk.chain.base is not None else ():
            if extent.file and "/" not in extent.file:
                yield posixpath.join(folder, extent.file)


def environment(source: Source, vm: VmDrilled) -> dict[str, str]:
    """Return the environment of the program: nothing of that of the engine."""
    return {
        "PATH": _PATH,
        "LC_ALL": "C.UTF-8",
        "VMWARE_ZFS_VM": source.name,
        "VMWARE_ZFS_DRILL_VM": vm.drill_name,
        "VMWARE_ZFS_ADDRESS": vm.address,
        "VMWARE_ZFS_SNAPSHOT": str(source.snapshot),
        "VMWARE_ZFS_DISKS": "\n".join(base_disks(source)),
        "VMWARE_ZFS_VERDICT": vm.verdict,
    }


def run_command(
    host: StorageHost,
    command: str,
    variables: Mapping[str, str],
    seconds: float,
    stopped: Callable[[], bool],
    secret: Secret,
) -> Part[Outcome]:
    """Run the program in a thread, because other VMs must not wait for it. `secret` is hidden in its output."""
    # The program gets these variables only: `env -i` is also what another transport to the storage host can run.
    words = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), command]
    answers: list[Outcome] = []
    thread = threading.Thread(
        target=lambda: answers.append(_run(host, words, seconds, stopped, secret)), name="command", daemon=True
    )
    thread.start()
    while thread.is_alive():
        yield Sleep(_POLL)
        if stopped():  # no pause is a pause any more
            thread.join(_STOPPED)
            break
    return answers[0] if answers else Outcome(INCONCLUSIVE, "The drill was stopped while the command ran.")


def _run(host: StorageHost, words: list[str], seconds: float, stopped: Callable[[], bool], secret: Secret) -> Outcome:
    try:
        ended = host.run(words, seconds, hurry=stopped)
    except ProgramTimeout:
        if stopped():
            return Outcome(INCONCLUSIVE, "The drill was stopped while the command ran.")
        return Outcome(FAILED, f"The command did not end within {seconds:g} s.")
    except (OSError, ValueError) as error:
        return Outcome(INCONCLUSIVE, f"The command could not be run: {reason_of(error)}.")
    output = _end_of(ended, secret)
    if ended.status == 0:
        return Outcome(output=output)
    said = f": {printable(output, 300)}" if output else ""
    return Outcome(FAILED, f"The command ended with status {ended.status}{said}".rstrip(".") + ".", output)


def _end_of(ended: Ended, secret: Secret) -> str:
    """Return the end of the output, as one printable line without the password of the drill."""
    text = f"{ended.output.rstrip()}\n{ended.complaint.rstrip()}".strip()
    if secret.reveal():
        text = text.replace(secret.reveal(), "********")
    return printable(text[-_MOST_OUTPUT:], None)
