# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of restores share: the account, the restore itself, and its end."""

from __future__ import annotations

from functools import partial
from typing import Any, Iterable, Mapping

from . import _ansible
from ._engine.errors import InputError, QuiesceError
from ._engine.restore import ending
from ._engine.restore.account import Account, open_session, session_to_end, stored_account
from ._engine.restore.ensure import Ensured, ensure
from ._engine.restore.request import RestoreRequest
from ._engine.restore.result import RestoreResult
from ._engine.restore.summary import summary
from ._engine.secret import Secret
from ._engine.state.engine import Engine
from ._engine.state.restores import DONE, RUNNING, RestoreRecord

# How ESXi hosts reach this storage host, and from where.
ADDRESSES = _ansible.ALIASES + _ansible.ArgumentSpec(
    {"server": {"type": "str"}, "clients": {"type": "list", "elements": "str", "default": []}}
)


def addresses(options: Mapping[str, Any], aliases: Iterable[str] = ()) -> dict[str, Any]:
    """Return the options of a module with ADDRESSES as a request has them. `aliases` are further ones."""
    return {
        "server": options["server"] or "",
        "clients": tuple(options["clients"]),
        "aliases": (*aliases, *options["aliases"]),
    }


def given_account(module: Any) -> Account | None:
    """Return the account in the options of a module with CONNECTION, or None without a user."""
    options = module.params
    if not options["username"]:
        if options["password"]:
            raise InputError("A password was given, but no username", "Set username, or remove password")
        return None
    missing = [name for name in ("hostname", "password") if not options[name]]
    if missing:
        raise InputError(
            f"A username was given, but no {' and no '.join(missing)}",
            f"Set {' and '.join(missing)}, or remove username to use the stored credential with purpose: restore",
        )
    return Account(_ansible.endpoint(options), options["username"], Secret(options["password"]))


def restore(module: Any, engine: Engine, request: RestoreRequest) -> dict[str, Any]:
    """Carry out a restore, or plan it in check mode, and return the result of the module."""
    request.check()
    try:
        with open_session(engine, account_of(module, engine, request.snapshot.dataset)) as session:
            ensured = ensure(engine, session, request, module.check_mode)
    except QuiesceError as error:
        warn(module, error.details.pop("warnings", []))
        if "vms" in error.details:
            done = RestoreResult.of(error.details)
            error.details["changed"] = any(vm.restored for vm in done.vms)
            error.details["summary"] = [] if error.details.get("refusals") else summary(done)
        raise
    warn(module, [*ensured.result.warnings, *_of_vms(ensured)])
    warn(module, [f"Outside check mode, this fails: {refusal}" for refusal in ensured.refusals])
    returned = ensured.as_dict()
    del returned["warnings"]
    after = ensured.result.names() if ensured.changed else ensured.kept
    diff = {"before": {"restored": ensured.kept}, "after": {"restored": after}}
    return {**returned, "changed": ensured.changed, "diff": diff}


def end(module: Any, engine: Engine, restores: Iterable[RestoreRecord]) -> dict[str, Any]:
    """End restores, those that ended before excepted, and return the result of the module."""
    going = [one for one in restores if one.state in (RUNNING, DONE)]
    for one in going if not module.check_mode else ():
        stays = ending.end(engine, one, partial(session_to_end, engine, one, partial(given_account, module)))
        warn(module, [stays] if stays else [])
    ids = [one.id for one in going]
    return {"changed": bool(ids), "diff": {"before": {"restores": ids}, "after": {"restores": []}}}


def account_of(module: Any, engine: Engine, dataset: str) -> Account:
    """Return the account in the options of a module with CONNECTION, or the stored one for the dataset."""
    given = given_account(module)
    if given is not None:
        return given
    stored = stored_account(engine, dataset, module.params["hostname"] or "")
    _ansible.conceal(module, stored.password)
    return stored


def _of_vms(ensured: Ensured) -> list[str]:
    return [f"'{vm.restored_name}': {warning}" for vm in ensured.result.vms for warning in vm.warnings]


def warn(module: Any, warnings: Iterable[str]) -> None:
    """Add warnings to the result of a module."""
    for warning in warnings:
        module.warn(warning)
