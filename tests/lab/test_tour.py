# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow docs/start/lab.md: run each command as it is written, in order, in the lab of this checkout.

The hypervisor mounts the share that the role nfs_share has made, where the role nfs_datastore has a datastore.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from .places import BUILD, ROOT
from .storage_host import StorageHost

PAGE = (ROOT / "docs" / "start" / "lab.md").read_text()
TOUR = PAGE.partition("## Do it yourself")[2]
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(shell|yaml)\n(.*?)^```$", TOUR, re.DOTALL | re.MULTILINE)
RUN, STATUS, VMS = ("tests/lab/lab ssh -t vmware-zfs run 1", "tests/lab/lab ssh vmware-zfs status", "tests/lab/lab vms")
SHOW, DISKS = "tests/lab/lab ssh vmware-zfs show RUN", "tests/lab/lab disks tank/vmware"
RECOVER = "tests/lab/lab ssh vmware-zfs recover"
WAIT_SECONDS = 240.0


@dataclass(frozen=True)
class Expected:
    """What a command prints: patterns that match a line, and the status that it ends with. `absent` is in no line."""

    patterns: tuple[str, ...] = ()
    absent: str = ""
    statuses: tuple[int, ...] = (0,)
    wait: bool = False  # repeat the command until it prints all patterns

    def problem(self, output: str, status: int) -> str:
        missing = [one for one in self.patterns if not re.search(one, output, re.MULTILINE)]
        if missing:
            return f"it does not print {missing}"
        if self.absent and re.search(self.absent, output, re.MULTILINE):
            return f"it prints {self.absent}"
        return "" if status in self.statuses else f"its status is {status}"


def ok(*patterns: str) -> Expected:
    return Expected(patterns)


# What a command prints, the first time, the second time and so on. Other commands must only succeed.
EXPECTED: dict[str, list[Expected]] = {
    RUN: [
        ok("filesystem"),
        Expected(("crash", "fw01"), statuses=(3,)),
        ok("accepted at crash"),  # with real VMs
        Expected(("quiescing failed",), statuses=(3,)),
        ok(),  # no-freeze: the run does not see it
        Expected(
            ("web-2",), statuses=(1, 3)
        ),  # 3: the run of the timer was first, so there is a VMware snapshot already
    ],
    STATUS: [
        ok(r"auto-\S+ +filesystem +complete"),
        ok("not complete"),
        Expected(("web-2",), statuses=(1,)),
        Expected(("web-1", "no recovery has checked for it yet"), statuses=(1,)),
    ],
    SHOW: [
        ok("^web-1 .*filesystem", "^db .*application", "^archive .*still"),
        ok("^web-1 .*crash.*quiescing failed"),
    ],
    VMS: [
        ok("^archive +vmware +off", "^db .* windows "),
        ok("^web-2 .* removal +vmware-zfs "),
        Expected(("^web-1 .*vmware-zfs ", "^db .*vmware-zfs "), wait=True),
        ok("^web-1 .*vmware-zfs ", "^db .*vmware-zfs "),
        Expected(("^web-1 ",), absent="vmware-zfs "),
    ],
    "tests/lab/lab disks tank/vmware@bare": [ok("^erp +none +needed", "^fw02 +none +needed", "^mail +none +needed")],
    DISKS: [
        ok(
            "^erp +application +not needed +0 +yes +complete +yes$",
            "^fw02 +crash +needed .* yes$",
            "^mail +filesystem +not needed +0 .* yes$",
        ),
        ok("^erp +application +not needed .* yes$", "^mail +filesystem +needed .* no: the journal needs recovery"),
    ],
    "tests/lab/lab ssh ls -A /tank/vmware/mail": [ok(r"mail-flat\.vmdk", r"mail\.vmx")],
    "tests/lab/lab fail": [ok("^quiesce ", "^no-freeze ")],
}


@pytest.fixture
def lab() -> Iterator[StorageHost]:
    """The lab of this checkout, which the page uses."""
    lab = StorageHost()
    assert not lab.running(), "the lab of this checkout is in use; stop it with `tests/lab/lab down`"
    yield lab
    subprocess.run(["tests/lab/lab", "down"], cwd=ROOT, check=True)


@dataclass
class Reader:
    """A person who follows the page: with a terminal, and with the variables that the page has exported."""

    lab: StorageHost
    exported: str = ""
    expected: dict[str, list[Expected]] = field(
        default_factory=lambda: {key: [*each] for key, each in EXPECTED.items()}
    )

    def follow(self, language: str, text: str) -> None:
        if language == "yaml":
            self._save(text)
            return
        for command in text.splitlines():
            self._do(command)
            if command.startswith("export "):
                self.exported += f"{command}\n"

    def _save(self, text: str) -> None:
        """Save the first block as the playbook. Add the second one to it, and apply the playbook again."""
        playbook = BUILD / "lab" / "site.yml"
        if not self.exported:
            playbook.write_text(text)
            return
        playbook.write_text(playbook.read_text() + text)
        self._do(re.search(r"^build/venv/bin/ansible-playbook .*site\.yml$", PAGE, re.MULTILINE)[0])  # type: ignore[index]

    def _do(self, command: str) -> None:
        coming = self.expected.get(command, [])
        expected = coming.pop(0) if coming else Expected()
        end = time.monotonic() + WAIT_SECONDS
        while True:
            began = time.monotonic()
            output, status = self._type(
                command.replace(" RUN", f" {self._newest_run()}") if command == SHOW else command
            )
            print(f"$ {command}  # {time.monotonic() - began:.0f} s\n{output}", flush=True)
            problem = expected.problem(output, status)
            if not problem or not expected.wait or time.monotonic() > end:
                break
            time.sleep(1.0)
        assert not problem, f"{command}: {problem}:\n{output}"

    def _type(self, command: str) -> tuple[str, int]:
        terminal, keyboard = pty.openpty()
        try:
            done = subprocess.run(
                ["bash", "-euc", self.exported + command],
                cwd=ROOT, env=os.environ, stdin=keyboard, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                check=False,
            )  # fmt: skip
        finally:
            os.close(terminal)
            os.close(keyboard)
        return done.stdout.replace("\r", ""), done.returncode

    def _newest_run(self) -> str:
        shown = json.loads(self.lab.ssh(["vmware-zfs", "status", "--json"], check=False).stdout)
        ended: list[str] = [run["run_id"] for run in shown["runs"] if run["state"] == "ended"]
        return ended[0]


@pytest.mark.check  # it takes about a quarter of an hour
def test_tour(lab: StorageHost) -> None:
    reader = Reader(lab)
    for language, text in BLOCKS:
        reader.follow(language, text)
    assert {command: left for command, left in reader.expected.items() if left} == {}
    assert not lab.running()


def test_every_expectation_is_of_a_command_of_the_page() -> None:
    commands = [line for language, text in BLOCKS if language == "shell" for line in text.splitlines()]
    assert {command: commands.count(command) for command in EXPECTED} == {
        command: len(expected) for command, expected in EXPECTED.items()
    }
