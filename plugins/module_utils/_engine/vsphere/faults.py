# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere faults as our errors: which fault means what, in one place."""

from __future__ import annotations

from typing import Any, Iterator

from ..errors import LoginRefused, PermissionDenied, SessionLost, VSphereError, VSphereFault
from ..text import printable
from . import sdk

# Fault types (vSphere API reference) after which a quiesced snapshot was not taken because of the guest.
QUIESCE_FAULTS = frozenset(
    {"ApplicationQuiesceFault", "FilesystemQuiesceFault", "ToolsUnavailable", "ApplicationQuiesceFailure"}
)
# The VM or the server is busy with something else: worth another try within the VM's time limit.
BUSY_FAULTS = frozenset({"TaskInProgress", "ConcurrentAccess", "ResourceInUse", "LimitExceeded"})
# The server lost sight of the host that was carrying a task out, so that its end says nothing about the deed.
UNSEEN_FAULTS = frozenset(
    {
        "HostCommunication", "HostNotConnected", "HostNotReachable", "InvalidHostConnectionState", "RequestCanceled",
        "SystemError", "Timedout",
    }
)  # fmt: skip
GONE_FAULTS = frozenset({"ManagedObjectNotFound"})


def bare(fault: Any) -> Any:
    """The fault itself, where it comes with a text of its own (API LocalizedMethodFault)."""
    return getattr(fault, "fault", None) or fault


def kind_of(fault: Any) -> str:
    """The fault type's name as the API reference has it: `ManagedObjectNotFound`."""
    return type(fault).__name__.rsplit(".", 1)[-1]


def text_of(fault: Any) -> str:
    """What the server says of the fault, as one printable line; with a host's own words (API PlatformConfigFault)."""
    said = getattr(fault, "msg", None) or getattr(fault, "localizedMessage", None) or kind_of(fault)
    detail = getattr(fault, "text", None)
    return printable(f"{said} {detail}" if detail else said)


def _marks_of(fault: Any) -> Iterator[str]:
    """The type of a fault, the keys of its messages (API LocalizableMessage), and the same of what has caused it.

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
    """Whether the guest is why a quiesced snapshot was not taken.

    Some releases report a generic fault. A message's key says it then (`msg.snapshot.error-QUIESCINGERROR`,
    `msg.snapshot.quiesce.vmerr`), or else only the text, which is in English where the session asked for that.
    """
    return not QUIESCE_FAULTS.isdisjoint(fault.marks) or any(
        "quiesc" in text.lower() for text in (fault.said, *fault.marks)
    )


def translate(fault: Any, server: str, purpose: str, username: str = "") -> VSphereError:
    """The error for `fault`, which `server` answered when it was asked to `purpose`."""
    kind = kind_of(fault)
    if kind == "NotAuthenticated":
        return SessionLost(f"{server} ended the session while it was asked to {purpose}", "Try again")
    if isinstance(fault, sdk.vim.fault.InvalidLogin) or kind in ("InvalidUserCredentials", "NoPermissionOnLogin"):
        return LoginRefused(
            f"{server} refused the login of '{printable(username, 80)}'",
            "Check username and password, and that the account is not locked",
        )
    if kind == "NoPermission":
        privilege = printable(getattr(fault, "privilegeId", "") or "unknown", 100)
        target = printable(getattr(getattr(fault, "object", None), "_moId", "unknown"), 100)
        return PermissionDenied(
            f"The account '{printable(username, 80)}' on {server} lacks the privilege {privilege} on {target} "
            f"to {purpose}",
            "Grant it to the account's role",
            privilege=privilege,
            object=target,
        )
    said = text_of(fault)
    return VSphereFault(
        kind,
        f"{server} could not {purpose}: {said} ({kind})",
        "See the server's events for the cause",
        said=said,
        marks=frozenset(_marks_of(fault)),
    )
