# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands on the machine with a log, as root if required, and stop them on exit."""

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
    """Return the command, prefixed with sudo if the user is not root."""
    if os.geteuid() == 0:
        return list(argv)
    if not shutil.which("sudo"):
        raise LabError("Building the lab needs root and there is no sudo; run it as root, or install sudo")
    return ["sudo", *argv]


def ask(
    argv: Sequence[str], seconds: float | None = None, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. `stdout` contains all output. The caller checks whether it failed."""
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
    """Run a command to its end and append its output to `log`. Raises LabError with the end of the log on failure."""
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
    """Give the session of `process` the nice value of this thread. A kernel that schedules by session
    (CONFIG_SCHED_AUTOGROUP) ignores the nice values of single processes.
    """
    try:
        nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        Path(f"/proc/{process}/autogroup").write_text(str(nice))
    except OSError:
        pass  # not supported, or only the nice values of processes are available


def output(argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Return the output of a quick command. Raises LabError with the output if it fails."""
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
    """Stop all commands that `run` has started, with their children, and prevent new ones."""
    global _stopping
    with _guard:
        _stopping = True
        for process in _running:
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass


def remove_tree(path: Path) -> None:
    """Remove a folder, even if root created files in it. Never descend into mounts."""
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
