# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the machine: run with a log, as root where that is needed, and never left running."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Mapping, Sequence

from .places import LabError

_running: set[subprocess.Popen[str]] = set()
_guard = threading.Lock()
_stopping = False


def as_root(argv: Sequence[str]) -> list[str]:
    """The command, with sudo in front of it where this user is not root."""
    if os.geteuid() == 0:
        return list(argv)
    if not shutil.which("sudo"):
        raise LabError("Building the lab needs root and there is no sudo; run it as root, or install sudo")
    return ["sudo", *argv]


def ask(
    argv: Sequence[str], seconds: float | None = None, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. All that it said is in `stdout`, and whether it failed is for the caller to judge."""
    return subprocess.run(
        list(argv),
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )


def run(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    """Run a command to its end, its output appended to `log`; LabError with the log's last lines if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as out:
        out.write(f"+ {' '.join(argv)}\n")
        out.flush()
        start = out.tell()
        with _guard:
            if _stopping:
                raise LabError("Stopped")
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
            _running.add(process)
        _share_patience(process.pid)
        try:
            status = process.wait()
        finally:
            with _guard:
                _running.discard(process)
    if status:
        with log.open(encoding="utf-8", errors="replace") as text:
            text.seek(start)
            said = [line.rstrip() for line in text.read().splitlines() if line.strip()][-5:]
        raise LabError(
            f"{' '.join(argv[:4])} ended with status {status} ({' | '.join(said)}); the whole output is in {log}"
        )


def _share_patience(process: int) -> None:
    """Make the session that `process` leads as nice as this thread: a kernel that shares the processor out by session
    (CONFIG_SCHED_AUTOGROUP) passes over what single processes ask for.
    """
    try:
        nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        Path(f"/proc/{process}/autogroup").write_text(str(nice))
    except OSError:
        pass  # it does not, or it has no more than the process's own


def output(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """What a quick command prints; LabError with what it said if it fails."""
    done = subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        check=False,
    )
    if done.returncode:
        raise LabError(
            f"{' '.join(argv[:4])} ended with status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def stop_all() -> None:
    """End every command that `run` has under way, each with its children, and let none begin."""
    global _stopping
    with _guard:
        _stopping = True
        for process in _running:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass


def remove_tree(path: Path) -> None:
    """Remove a folder, also one that root filled; nothing that is mounted below it is touched."""
    if not path.exists() and not path.is_symlink():
        return
    below = str(path.resolve()) + "/"
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        mounted = line.split()[1].replace("\\040", " ")
        if mounted.startswith(below):
            subprocess.run(as_root(["umount", mounted]), check=True)
    try:
        shutil.rmtree(path)
    except PermissionError:
        subprocess.run(as_root(["rm", "-rf", "--one-file-system", str(path)]), check=True)
