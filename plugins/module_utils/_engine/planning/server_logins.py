# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of a run: a session on each server, and which datastore is on which dataset."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Callable, Iterable, Sequence

from ..door.host import StorageHost
from ..errors import LoginRefused, QuiesceError, VSphereError
from ..matching.match import NFS_TYPES, Match, match_on
from ..secret import Secret
from ..state.credentials import Credential, by_account, endpoint_of
from ..text import printable
from ..vsphere.datastores import Datastore, list_datastores
from ..vsphere.hosts import managed_by
from ..vsphere.session import Connect, Session
from ..vsphere.vm_watch import VmWatch
from ..zfs.datasets import Dataset
from ..zfs.names import is_within
from .problem import Problem, related


def newest_first(credentials: Iterable[Credential]) -> list[Credential]:
    """Return them newest first: each password was tested when it was stored, so the newest is most likely correct."""
    return sorted(credentials, key=lambda credential: (credential.updated, credential.id), reverse=True)


def log_in(connect: Connect, passwords: Sequence[tuple[Credential, Secret]]) -> tuple[Session, list[Credential]]:
    """Log in to an account for which several passwords may be stored. Each one is tried once until one is accepted.

    Returns the session and the credentials whose password was rejected. Raises what `connect` raises, and LoginRefused
    if all passwords are rejected. After any other error, such as an untrusted certificate, no other password is sent.
    """
    refused: dict[Secret, LoginRefused] = {}
    for credential, password in passwords:
        if password not in refused:
            try:
                session = connect(endpoint_of(credential), credential.username, password)
            except LoginRefused as error:
                refused[password] = error
            else:
                return session, [other for other, its_password in passwords if its_password in refused]
    raise next(iter(refused.values()))


@dataclass
class ServerLogin:
    """One login on one server.

    `matches` are the verdicts on the datastores of the server, by managed object ID. `volumes` are the volumes whose
    datastores the credentials name. `watch` is set by the plan: the VMs on the datastores of the run.
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
        """Store the verdicts on the datastores, apply the credentials to them, and return the problems.

        `datasets` are those of the credentials' pool and all other mounted ones (see `datasets_around`). A datastore
        that may be on the file system of a credential is a problem too: its VMs might be missing from the run.
        """
        self.matches = {match.datastore.moid: match for match in verdicts}
        problems = [problem for credential in self.credentials for problem in _apply(credential, self, datasets)]
        self.volumes = frozenset().union(*(_volumes_of(credential, self, datasets) for credential in self.credentials))
        return list(dict.fromkeys(problems))

    def datastores_on(self, datasets: Iterable[str]) -> list[str]:
        """Return the datastores (managed object IDs) that are on any of the datasets."""
        names = set(datasets)
        return [moid for moid, match in self.matches.items() if names.intersection(match.datasets)]

    def datastores_named(self, name: str) -> set[str]:
        """Return the datastores (managed object IDs) with this name. Two datacenters may use the same name."""
        return self._by_name.get(name, set())

    @cached_property
    def _by_name(self) -> dict[str, set[str]]:
        by_name: dict[str, set[str]] = {}
        for moid, match in self.matches.items():
            by_name.setdefault(match.datastore.name, set()).add(moid)
        return by_name

    @cached_property
    def datasets(self) -> frozenset[str]:
        """Return the datasets that the datastores are on."""
        return frozenset(name for match in self.matches.values() for name in match.datasets)


def require_unmanaged(session: Session) -> None:
    """Raise VSphereError for an ESXi host that a vCenter manages.

    Such a host knows only its own VMs, but other hosts run VMs on the same datastores, and VMs move between hosts. A
    run that used both the vCenter and the host would count each VM twice.
    """
    vcenter = managed_by(session)
    if vcenter:
        raise VSphereError(
            f"The ESXi host {session.endpoint} is managed by the vCenter {printable(vcenter, 80)} and does not know "
            "the VMs of other hosts",
            "Store a credential for that vCenter and remove the one for the host; if the vCenter no longer exists, "
            "disconnect the host from it in the VMware Host Client",
        )


def open_logins(
    stack: ExitStack,
    credentials: Sequence[Credential],
    password: Callable[[Credential], Secret],
    datasets: Sequence[Dataset],
    host: StorageHost,
    aliases: Sequence[str],
    connect: Connect,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[ServerLogin], list[Problem]]:
    """Log in to all servers in parallel and match their datastores with `datasets` (see `datasets_around`).

    Returns the logins and the problems. An unreachable server is a problem, not an error: the other VMs still get their
    snapshot. Credentials of the same account share one login. `stack` logs out when it closes. `report` is called for a
    rejected password if another stored password of the account was accepted.
    """
    if not credentials:
        return [], []
    problems: list[Problem] = []
    accounts: list[_Account] = []
    for group in by_account(credentials):
        try:  # here and not in the threads below: only one thread may use the database
            accounts.append(_Account(group, _readable(group, password, report)))
        except QuiesceError as error:
            problems.append(_problem_of(group, datasets, error))

    def open_one(account: _Account) -> ServerLogin | Problem:
        try:
            return _open(stack, account, connect, report)
        except QuiesceError as error:
            return _problem_of(account.credentials, datasets, error)

    with ThreadPoolExecutor(max_workers=max(1, len(accounts))) as pool:
        opened = list(pool.map(open_one, accounts))
    problems += [login for login in opened if isinstance(login, Problem)]
    logins = [login for login in opened if isinstance(login, ServerLogin)]
    datastores = [datastore for login in logins for datastore in login.datastores]
    verdicts = iter(match_on(host, datastores, datasets, aliases))
    for login in logins:  # the verdicts have the order of the datastores
        problems += login.judge([next(verdicts) for _unused in login.datastores], datasets)
    return logins, problems


@dataclass(frozen=True)
class _Account:
    """The credentials of one account, and those with a readable password, newest first."""

    credentials: list[Credential]
    passwords: list[tuple[Credential, Secret]]


def _readable(
    group: Iterable[Credential], password: Callable[[Credential], Secret], report: Callable[[str], None]
) -> list[tuple[Credential, Secret]]:
    """Return the passwords of an account, newest first. Raises QuiesceError if none of them can be read."""
    readable: list[tuple[Credential, Secret]] = []
    unreadable: list[QuiesceError] = []
    for credential in newest_first(group):
        try:
            readable.append((credential, password(credential)))
        except QuiesceError as error:
            unreadable.append(error)
    if not readable:
        raise unreadable[0]
    for failure in unreadable:
        report(str(failure))
    return readable


def _open(stack: ExitStack, account: _Account, connect: Connect, report: Callable[[str], None]) -> ServerLogin:
    session, refused = log_in(connect, account.passwords)
    stack.callback(session.close)
    for credential in refused:
        report(
            f"{session.endpoint} refused the password of credential {credential.id} and accepted another stored "
            f"password of '{credential.username}'; store the credential again with vmware_cred"
        )
    require_unmanaged(session)
    return ServerLogin(session, account.credentials, list_datastores(session))


def _problem_of(group: Iterable[Credential], datasets: Iterable[Dataset], error: QuiesceError) -> Problem:
    names = [dataset.name for dataset in datasets]
    concerned = frozenset().union(*(related(names, credential.filesystem) for credential in group))
    return Problem(str(error), concerned or None)


def _apply(credential: Credential, login: ServerLogin, datasets: Sequence[Dataset]) -> Iterable[Problem]:
    """Apply the datastores that the credential names. Yield the problems of the credential."""
    names = [dataset.name for dataset in datasets]
    concerned = related(names, credential.filesystem)
    for name in credential.datastores:
        moids = [moid for moid, match in login.matches.items() if match.datastore.name == name]
        if not moids:
            yield Problem(
                f"Credential {credential.id} names the datastore '{printable(name, 80)}', which {login.server} does "
                "not have; name existing datastores, or omit datastores to have them matched.",
                concerned or None,
            )
        for moid in moids:
            match = login.matches[moid]
            if not match.datasets:  # the administrator knows more than the addresses show
                login.matches[moid] = _named(match.datastore, credential.filesystem, datasets)
    unresolved = [match for match in login.matches.values() if match.unresolved and _may_concern(match, concerned)]
    for match in unresolved:
        yield Problem(
            f"It is unknown whether the datastore '{printable(match.datastore.name, 80)}' of {login.server} is on "
            f"{credential.filesystem}: {match.unresolved}.",
            concerned.union(match.possible_datasets) or None,
        )
    if not unresolved and not any(concerned.intersection(match.datasets) for match in login.matches.values()):
        yield Problem(
            f"No datastore of {login.server} is on {credential.filesystem} (credential {credential.id}); "
            "vmware_datastore_match shows why, and aliases or datastores can fix it.",
            concerned or None,
        )


def _named(datastore: Datastore, filesystem: str, datasets: Sequence[Dataset]) -> Match:
    """Return the verdict on a datastore that a credential names.

    Its files are on the file system or on any mounted child of it. Files of a datastore that is not NFS may also be on
    any volume below the file system.
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


def _may_carry(dataset: Dataset, datastore: Datastore) -> bool:
    """Return whether the dataset is a volume and the datastore may use it as a disk."""
    return dataset.kind == "volume" and datastore.type not in NFS_TYPES


def _volumes_of(credential: Credential, login: ServerLogin, datasets: Iterable[Dataset]) -> Iterable[str]:
    """Return the volumes at or below the credential's file system if the credential names a datastore for each of them.

    If it names fewer datastores, it is unknown which volume has none.
    """
    named = [match.datastore for match in login.matches.values() if match.datastore.name in credential.datastores]
    disks = {datastore.name for datastore in named if datastore.type not in NFS_TYPES}
    volumes = [
        dataset.name
        for dataset in datasets
        if dataset.kind == "volume" and is_within(dataset.name, credential.filesystem)
    ]
    return volumes if len(volumes) <= len(disks) else ()


def unknown_volumes(chosen: Iterable[Dataset], logins: Iterable[ServerLogin]) -> list[Problem]:
    """Yield a problem for each of the `chosen` volumes without a datastore in a credential: VMs may use it as a LUN."""
    known = frozenset().union(*(login.volumes for login in logins))
    return [
        Problem(
            f"It is unknown which VMs use the volume {volume.name}, because no datastore of a stored credential is on "
            "it; exclude the volume if no VM uses it, or name its datastore in a credential for this volume.",
            frozenset([volume.name]),
        )
        for volume in chosen
        if volume.kind == "volume" and volume.name not in known
    ]


def _may_concern(match: Match, datasets: frozenset[str]) -> bool:
    """Return whether a datastore with an unresolved match may be on any of the datasets."""
    return not match.possible_datasets or not datasets.isdisjoint(match.possible_datasets)
