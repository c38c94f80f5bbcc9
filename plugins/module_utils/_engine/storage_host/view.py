# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storage host's addresses, names, mounts and NFS version 4 roots, as plain data.

All queries to the system are here, so that the matching is a pure function. Every query has a time limit: a DNS server
or a network file system that does not respond cannot block a run.
"""

from __future__ import annotations

import os
import posixpath
import queue
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence, TypeVar, Union

from ..errors import DependencyError, InputError
from ..process import find, run
from ..text import printable

Address = Union[IPv4Address, IPv6Address]
Question = TypeVar("Question")
Answer = TypeVar("Answer")

LOOKUP_SECONDS = 5.0  # for all host names together; a healthy resolver needs milliseconds
LOOKUP_THREADS = 16
COMMAND_SECONDS = 10.0

# "inet 10.0.2.15/24" in the output of ip and BSD's ifconfig, "inet addr:10.0.2.15" in that of the old net-tools
_INTERFACE_ADDRESS = re.compile(r"^\s*inet6?\s+(?:addr:\s*)?([0-9A-Fa-f.:]+)", re.MULTILINE)
_OCTAL_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
# The last label is never a number, so that a mistyped address is not accepted as a name
_HOST_NAME = re.compile(r"(?!(.*\.)?\d+\Z)\w([\w.-]*\w)?")


@dataclass(frozen=True)
class Mount:
    """One line of the mount table. For ZFS, `source` is the name of the dataset or snapshot."""

    source: str
    root: str  # the mounted directory of the file system; not "/" for most bind mounts
    mountpoint: str
    fstype: str
    visible: bool = True  # False: hidden by another mount on the same directory or a parent directory


@dataclass(frozen=True)
class StorageHostView:
    """The result of observe(). Addresses and names include the aliases. Names have the form of host_name()."""

    addresses: frozenset[Address]  # without loopback addresses, which are different on every machine
    names: frozenset[str]
    mounts: tuple[Mount, ...] = ()
    pseudo_roots: tuple[str, ...] = ()  # NFS version 4 clients use paths relative to these directories
    resolved: Mapping[str, frozenset[Address]] = field(default_factory=dict)  # absent: no answer in time
    real_paths: Mapping[str, str] = field(default_factory=dict)  # without symbolic links; absent: does not exist
    late_paths: frozenset[str] = frozenset()  # no answer in time, so it is not known whether they exist
    late_aliases: frozenset[str] = frozenset()  # aliases that were not resolved in time


def observe(
    aliases: Sequence[str] = (), names: Iterable[str] = (), paths: Iterable[str] = (), limit: float = LOOKUP_SECONDS
) -> StorageHostView:
    """Observe this machine. Resolve the host `names` and the directory `paths`, for example those of datastores.

    `aliases` are additional names and addresses of this machine, such as NAT or virtual addresses. Raises InputError
    for an alias that is neither, and DependencyError if no command lists the addresses.
    """
    alias_names, addresses = split_aliases(aliases)
    own_names = _own_names(socket.gethostname())
    asked = {host_name(name) for name in names if address(name) is None}
    answers = ask_all(_look_up, asked | alias_names, limit)
    resolved = {name: found or frozenset() for name, found in answers.items()}
    for name in alias_names:
        addresses |= {found for found in resolved.get(name, frozenset()) if not found.is_loopback}
    roots = pseudo_roots(_read("/var/lib/nfs/etab"))
    asked_paths = {clean_path(path) for path in paths}
    asked_paths |= {clean_path(root + path) for root in roots for path in asked_paths}
    mounts = mount_table()
    # The kernel's mount table has real paths. A mountpoint needs no lookup, which could hang with its pool.
    mountpoints = asked_paths.intersection(mount.mountpoint for mount in mounts if mount.visible)
    found_paths = ask_all(_real_path, asked_paths - mountpoints, limit) | {path: path for path in mountpoints}
    return StorageHostView(
        addresses=frozenset(addresses | local_addresses()),
        names=frozenset(alias_names | own_names),
        mounts=mounts,
        pseudo_roots=roots,
        resolved=resolved,
        real_paths={path: real for path, real in found_paths.items() if real},
        late_paths=frozenset(asked_paths.difference(found_paths)),
        late_aliases=frozenset(name for name in alias_names if answers.get(name) is None),
    )


def address(text: str) -> Address | None:
    """Parse an IP address, or return None. Removes brackets and zone. An IPv4-mapped IPv6 address becomes IPv4."""
    bare = text.strip().partition("%")[0].strip("[]")
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def host_name(text: str) -> str:
    """Normalize a host name for comparison: lower case, without the final dot."""
    return text.strip().rstrip(".").lower()


def is_host_name(text: str) -> bool:
    """Return whether a text is a valid host name. An address is not."""
    return _HOST_NAME.fullmatch(host_name(text)) is not None


def is_localhost(name: str) -> bool:
    """Return whether a name refers to the local machine (RFC 6761, and names that distributions put in /etc/hosts)."""
    labels = host_name(name).split(".")
    return labels[-1] in ("localhost", "localdomain", "ip6-localhost", "ip6-loopback")


def clean_path(path: str) -> str:
    """Normalize an absolute path: no repeated or trailing slashes, no dots. A missing first slash is added (NFS)."""
    return posixpath.normpath("/" + path.lstrip("/"))


def ancestors(path: str) -> Iterator[str]:
    """Yield the path, then each parent directory, up to "/"."""
    while path != "/":
        yield path
        path = posixpath.dirname(path)
    yield path


def resolve(name: str) -> dict[str, frozenset[Address]]:
    """Return the addresses of a host name by that name and by its canonical name, which exportfs writes instead of an
    alias. A name that does not exist has no addresses. The result is empty if the resolver fails temporarily. This call
    has no time limit.
    """
    answers = _ask_resolver(name, socket.AI_CANONNAME)
    if answers is None:
        return {}
    names = {name, *(host_name(answer[3]) for answer in answers if answer[3])}
    return dict.fromkeys(names, _addresses(answers))


def _look_up(name: str) -> frozenset[Address] | None:
    """Return the addresses of a host name, or None if the resolver fails temporarily."""
    answers = _ask_resolver(name)
    return None if answers is None else _addresses(answers)


def _ask_resolver(name: str, flags: int = 0) -> Sequence[tuple[Any, ...]] | None:
    """Return the result of getaddrinfo, or None if the resolver fails temporarily."""
    try:
        return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        return None if error.errno == socket.EAI_AGAIN else ()
    except (OSError, ValueError):  # ValueError: not a valid name, for example with an empty label
        return ()


def _addresses(answers: Iterable[tuple[Any, ...]]) -> frozenset[Address]:
    return frozenset(found for answer in answers if (found := address(str(answer[4][0]))) is not None)


def ask_all(ask: Callable[[Question], Answer], questions: Iterable[Question], limit: float) -> dict[Question, Answer]:
    """Ask all questions in parallel. Return the answers that arrive within `limit` seconds.

    The threads are daemons, because a system call that hangs cannot be stopped and must not keep the process alive.
    """
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    answered: queue.SimpleQueue[tuple[Question, Answer]] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)
    count = waiting.qsize()

    def work() -> None:
        while True:
            try:
                question = waiting.get_nowait()
            except queue.Empty:
                return
            answered.put((question, ask(question)))

    for _unused in range(min(count, LOOKUP_THREADS)):
        threading.Thread(target=work, daemon=True).start()
    answers: dict[Question, Answer] = {}
    deadline = time.monotonic() + limit
    try:
        while len(answers) < count:
            question, answer = answered.get(timeout=max(0.0, deadline - time.monotonic()))
            answers[question] = answer
    except queue.Empty:
        pass
    return answers


def local_addresses() -> frozenset[Address]:
    """Return the addresses of all interfaces, without loopback addresses and without the zones of IPv6 addresses."""
    commands = (["ip", "addr"], ["ifconfig", "-a"])
    command = next((argv for argv in commands if find(argv[0])), None)
    if command is None:
        raise DependencyError(
            "The addresses of this storage host are not known, because it has neither 'ip' nor 'ifconfig'",
            "Install iproute2",
        )
    try:
        ended = run(command, COMMAND_SECONDS)
        ended.check_returncode()
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError(
            f"The addresses of this storage host cannot be listed: {printable(error)}",
            f"Check why '{' '.join(command)}' fails",
        ) from error
    return parse_addresses(ended.stdout)


def parse_addresses(text: str) -> frozenset[Address]:
    """Return the addresses in the output of `ip addr` or `ifconfig -a`, without loopback addresses."""
    found = (address(match) for match in _INTERFACE_ADDRESS.findall(text))
    return frozenset(each for each in found if each is not None and not each.is_loopback)


def mount_table() -> tuple[Mount, ...]:
    """Return the mounts of this machine."""
    return parse_mountinfo(_read("/proc/self/mountinfo"))


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Return the mounts of a /proc/<pid>/mountinfo (proc(5)), in the same order.

    The kernel also lists mounts that a later mount on the same directory, or on a parent directory, hides. To find
    them, this function resolves each mountpoint from the root as the kernel does.
    """
    lines = [line.partition(" - ") for line in text.splitlines() if " - " in line]
    rows = [(left.split(" "), right.split(" ")) for left, _unused, right in lines]
    known = {left[0] for left, _unused in rows}
    below: dict[tuple[str, str], str] = {}  # (mount, directory) -> the mount on it; "" is the parent of the root
    for left, _unused in rows:
        parent = left[1] if left[1] in known and left[1] != left[0] else ""
        below[parent, unescaped(left[4])] = left[0]

    def reached(path: str) -> str:
        here = ""
        for step in reversed(list(ancestors(path))):
            while (here, step) in below:
                here = below[here, step]
        return here

    return tuple(
        Mount(unescaped(right[1]), unescaped(left[3]), mountpoint, right[0], reached(mountpoint) == left[0])
        for left, right in rows
        for mountpoint in (unescaped(left[4]),)
    )


def pseudo_roots(etab: str) -> tuple[str, ...]:
    """Return the paths that are exported with fsid=0 in the NFS server's table of exports (exportfs(8)).

    The table of active exports also contains the exports of the property sharenfs, which /etc/exports does not.
    """
    roots = []
    for line in etab.splitlines():
        path, _unused, client = line.strip().rpartition("\t")
        options = client.partition("(")[2].rstrip(")").split(",")
        if path and "fsid=0" in options:
            roots.append(clean_path(unescaped(path.strip())))
    return tuple(dict.fromkeys(roots))


def unescaped(text: str) -> str:
    r"""Decode octal escapes such as \040. The kernel and exportfs escape spaces, backslashes and other bytes so."""
    raw = _OCTAL_ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), os.fsencode(text))
    return os.fsdecode(raw)


def split_aliases(aliases: Sequence[str]) -> tuple[set[str], set[Address]]:
    """Split the aliases into host names and addresses. Raises InputError for one that is neither."""
    names: set[str] = set()
    addresses: set[Address] = set()
    for alias in aliases:
        parsed = address(alias)
        if parsed is not None:
            addresses.add(parsed)
        elif is_host_name(alias):
            names.add(host_name(alias))
        else:
            raise InputError(
                f"The alias '{printable(alias)}' is neither a host name nor an IP address",
                "Set each alias to one host name or one IP address",
            )
    return names, addresses


def _own_names(machine: str) -> set[str]:
    """Return the short and the full name. The full name comes from the resolver, with a time limit."""
    canonical = ask_all(socket.getfqdn, [machine], LOOKUP_SECONDS).get(machine, machine)
    full = {host_name(machine), host_name(canonical)}
    return {name for name in full | {name.partition(".")[0] for name in full} if name and not is_localhost(name)}


def _real_path(path: str) -> str:
    try:
        real = os.path.realpath(path)
        return real if os.path.exists(real) else ""
    except ValueError:  # a null byte
        return ""


def _read(path: str) -> str:
    """Return the text of a system table, or "" if it does not exist: another operating system, or no NFS server."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as table:
            return table.read()
    except OSError:
        return ""
