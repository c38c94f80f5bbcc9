# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the account of a restore. The accounts of snapshot runs are not used: they may not restore anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterable, Iterator

from ..errors import CredentialNotFound, InputError, QuiesceError
from ..planning.connector import with_connector
from ..planning.server_logins import newest_first
from ..secret import Secret
from ..state.credentials import RESTORE, Credential, endpoint_of
from ..state.engine import Engine
from ..state.host_names import canonical_host
from ..state.restores import RestoreRecord
from ..vsphere.session import Endpoint, Session


@dataclass(frozen=True)
class Account:
    """A server, and an account that may restore VMs there."""

    endpoint: Endpoint
    username: str
    password: Secret


def stored_account(engine: Engine, dataset: str, hostname: str = "") -> Account:
    """Return the stored account with the purpose `restore` for a dataset, on `hostname` if it is given.

    Raises CredentialNotFound if there is none, and InputError if there are several servers or accounts.
    """
    hostname = canonical_host(hostname) if hostname else ""
    found = [one for one in engine.credentials.find_for_datasets([dataset], RESTORE) if hostname in ("", one.hostname)]
    accounts = {(one.hostname, one.port, one.username): one for one in reversed(newest_first(found))}
    if not accounts:
        raise CredentialNotFound(
            f"No account with the purpose 'restore' is stored for {dataset}" + (f" on {hostname}" if hostname else ""),
            "Give a server, a user and a password, or store an account with vmware_cred and purpose: restore",
        )
    if len(accounts) > 1:
        listed = ", ".join(f"{username} on {name}" for name, _port, username in sorted(accounts))
        raise InputError(
            f"Several accounts with the purpose 'restore' are stored for {dataset}: {listed}", "Name the server"
        )
    credential = next(iter(accounts.values()))
    return Account(endpoint_of(credential), credential.username, engine.credentials.password(credential))


def open_session(engine: Engine, account: Account) -> Session:
    """Log in. Raises VSphereError."""
    return with_connector(engine).connect(account.endpoint, account.username, account.password)


def session_to_end(engine: Engine, restore: RestoreRecord, given: Callable[[], Account | None]) -> Session:
    """Log in to end a restore: with the given account, or if there is none with a stored one. Raises QuiesceError."""
    account = given()
    return open_session(engine, account) if account is not None else session_to_undo(engine, restore)


def session_to_undo(engine: Engine, restore: RestoreRecord) -> Session:
    """Log in to the server of a restore, with its account if that is stored, or with another stored one.

    Accounts with the purpose `restore` come first, because the others may not undo a restore. Raises QuiesceError.
    """
    connect = with_connector(engine).connect
    failure: QuiesceError = CredentialNotFound(
        f"No account is stored for {restore.hostname}, where the restore {restore.id} has to be undone",
        f"Run 'vmware-zfs restores --end {restore.id}' with an account that may restore, or store one with vmware_cred",
    )
    for credential in _in_order(engine.credentials.list_all(), restore):
        try:
            return connect(endpoint_of(credential), credential.username, engine.credentials.password(credential))
        except QuiesceError as error:
            failure = error
    raise failure


def _in_order(credentials: Iterable[Credential], restore: RestoreRecord) -> Iterator[Credential]:
    there = [one for one in newest_first(credentials) if (one.hostname, one.port) == (restore.hostname, restore.port)]
    yield from sorted(there, key=lambda one: (one.purpose != RESTORE, one.username != restore.username))
