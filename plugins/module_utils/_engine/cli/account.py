# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of commands that log in to a server: the account, and the addresses of this storage host."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from typing import Any, Iterable

from ..errors import InputError
from ..restore.account import Account, stored_account
from ..secret import Secret
from ..state.engine import Engine
from ..vsphere.session import Endpoint

_ENVIRONMENT = "VMWARE_HOST, VMWARE_USER, VMWARE_PASSWORD and VMWARE_VALIDATE_CERTS"


def add_account(parser: argparse.ArgumentParser) -> None:
    """Add the options of the account."""
    account = parser.add_argument_group("account", f"default: {_ENVIRONMENT}, or a stored one with purpose 'restore'")
    account.add_argument("--server", metavar="HOST", default="", help="the vCenter or ESXi host to log in to")
    account.add_argument("--port", type=int, metavar="PORT", default=443, help="its port (default: 443)")
    account.add_argument(
        "--username", metavar="USER", default="", help="its user; the password comes from VMWARE_PASSWORD or a prompt"
    )
    account.add_argument("--ca-path", metavar="PATH", help="the CA certificates to trust")
    account.add_argument("--thumbprint", metavar="SHA256", help="the thumbprint of the only certificate to accept")


def add_addresses(parser: argparse.ArgumentParser) -> None:
    """Add the options for the addresses between this storage host and ESXi hosts."""
    parser.add_argument("--nfs-server", metavar="ADDRESS", default="", help="this storage host, as ESXi reaches it")
    parser.add_argument(
        "--nfs-client", metavar="ADDRESS", action="append", default=[], help="an address from which the host mounts NFS"
    )
    parser.add_argument(
        "--alias", metavar="ADDRESS", action="append", default=[], help="one more address of this storage host"
    )


def addresses(options: argparse.Namespace, aliases: Iterable[str] = ()) -> dict[str, Any]:
    """Return these options as a request has them. `aliases` are further ones."""
    return {
        "server": options.nfs_server,
        "clients": tuple(options.nfs_client),
        "aliases": (*aliases, *options.alias),
    }


def account_of(engine: Engine, options: argparse.Namespace, dataset: str) -> Account:
    """Return the account of the options, or of the environment, or the stored one."""
    return given_account(options) or stored_account(engine, dataset, _server(options))


def _server(options: argparse.Namespace) -> str:
    return str(options.server or os.environ.get("VMWARE_HOST", ""))


def given_account(options: argparse.Namespace, default: str = "") -> Account | None:
    """Return the account of the options or of the environment, or None without a user. `default` is a server."""
    server, username = _server(options) or default, options.username or os.environ.get("VMWARE_USER", "")
    if not username:
        return None
    if not server:
        raise InputError("A user was given, but no server", "Give --server as well, or set VMWARE_HOST")
    verify = os.environ.get("VMWARE_VALIDATE_CERTS", "true").strip().lower() not in ("false", "no", "off", "0")
    endpoint = Endpoint(server, options.port, verify, options.ca_path, options.thumbprint)
    return Account(endpoint, username, Secret(_password(username, server)))


def _password(username: str, server: str) -> str:
    """Return the password of the environment, or ask for it."""
    password = os.environ.get("VMWARE_PASSWORD", "")
    if not password and not sys.stdin.isatty():
        raise InputError("No password was given", "Set VMWARE_PASSWORD, or store an account with purpose: restore")
    return password or getpass.getpass(f"Password of {username} on {server}: ")
