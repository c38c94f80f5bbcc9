# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers that take part in a run: a session each, and which of its datastores lie on which datasets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Callable, Iterable, Sequence

from ..errors import LoginRefused, QuiesceError, VSphereError
from ..matching.match import NFS_TYPES, Match, match_here
from ..secret import Secret
from ..state.credentials import Credential, endpoint_of
from ..storage_host.view import mount_table
from ..text import printable
from ..vsphere.datastores import Datastore, list_datastores
from ..vsphere.hosts import managed_by
from ..vsphere.session import Connect, Session
from ..vsphere.vm_watch import VmWatch
from ..zfs.command import Zfs
from ..zfs.datasets import Dataset, list_datasets
from ..zfs.names import is_within, pool_of
from .problem import Problem, related


def datasets_around(zfs: Zfs, pool: str) -> list[Dataset]:
    """The datasets of a pool, and those of other pools that are mounted, for matching datastores.

    Zfs is asked about the one pool only, because it does not answer while another is suspended. The kernel tells what
    is mounted, which is enough to see that a datastore lies on another pool.
    """
    mounts = [mount for mount in mount_table() if mount.fstype == "zfs" and mount.root == "/" and mount.visible]
    others = {
        mount.source: Dataset(mount.source, "filesystem", mount.mountpoint, True)
        for mount in mounts
        if "@" not in mount.source and pool_of(mount.source) != pool
    }
    return [*list_datasets(zfs, pool), *others.values()]


def newest_first(credentials: Iterable[Credential]) -> list[Credential]:
    """Those first whose password is most likely the right one: each was tried when it was stored."""
    return sorted(credentials, key=lambda credential: (credential.updated, credential.id), reverse=True)


def log_in(connect: Connect, passwords: Sequence[tuple[Credential, Secret]]) -> tuple[Session, list[Credential]]:
    """A session of an account for which several passwords may be stored: each is tried once, until one is accepted.

    Returns with it the credentials whose password was refused. Raises what `connect` raises; LoginRefused when all are
    refused. Only a refusal leads on to the next: where the certificate is a wrong one, no other password is sent.
    """
    refused: dict[Secret, LoginRefused] = {}
    for credential, password in passwords:
        if password not in refused:
            try:
                session = connect(endpoint_of(credential), credential.username, password)
            except LoginRefused as error:
                refused[password] = error
            else:
                return session, [one for one, other in passwords if other in refused]
    raise next(iter(refused.values()))


@dataclass
class ServerLogin:
    """One login on one server. `matches` holds the verdict on each of its datastores, by managed object ID; `volumes`
    are those that its credentials account for; `watch` are the VMs on the datastores that carry datasets of the run,
    once it is planned.
    """

    session: Session
    credentials: list[Credential]
    datastores: list[Datastore] = field(default_factory=list)
    matches: dict[str, Match] = field(default_factory=dict)
    volumes: frozenset[str] = frozenset()
    watch: VmWatch | None = None

    @property
    def server(self) -> str:
        return str(self.session.endpoint)

    def judge(self, verdicts: Iterable[Match], datasets: Sequence[Dataset]) -> list[Problem]:
        """Take the verdicts on its datastores, and what the credentials say of them; return what is wrong.

        `datasets` are those of the credentials' pool, and what else is mounted (see `datasets_around`).

        A datastore that may lie on a credential's filesystem, for all that is known, is wrong as well: nobody can say
        that the VMs on it were left out with reason.
        """
        self.matches = {match.datastore.moid: match for match in verdicts}
        problems = [problem for credential in self.credentials for problem in _apply(credential, self, datasets)]
        self.volumes = frozenset().union(*(_volumes_of(credential, self, datasets) for credential in self.credentials))
        return list(dict.fromkeys(problems))

    def carrying(self, datasets: Iterable[str]) -> list[str]:
        """The datastores (managed object IDs) that lie on any of the datasets."""
        wanted = set(datasets)
        return [moid for moid, match in self.matches.items() if wanted.intersection(match.datasets)]

    def called(self, name: str) -> set[str]:
        """The datastores (managed object IDs) of this name; two datacenters may each have one."""
        return self._by_name.get(name, set())

    @cached_property
    def _by_name(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for moid, match in self.matches.items():
            found.setdefault(match.datastore.name, set()).add(moid)
        return found

    @cached_property
    def carried(self) -> frozenset[str]:
        """The datasets that its datastores lie on."""
        return frozenset(name for match in self.matches.values() for name in match.datasets)


def require_unmanaged(session: Session) -> None:
    """Raise VSphereError for an ESXi host that a vCenter manages: it knows its own VMs alone, while those of the other
    hosts, or those that move there, are on the same datastores. And who asks both sees each VM as two.
    """
    vcenter = managed_by(session)
    if vcenter:
        raise VSphereError(
            f"The ESXi host {session.endpoint} is managed by the vCenter {printable(vcenter, 80)} and does not know "
            "the VMs of other hosts",
            "Store a credential of that vCenter and remove the one of the host; if there is no such vCenter any more, "
            "disconnect the host from it in the host's own client",
        )


def open_logins(
    stack: ExitStack,
    credentials: Sequence[Credential],
    password: Callable[[Credential], Secret],
    datasets: Sequence[Dataset],
    aliases: Sequence[str],
    connect: Connect,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[ServerLogin], list[Problem]]:
    """Log in everywhere side by side and match what is found there with `datasets` (see `datasets_around`).

    `stack` logs out when it closes. Returns the sites, and what went wrong with the others: a server that is
    away must not stop the snapshot of the VMs on the rest. Credentials with the same account share a login; `report` is
    told of a password that is not good while another one of its account is.
    """
    accounts: dict[tuple[str, int, str], list[Credential]] = {}
    for credential in credentials:
        accounts.setdefault((credential.hostname, credential.port, credential.username), []).append(credential)
    if not accounts:
        return [], []

    def problem_of(group: list[Credential], error: QuiesceError) -> Problem:
        names = [dataset.name for dataset in datasets]
        return Problem(str(error), frozenset().union(*(related(names, one.filesystem) for one in group)) or None)

    def open_one(group: list[Credential]) -> ServerLogin | Problem:
        try:
            session, refused = log_in(connect, passwords[group[0].id])
        except QuiesceError as error:
            return problem_of(group, error)
        stack.callback(session.close)
        for one in refused:
            report(
                f"{session.endpoint} refused the password of the credential {one.id} and accepted another one of "
                f"'{one.username}'; store it again with vmware_cred"
            )
        try:
            require_unmanaged(session)
            return ServerLogin(session, group, list_datastores(session))
        except QuiesceError as error:
            return problem_of(group, error)

    problems: list[Problem] = []
    passwords: dict[int, list[tuple[Credential, Secret]]] = {}  # by the id of the account's first credential
    for key, group in list(accounts.items()):
        known = passwords[group[0].id] = []
        unreadable: list[QuiesceError] = []
        for one in newest_first(group):
            try:  # the database is for one thread
                known.append((one, password(one)))
            except QuiesceError as error:
                unreadable.append(error)
        if known:
            for failure in unreadable:
                report(str(failure))
        else:
            problems.append(problem_of(group, unreadable[0]))
            del accounts[key]
    with ThreadPoolExecutor(max_workers=max(1, len(accounts))) as pool:
        opened = list(pool.map(open_one, accounts.values()))
    problems += [login for login in opened if isinstance(login, Problem)]
    logins = [login for login in opened if isinstance(login, ServerLogin)]
    found = match_here([datastore for login in logins for datastore in login.datastores], datasets, aliases)
    for login in logins:
        # Verdicts come in the order of the datastores that were asked about.
        mine, found = found[: len(login.datastores)], found[len(login.datastores) :]
        problems += login.judge(mine, datasets)
    return logins, problems


def _apply(credential: Credential, login: ServerLogin, datasets: Sequence[Dataset]) -> Iterable[Problem]:
    """What the credential itself says of its datastores, and what is wrong with that."""
    names = [dataset.name for dataset in datasets]
    concerned = related(names, credential.filesystem)
    for name in credential.datastores:
        named = [moid for moid, match in login.matches.items() if match.datastore.name == name]
        if not named:
            yield Problem(
                f"The credential {credential.id} names the datastore '{printable(name, 80)}', which {login.server} "
                "does not have; name those it has, or leave datastores out to have them matched.",
                concerned or None,
            )
        for moid in named:
            match = login.matches[moid]
            if not match.datasets:  # the person who named it knows more than the addresses tell
                login.matches[moid] = _named(match.datastore, credential.filesystem, datasets)
    unresolved = [match for match in login.matches.values() if match.unresolved and _may_concern(match, concerned)]
    for match in unresolved:
        yield Problem(
            f"Whether the datastore '{printable(match.datastore.name, 80)}' of {login.server} lies on "
            f"{credential.filesystem} is not known: {match.unresolved}.",
            concerned.union(match.possible_datasets) or None,
        )
    if not unresolved and not any(concerned.intersection(match.datasets) for match in login.matches.values()):
        yield Problem(
            f"No datastore of {login.server} lies on {credential.filesystem} (credential {credential.id}); "
            "vmware_datastore_match says why, and aliases or datastores mend it.",
            concerned or None,
        )


def _named(datastore: Datastore, filesystem: str, datasets: Sequence[Dataset]) -> Match:
    """The verdict on a datastore that a credential names: its files lie on the filesystem, or on any that is mounted
    below it, or, where it is no NFS, on any volume below it.
    """
    below = [
        dataset.name
        for dataset in datasets
        if is_within(dataset.name, filesystem) and (dataset.mounted or _may_carry(dataset, datastore))
    ]
    folders = {filesystem: "", **{name: name for name in below if name != filesystem}}
    return Match(
        datastore,
        "named by the credential",
        relation="root",
        folders=tuple((folder, name) for name, folder in folders.items()),
        ambiguous=len(folders) > 1,
    )


def _may_carry(volume: Dataset, datastore: Datastore) -> bool:
    """Whether a datastore may lie on a dataset as on a disk."""
    return volume.kind == "volume" and datastore.type not in NFS_TYPES


def _volumes_of(credential: Credential, login: ServerLogin, datasets: Iterable[Dataset]) -> Iterable[str]:
    """The volumes at or below the credential's filesystem, where it names a datastore for each of them. With fewer
    names than volumes nobody knows which volume is left over.
    """
    named = [match.datastore for match in login.matches.values() if match.datastore.name in credential.datastores]
    disks = {datastore.name for datastore in named if datastore.type not in NFS_TYPES}
    volumes = [one.name for one in datasets if one.kind == "volume" and is_within(one.name, credential.filesystem)]
    return volumes if len(volumes) <= len(disks) else ()


def unknown_volumes(chosen: Iterable[Dataset], logins: Iterable[ServerLogin]) -> list[Problem]:
    """A problem for each of the `chosen` volumes that no credential accounts for: VMs may run on a LUN of it."""
    accounted = frozenset().union(*(login.volumes for login in logins))
    return [
        Problem(
            f"Which VMs use the volume {volume.name} is not known, because no datastore of a stored credential lies on "
            "it; exclude it if no VM uses it, or name its datastore in a credential whose filesystem it is.",
            frozenset([volume.name]),
        )
        for volume in chosen
        if volume.kind == "volume" and volume.name not in accounted
    ]


def _may_concern(match: Match, datasets: frozenset[str]) -> bool:
    """Whether a datastore of which something is not known may lie on any of the datasets."""
    return not match.possible_datasets or not datasets.isdisjoint(match.possible_datasets)
