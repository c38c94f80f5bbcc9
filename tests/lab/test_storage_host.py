# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the guarantees of the lab: exact arguments, real power cuts, initial state after a reset, no leftovers."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from .places import LabError
from .storage_host import StorageHost


@pytest.fixture(scope="module")
def host() -> Iterator[StorageHost]:
    lab = StorageHost("lab-itself")
    lab.reset()
    yield lab
    lab.down()


def zfs(host: StorageHost, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(host.path_dir / "zfs"), *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "value", ["two words", "it's", 'say "so"', "a\nb", "$(id) `id` $HOME", "@=%*?[x]", "-dash", "\\", " "]
)
def test_wrapper_hands_over_every_word_as_it_is(host: StorageHost, value: str) -> None:
    assert zfs(host, "set", f"lab:word={value}", "tank/other").stderr == ""
    assert zfs(host, "get", "-H", "-o", "value", "lab:word", "tank/other").stdout == value + "\n"


def test_wrapper_has_the_status_and_the_words_of_the_real_command(host: StorageHost) -> None:
    done = zfs(host, "list", "tank/nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cannot open 'tank/nope': dataset does not exist\n"
    assert zfs(host, "no-such-subcommand").returncode == 2


def test_wrapper_leaves_standard_input_to_the_caller_but_for_receive(host: StorageHost) -> None:
    loop = "printf 'tank/vmware\\ntank/other\\n' | while read -r name; do zfs list -H -o name \"$name\"; done"
    path = {**os.environ, "PATH": f"{host.path_dir}:{os.environ['PATH']}"}
    assert subprocess.check_output(["bash", "-c", loop], env=path, text=True) == "tank/vmware\ntank/other\n"
    subprocess.run(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            "zfs snapshot tank/other@sent; zfs send tank/other@sent | zfs receive tank/got",
        ],
        env=path,
        check=True,
    )
    assert zfs(host, "list", "-H", "-o", "name", "tank/got").stdout == "tank/got\n"


def test_wrapper_hands_over_more_than_fits_into_one_argument(host: StorageHost) -> None:
    """The limit of one argument is 128 KiB; ssh gets the whole command as one."""
    words = [f"tank/none-{number}-{'x' * 200}" for number in range(1000)]
    told = zfs(host, "list", *words)
    assert told.returncode == 1 and told.stderr.count("does not exist") == len(words)
    program = [str(host.path_dir / "zfs"), "program", "tank", "-", *words]
    done = subprocess.run(
        program, input='return #(...)["argv"]', capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and "return: 1000" in done.stdout, done.stderr


def test_nfs_is_served_on_its_port(host: StorageHost) -> None:
    # RFC 5531: a call of the procedure that does nothing (0) of NFS (program 100003) version 3, without credentials.
    call = struct.pack(">10I", 7, 0, 2, 100003, 3, 0, 0, 0, 0, 0)
    with socket.create_connection(("127.0.0.1", host.nfs_port), timeout=30) as connection:
        connection.sendall(struct.pack(">I", 0x80000000 | len(call)) + call)
        answer = connection.recv(4 + 24, socket.MSG_WAITALL)
    number, reply, accepted, _unused, _unused, success = struct.unpack(">6I", answer[4:])
    assert (number, reply, accepted, success) == (7, 1, 0, 0)
    assert host.ssh(["exportfs", "-v"]).stdout == "", "a pristine host exports nothing"


def test_guest_reaches_the_loopback_services_of_the_machine(host: StorageHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('10.0.2.2', {port})).sendall(b'hello')"
        host.ssh(["python3", "-c", script])
        connection, _unused = server.accept()
        with connection:
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"


def test_reset_gives_a_pristine_host_with_the_right_time(host: StorageHost) -> None:
    host.ssh(["sh", "-c", "zfs create tank/extra && date -s @1000000000 && touch /etc/extra"])
    host.reset()
    names = "tank\ntank/other\ntank/vmware\ntank/vmware/nested\n"
    assert zfs(host, "list", "-H", "-t", "all", "-o", "name").stdout == names
    assert host.ssh(["test", "-e", "/etc/extra"], check=False).returncode == 1
    assert abs(float(host.ssh(["date", "+%s.%N"]).stdout) - time.time()) < 10


def test_power_cut_keeps_what_was_flushed_and_the_next_boot_has_it(host: StorageHost) -> None:
    host.reset()
    host.ssh(["sh", "-c", "echo kept >/tank/vmware/f && sync /tank/vmware/f && echo kept >/etc/f && sync /etc/f"])
    host.ssh(["zfs", "snapshot", "tank/vmware@before"])
    boot_before = host.ssh(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    host.power_cut()
    assert not host.running()
    with pytest.raises(LabError, match="does not run"):
        host.ssh(["true"])
    host.boot()
    assert host.ssh(["cat", "/proc/sys/kernel/random/boot_id"]).stdout != boot_before
    assert host.ssh(["cat", "/tank/vmware/f", "/etc/f"]).stdout == "kept\nkept\n"
    assert zfs(host, "list", "-H", "-t", "snapshot", "-o", "name").stdout == "tank/vmware@before\n"
    assert host.ssh(["systemctl", "is-system-running"]).stdout == "running\n"


def test_second_lab_runs_beside_the_first_and_a_crash_is_cleaned_up(host: StorageHost) -> None:
    host.up()
    second = StorageHost("lab-itself-2")
    second.up()
    try:
        second.ssh(["zfs", "create", "tank/second"])
        assert zfs(host, "list", "tank/second").returncode == 1
        os.kill(second.status()["pid"], signal.SIGKILL)  # PID file, sockets, connection become stale
        second.up()
        assert zfs(second, "list", "tank/second").returncode == 1
    finally:
        second.down()
    assert not second.running()
    assert zfs(host, "list", "tank").returncode == 0


def test_process_that_is_not_ours_is_never_ended(host: StorageHost) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    third = StorageHost("lab-itself-3")
    try:
        third.folder.mkdir(parents=True, exist_ok=True)
        (third.folder / "pid").write_text(str(stranger.pid))
        assert not third.running()
        third.down()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
