# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface between Ansible and the engine: argument specs, choice of the Python interpreter, error handling."""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible.module_utils.common.respawn import has_respawned, respawn_module
from ansible.module_utils.parsing.convert_bool import boolean

from ._engine.errors import CredentialNotFound, DependencyError, InputError, QuiesceError
from ._engine.policy import QUIESCE_FAILURE, VM_FAILURE, Policy
from ._engine.secret import Secret, leave_no_core_dump
from ._engine.state.credentials import Credential, Credentials, endpoint_of
from ._engine.state.database import Paths
from ._engine.text import printable
from ._engine.vm_policies import ACCEPT, ON_FAILURE, ON_SPAN, QUIESCE
from ._engine.vsphere.session import Endpoint, Timeouts

RUNTIME_PYTHON = "/opt/vmware-zfs/venv/bin/python"  # installed by the runtime role; VMWARE_ZFS_PYTHON overrides it
LIBRARIES = {"pyVmomi": "pyvmomi", "cryptography": "cryptography"}  # import name: name on the package index


@dataclass(frozen=True)
class ArgumentSpec:
    """The options of a module and the rules between them. `+` merges two; a later option replaces an earlier one."""

    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mutually_exclusive: Sequence[Sequence[str]] = ()
    required_one_of: Sequence[Sequence[str]] = ()
    required_if: Sequence[Sequence[Any]] = ()

    def __add__(self, other: "ArgumentSpec") -> "ArgumentSpec":
        return ArgumentSpec(
            {**self.options, **other.options},
            [*self.mutually_exclusive, *other.mutually_exclusive],
            [*self.required_one_of, *other.required_one_of],
            [*self.required_if, *other.required_if],
        )

    def module(self) -> Any:
        """Create the AnsibleModule. It exits if the parameters are invalid."""
        return AnsibleModule(
            argument_spec=dict(self.options),
            mutually_exclusive=self.mutually_exclusive,
            required_one_of=self.required_one_of,
            required_if=self.required_if,
            supports_check_mode=True,
        )


# The environment variables that AWX's credential type for vCenter sets.
ENVIRONMENT = {
    "hostname": "VMWARE_HOST",
    "username": "VMWARE_USER",
    "password": "VMWARE_PASSWORD",
    "validate_certs": "VMWARE_VALIDATE_CERTS",
}

_CONNECTION: dict[str, dict[str, Any]] = {
    "hostname": {"type": "str"},
    "port": {"type": "int"},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool"},
    "ca_path": {"type": "path"},
    "thumbprint": {"type": "str"},
}
_DEFAULTS = {"port": 443, "validate_certs": True}

# The documentation fragment is `aliases`.
ALIASES = ArgumentSpec({"aliases": {"type": "list", "elements": "str", "default": []}})

TIMEOUTS = ArgumentSpec(
    {"connect_timeout": {"type": "float", "default": 15.0}, "call_timeout": {"type": "float", "default": 60.0}}
)

_STRING = {"type": "str"}

# A policy for single VMs. The documentation fragment is `policy`.
VM_POLICIES: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "match": {
            "type": "dict",
            "required": True,
            "options": {
                **dict.fromkeys(("name", "instance_uuid", "moid", "folder", "resource_pool"), _STRING),
                "attribute": {
                    "type": "dict",
                    "options": {name: {"type": "str", "required": True} for name in ("name", "value")},
                },
                "tag": {
                    "type": "dict",
                    "options": {name: {"type": "str", "required": True} for name in ("category", "name")},
                },
            },
        },
        "quiesce": {"type": "str", "choices": list(QUIESCE)},
        "on_failure": {"type": "str", "choices": list(ON_FAILURE)},
        "accept": {"type": "str", "choices": list(ACCEPT)},
        "exclude": {"type": "bool"},
        "vm_timeout": {"type": "float"},
        "on_span": {"type": "str", "choices": list(ON_SPAN)},
    },
}

# For modules that take a coordinated snapshot. The documentation fragment is `policy`.
_POLICY: dict[str, dict[str, Any]] = {
    "on_quiesce_failure": {"type": "str", "choices": list(QUIESCE_FAILURE)},
    "on_vm_failure": {"type": "str", "choices": list(VM_FAILURE)},
    "exclude_vms": {"type": "list", "elements": "str"},
    "policies": VM_POLICIES,
    "vm_timeout": {"type": "float"},
    "max_hold": {"type": "float"},
    "wave_size": {"type": "int"},
    "limit_per_vcenter": {"type": "int"},
    "limit_per_host": {"type": "int"},
}
POLICY = ArgumentSpec({name: {**_POLICY[name], "default": value} for name, value in Policy().options().items()})

# For snapshot tasks. With an id, options that are not set keep their stored values, so there are no defaults. The
# documentation fragment is `policy.task`.
STORED_POLICY = ArgumentSpec(_POLICY)

# For modules that change a stored credential. With an id, options that are not set keep their stored values, so there
# are no defaults. read_environment() reads the environment, and is called only without an id. Otherwise a task that
# changes the password of credential 3 could also change its host name to the one in the environment.
STORED_CONNECTION = ArgumentSpec(_CONNECTION) + TIMEOUTS

# For modules that log in. The documentation fragment is `connection`.
CONNECTION = (
    ArgumentSpec(
        {
            name: {
                **option,
                **({"default": _DEFAULTS[name]} if name in _DEFAULTS else {}),
                **({"fallback": (env_fallback, [ENVIRONMENT[name]])} if name in ENVIRONMENT else {}),
            }
            for name, option in _CONNECTION.items()
        }
    )
    + TIMEOUTS
)

# For modules that can also log in with a stored credential, see login(). The documentation fragment is
# `connection.login`.
LOGIN = CONNECTION + ArgumentSpec({"id": {"type": "int"}, "filesystem": {"type": "str"}})


def login(module: Any) -> tuple[Endpoint, str, Secret]:
    """Return server, user and password for a module with LOGIN, from its options or from a stored credential."""
    parameters = module.params
    if parameters["id"] is None and not (parameters["hostname"] and parameters["username"]):
        raise InputError(
            "No server was given", "Set id, or set hostname and username together with password or filesystem"
        )
    if parameters["id"] is None and parameters["password"]:
        return endpoint(parameters), parameters["username"], Secret(parameters["password"])
    if parameters["id"] is None and not parameters["filesystem"]:
        raise InputError("No password was given", "Set password, or set filesystem to use a stored credential")
    require_libraries(["cryptography"])
    with Credentials.open(Paths.from_environment(), read_only=True) as credentials:
        stored = _look_up(credentials, parameters)
        return endpoint_of(stored), stored.username, conceal(module, credentials.password(stored))


def _look_up(credentials: Credentials, parameters: Mapping[str, Any]) -> Credential:
    if parameters["id"] is not None:
        return credentials.get(parameters["id"])
    meant = Credential("", "", "").merged(parameters)
    stored = credentials.find(meant)
    if stored is None:
        raise CredentialNotFound(
            f"No stored credential matches {meant}", "List the credentials with vmware_cred_info, or set password"
        )
    return stored


def read_environment(module: Any) -> None:
    """Set the options of STORED_CONNECTION that the task did not set from the variables of ENVIRONMENT."""
    for name, variable in ENVIRONMENT.items():
        value = os.environ.get(variable)
        if value and module.params[name] is None:
            module.params[name] = boolean(value) if name == "validate_certs" else value
    if module.params["password"]:
        conceal(module, Secret(module.params["password"]))


def endpoint(parameters: Mapping[str, Any]) -> Endpoint:
    """Return the server that connection options name."""
    return Endpoint(
        parameters["hostname"],
        parameters["port"],
        parameters["validate_certs"],
        parameters["ca_path"] or None,
        parameters["thumbprint"] or None,
    )


def timeouts(parameters: Mapping[str, Any]) -> Timeouts:
    """Return the time limits that a module's options set. Raises InputError for an invalid one."""
    limits = Timeouts(parameters["connect_timeout"], parameters["call_timeout"])
    limits.check()
    return limits


def conceal(module: Any, secret: Secret) -> Secret:
    """Make Ansible mask `secret` in the module's result. Use this for secrets that are not options with no_log."""
    module.no_log_values.add(secret.reveal())
    return secret


def require_libraries(libraries: Iterable[str]) -> None:
    """Require `libraries` (keys of LIBRARIES). If this Python lacks one, run the module in the runtime role's Python.

    Raises DependencyError if neither has them.
    """
    missing = [name for name in libraries if importlib.util.find_spec(name) is None]
    if not missing:
        return
    runtime = os.environ.get("VMWARE_ZFS_PYTHON", RUNTIME_PYTHON)
    if not has_respawned() and os.access(runtime, os.X_OK):
        _start_again_in(runtime, missing)
    raise DependencyError(
        f"{sys.executable} on this host lacks the Python library {' and '.join(LIBRARIES[name] for name in missing)}",
        f"Apply the role quiesce.vmware_zfs.runtime, which installs it for {runtime}, or install it for this Python",
    )


def _start_again_in(python: str, missing: Sequence[str]) -> None:
    """Run the module in `python` and exit. Raises DependencyError if the strategy plugin does not support this."""
    try:
        if "mitogen" in sys.modules:
            raise RuntimeError("Mitogen runs modules in its worker process")
        respawn_module(python)
    except Exception as error:
        raise DependencyError(
            f"{sys.executable} lacks the Python library {' and '.join(LIBRARIES[name] for name in missing)}, and the"
            f" module cannot be restarted in {python}, which has it ({type(error).__name__}: {printable(error, 200)})",
            "If the play uses Mitogen, set 'strategy: linear' in the play, or"
            f" 'ansible_python_interpreter: {python}' for this host",
        ) from error


def _unexpected(error: Exception) -> str:
    """Return the message for an error that the engine does not handle."""
    what = f"({type(error).__name__}: {printable(error)})"
    if "mitogen" in sys.modules:
        return f"The module does not work with Mitogen {what}; set 'strategy: linear' in the play."
    return f"Unexpected error {what}. This is a bug; please report it with the traceback from -vvv."


def run_module(
    spec: ArgumentSpec, main: Callable[[Any], Mapping[str, Any]], libraries: Sequence[str] = ("pyVmomi", "cryptography")
) -> None:
    """Run a module. `main` gets the AnsibleModule and returns the result. An exception fails the module with a message.

    If this Python lacks one of `libraries` (keys of LIBRARIES), the module restarts in the runtime role's Python.
    """
    leave_no_core_dump()
    module = spec.module()
    failure: dict[str, Any]
    try:
        require_libraries(libraries)
        result = main(module)
    except QuiesceError as error:
        failure = {**error.details, "msg": str(error)}
    except Exception as error:
        failure = {"msg": _unexpected(error), "exception": traceback.format_exc()}
    else:
        module.exit_json(**result)
    module.fail_json(**failure)  # outside the except block, where Ansible would add a traceback to every message
