# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Search a storage host for leaked passwords: in running processes and in the files and logs that they leave."""

from __future__ import annotations

import json
import subprocess
from types import TracebackType
from typing import Sequence

from tests.lab.push import push
from tests.lab.storage_host import StorageHost

# Read the passwords from standard input, so that they are not in the arguments of this script. Inspect all processes
# until the input ends. Then inspect the journal and all files that were written since the marker: world-readable files,
# leftovers of Ansible, core dumps, and the state.
PROGRAM = r"""
import json, os, select, stat, subprocess, sys
canaries = [canary.encode() for canary in json.loads(sys.stdin.readline())]
found, seen = set(), 0
def note(text, place):
    found.update((canary.decode(), place) for canary in canaries if canary in text)
while not select.select([sys.stdin], [], [], 0.3)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what in ("cmdline", "environ"):
            try:
                with open("/proc/%s/%s" % (pid, what), "rb") as file:
                    text = file.read()
            except OSError:
                continue
            seen += b"vmware" in text
            note(text, "the %s of a process" % what)
note(subprocess.run(["journalctl", "--no-pager", "--output=export"], stdout=subprocess.PIPE).stdout, "the journal")
began, read = os.stat("/root/canary-marker").st_mtime, 0
everywhere = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")
private = ("/root/.ansible", "/tmp", "/var/tmp", "/var/lib/systemd/coredump", "/var/crash", "/var/lib/vmware-zfs",
           "/run/vmware-zfs")
for top in everywhere:
    for folder, _folders, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
                if not stat.S_ISREG(status.st_mode) or max(status.st_mtime, status.st_ctime) < began:
                    continue
                if not (status.st_mode & stat.S_IROTH or path.startswith(private)):
                    continue
                with open(path, "rb") as file:
                    read += 1
                    note(file.read(), path)
            except OSError:
                continue
print(json.dumps({"found": sorted(found), "seen": seen, "read": read}))
"""


class Canary:
    """A context that inspects all processes of the host while it is open, and everything else at its end."""

    def __init__(self, host: StorageHost, passwords: Sequence[str]) -> None:
        self._host, self._passwords = host, passwords

    def __enter__(self) -> "Canary":
        push(self._host, {"/root/canary.py": PROGRAM.encode()})
        self._host.ssh(["touch", "/root/canary-marker"])
        self._watcher = subprocess.Popen(
            ["ssh", "-F", str(self._host.ssh_config), "storage", "python3 /root/canary.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._watcher.stdin is not None
        self._watcher.stdin.write(json.dumps(self._passwords) + "\n")
        self._watcher.stdin.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._watcher.kill()
            self._watcher.communicate()

    def found(self) -> set[tuple[str, str]]:
        """Return (password, place) for each hit. Assert that the modules were inspected while they were running."""
        output, _unused = self._watcher.communicate(timeout=120)
        result = json.loads(output)
        assert result["seen"] > 0 and result["read"] > 0, result
        return set(map(tuple, result["found"]))
