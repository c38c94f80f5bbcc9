# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Translates vSphere faults to the engine's errors."""

from __future__ import annotations

from typing import Any, Iterator

from ..errors import LoginRefused, PermissionDenied, SessionLost, VSphereError, VSphereFault
from ..text import printable
from . import sdk

# Fault types (vSphere API reference) for quiesced snapshots that failed because of the guest.
QUIESCE_FAULTS = frozenset(
    {"ApplicationQuiesceFault", "FilesystemQuiesceFault", "ToolsUnavailable", "ApplicationQuiesceFailure"}
)
# The VM or the server is busy. The operation is tried again within the VM's time limit.
BUSY_FAULTS = frozenset({"TaskInProgress", "ConcurrentAccess", "ResourceInUse", "LimitExceeded"})
# The server lost contact with the host that ran a task. The operation may have succeeded although the task failed.
CUT_OFF_FAULTS = frozenset({"HostCommunication", "HostNotConnected", "HostNotReachable", "InvalidHostConnectionState"})
UNSEEN_FAULTS = CUT_OFF_FAULTS | {"RequestCanceled", "SystemError", "Timedout"}
# The host or the cluster has too few resources or licenses to run a VM. This says nothing about the VM.
RESOURCE_FAULTS = frozenset(
    {
        "InsufficientCpuResourcesFault", "InsufficientFailoverResourcesFault", "InsufficientHostCapacityFault",
        "InsufficientHostCpuCapacityFault", "InsufficientHostMemoryCapacityFault", "InsufficientMemoryResourcesFault",
        "InsufficientResourcesFault", "InsufficientStandbyResource", "NoActiveHostInCluster", "NotEnoughCpus",
        "NotEnoughLicenses", "NumVirtualCpusExceedsLimit",
    }
)  # fmt: skip
GONE_FAULTS = frozenset({"ManagedObjectNotFound"})


def bare(fault: Any) -> Any:
    """Return the fault itself, without the LocalizedMethodFault that may wrap it."""
    return getattr(fault, "fault", None) or fault


def kind_of(fault: Any) -> str:
    """Return the name of the fault type as in the API reference, for example `ManagedObjectNotFound`."""
    return type(fault).__name__.rsplit(".", 1)[-1]


def text_of(fault: Any) -> str:
    """Return the server's message as one printable line, including the host's message (API PlatformConfigFault)."""
    text = getattr(fault, "msg", None) or getattr(fault, "localizedMessage", None) or kind_of(fault)
    detail = getattr(fault, "text", None)
    return printable(f"{text} {detail}" if detail else text)


def _marks_of(fault: Any) -> Iterator[str]:
    """Yield the type of a fault, the keys of its messages (API LocalizableMessage), and the same for its causes.

    The key of one message may be an argument of another: "An error occurred while saving the snapshot: {1}".
    """
    while fault is not None:
        yield kind_of(fault)
        for message in getattr(fault, "faultMessage", None) or ():
            yield str(message.key)
            for argument in message.arg or ():
                if str(argument.value).startswith("msg."):
                    yield str(argument.value)
        fault = getattr(fault, "faultCause", None)


def is_of_quiescing(fault: VSphereFault) -> bool:
    """Return whether a quiesced snapshot failed because of the guest.

    Some releases report a generic fault. Then a message key shows the cause (`msg.snapshot.error-QUIESCINGERROR`,
    `msg.snapshot.quiesce.vmerr`), or only the text, which is in English if the server supports the session's locale.
    """
    return not QUIESCE_FAULTS.isdisjoint(fault.marks) or any(
        "quiesc" in text.lower() for text in (fault.message, *fault.marks)
    )


def translate(fault: Any, server: str, purpose: str, username: str = "") -> VSphereError:
    """Return the error for `fault`, which `server` returned when it was asked to `purpose`."""
    kind = kind_of(fault)
    if kind == "NotAuthenticated":
        return SessionLost(f"{server} ended the session during the request to {purpose}", "Try again")
    if isinstance(fault, sdk.vim.fault.InvalidLogin) or kind in ("InvalidUserCredentials", "NoPermissionOnLogin"):
        return LoginRefused(
            f"{server} refused the login of '{printable(username, 80)}'",
            "Check the username and password, and that the account is not locked",
        )
    if kind == "NoPermission":
        privilege = printable(getattr(fault, "privilegeId", "") or "unknown", 100)
        target = printable(getattr(getattr(fault, "object", None), "_moId", "unknown"), 100)
        return PermissionDenied(
            f"The account '{printable(username, 80)}' on {server} lacks the privilege {privilege} on {target} "
            f"to {purpose}",
            "Add the privilege to the account's role",
            privilege=privilege,
            object=target,
        )
    message = text_of(fault)
    return VSphereFault(
        kind,
        f"{server} could not {purpose}: {message} ({kind})",
        "See the server's events for the cause",
        message=message,
        marks=frozenset(_marks_of(fault)),
    )
