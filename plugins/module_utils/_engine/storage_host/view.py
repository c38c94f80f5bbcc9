# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine that the engine runs on is: its addresses, names, mounts and NFS version 4 root, as plain data.

Everything that asks the system is here, so that matching is a pure function of what was seen. Nothing here waits longer
than a time limit: neither a dead DNS server nor a path on a dead network file system can hang a run.
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

# "inet 10.0.2.15/24" of ip and of BSD's ifconfig, "inet addr:10.0.2.15" of the old net-tools
_INTERFACE_ADDRESS = re.compile(r"^\s*inet6?\s+(?:addr:\s*)?([0-9A-Fa-f.:]+)", re.MULTILINE)
_OCTAL_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")
# The last label is never a number, so that a mistyped address is not taken for a name
_HOST_NAME = re.compile(r"(?!(.*\.)?\d+\Z)\w([\w.-]*\w)?")


@dataclass(frozen=True)
class Mount:
    """One line of the mount table. For ZFS `source` is the dataset's (or snapshot's) name."""

    source: str
    root: str  # the directory inside the file system that is mounted; not "/" for most bind mounts
    mountpoint: str
    fstype: str
    visible: bool = True  # False: another mount lies on top, or on a directory above, and hides it


@dataclass(frozen=True)
class StorageHostView:
    """What was seen of the storage host. Addresses and names include the aliases; names are in `host_name` form."""

    addresses: frozenset[Address]  # without loopback addresses, which mean another machine to everybody else
    names: frozenset[str]
    mounts: tuple[Mount, ...] = ()
    pseudo_roots: tuple[str, ...] = ()  # the paths of NFS version 4 clients begin below these directories
    resolved: Mapping[str, frozenset[Address]] = field(default_factory=dict)  # absent: no answer in time
    real_paths: Mapping[str, str] = field(default_factory=dict)  # without symbolic links; absent: not there
    late_paths: frozenset[str] = frozenset()  # no answer in time: whether they are there is not known
    late_aliases: frozenset[str] = frozenset()  # names that have not been resolved, and perhaps can be


def observe(
    aliases: Sequence[str] = (), names: Iterable[str] = (), paths: Iterable[str] = (), limit: float = LOOKUP_SECONDS
) -> StorageHostView:
    """Look at this machine; resolve the host `names` and the directory `paths` that the caller has met elsewhere.

    `aliases` are names and addresses under which others know this machine: behind NAT, virtual addresses, other names.
    Raises InputError for an alias that is neither, DependencyError where no command lists the addresses.
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
    # A mountpoint is its own real path, as the kernel says: a pool that hangs there need not be asked.
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
    """The address that a text stands for, or None. Without brackets and zone; an IPv4-mapped IPv6 address as IPv4."""
    bare = text.strip().partition("%")[0].strip("[]")
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def host_name(text: str) -> str:
    """A host name in the form that can be compared: lower case, without the root's dot."""
    return text.strip().rstrip(".").lower()


def is_host_name(text: str) -> bool:
    """Whether a text can be a host's name; an address is none."""
    return _HOST_NAME.fullmatch(host_name(text)) is not None


def is_localhost(name: str) -> bool:
    """Whether a name means the machine that says it (RFC 6761, and what distributions put into /etc/hosts)."""
    labels = host_name(name).split(".")
    return labels[-1] in ("localhost", "localdomain", "ip6-localhost", "ip6-loopback")


def clean_path(path: str) -> str:
    """An absolute path without doubled or trailing slashes and dots; an NFS path without its first slash gets one."""
    return posixpath.normpath("/" + path.lstrip("/"))


def ancestors(path: str) -> Iterator[str]:
    """The path itself, then each directory above it, up to "/"."""
    while path != "/":
        yield path
        path = posixpath.dirname(path)
    yield path


def resolve(name: str) -> dict[str, frozenset[Address]]:
    """The addresses of a host name (none when there is no such name) under that name and under its canonical one, which
    exportfs writes down instead of an alias. Empty where the resolver cannot say for now; it may take its time.
    """
    answers = _ask_resolver(name, socket.AI_CANONNAME)
    if answers is None:
        return {}
    names = {name, *(host_name(answer[3]) for answer in answers if answer[3])}
    return dict.fromkeys(names, _addresses(answers))


def _look_up(name: str) -> frozenset[Address] | None:
    """The addresses of a host name, None where the resolver cannot say for now."""
    answers = _ask_resolver(name)
    return None if answers is None else _addresses(answers)


def _ask_resolver(name: str, flags: int = 0) -> Sequence[tuple[Any, ...]] | None:
    """What getaddrinfo answers, None where the resolver cannot say for now."""
    try:
        return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
    except socket.gaierror as error:
        return None if error.errno == socket.EAI_AGAIN else ()
    except (OSError, ValueError):  # ValueError: what can be no name, such as an empty label
        return ()


def _addresses(answers: Iterable[tuple[Any, ...]]) -> frozenset[Address]:
    return frozenset(found for answer in answers if (found := address(str(answer[4][0]))) is not None)


def ask_all(ask: Callable[[Question], Answer], questions: Iterable[Question], limit: float) -> dict[Question, Answer]:
    """Ask side by side; the answers that came within `limit` seconds.

    The threads are daemons on purpose: a system call that hangs cannot be stopped, and must not keep the process alive.
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
    """Every address of every interface except loopback addresses; an IPv6 link-local address without its zone."""
    commands = (["ip", "addr"], ["ifconfig", "-a"])
    command = next((argv for argv in commands if find(argv[0])), None)
    if command is None:
        raise DependencyError(
            "Neither ip nor ifconfig is on this storage host, so its addresses are not known", "Install iproute2"
        )
    try:
        ended = run(command, COMMAND_SECONDS)
        ended.check_returncode()
    except (OSError, subprocess.SubprocessError) as error:
        raise DependencyError(
            f"The addresses of this storage host cannot be listed: {printable(error)}",
            f"See why '{' '.join(command)}' fails",
        ) from error
    return parse_addresses(ended.stdout)


def parse_addresses(text: str) -> frozenset[Address]:
    """The addresses in the output of `ip addr` or `ifconfig -a`, without loopback addresses."""
    found = (address(match) for match in _INTERFACE_ADDRESS.findall(text))
    return frozenset(each for each in found if each is not None and not each.is_loopback)


def mount_table() -> tuple[Mount, ...]:
    """The mounts of this machine."""
    return parse_mountinfo(_read("/proc/self/mountinfo"))


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """The mounts of a /proc/<pid>/mountinfo (proc(5)), in its order.

    A mount that is mounted over, or whose directory lies below a later mount, is still listed by the kernel, but no
    path leads to it: walking from the root as the kernel does tells which ones those are.
    """
    lines = [line.partition(" - ") for line in text.splitlines() if " - " in line]
    rows = [(left.split(" "), right.split(" ")) for left, _unused, right in lines]
    known = {left[0] for left, _unused in rows}
    below: dict[tuple[str, str], str] = {}  # (mount, directory) -> the mount on it; "" for what lies above the root
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
    """The paths exported with fsid=0 in the NFS server's table of exports (exportfs(8)), each once.

    The table in force is read rather than /etc/exports: it also holds what the sharenfs property exports.
    """
    roots = []
    for line in etab.splitlines():
        path, _unused, client = line.strip().rpartition("\t")
        options = client.partition("(")[2].rstrip(")").split(",")
        if path and "fsid=0" in options:
            roots.append(clean_path(unescaped(path.strip())))
    return tuple(dict.fromkeys(roots))


def unescaped(text: str) -> str:
    r"""Undo \040 and the like: the kernel and exportfs write blanks, backslashes and more of the bytes of a path so."""
    raw = _OCTAL_ESCAPE.sub(lambda match: bytes([int(match.group(1), 8)]), os.fsencode(text))
    return os.fsdecode(raw)


def split_aliases(aliases: Sequence[str]) -> tuple[set[str], set[Address]]:
    """The host names and the addresses among the aliases. Raises InputError for one that is neither."""
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
                f"The alias '{printable(alias)}' is neither a host name nor an address",
                "Give one name or one address each",
            )
    return names, addresses


def _own_names(machine: str) -> set[str]:
    """The short and the full name; the resolver knows the full one, so it is asked with a time limit."""
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
    """The text of a system table, empty where there is none: another operating system, or no NFS server."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as table:
            return table.read()
    except OSError:
        return ""
