# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error that a user can see: one sentence that states the problem and the next step.

The engine deliberately raises only these errors. The modules and the command line catch QuiesceError in one place, at
the end, and show its text. The text never contains a secret.
"""

from __future__ import annotations

from typing import Any

from .text import printable


class QuiesceError(Exception):
    """Base class of all errors.

    `problem` says what is wrong and `remedy` what to do next. Both are sentences without a full stop; the text of the
    error joins them.
    """

    def __init__(self, problem: str, remedy: str = "", **details: Any) -> None:
        self.problem = problem
        self.remedy = remedy
        self.details = details  # plain data for machines: JSON types only, no secrets
        super().__init__(problem, remedy)

    def __str__(self) -> str:
        remedy = f"; {self.remedy[:1].lower()}{self.remedy[1:]}" if self.remedy else ""
        ending = printable(f"{remedy}.", 1000)  # shorten a long problem, never the remedy
        return printable(self.problem, 4000 - len(ending)) + ending


class InputError(QuiesceError):
    """The request is invalid. Nothing was changed."""


class DependencyError(QuiesceError):
    """A required Python library or command is missing or too old."""


class VSphereError(QuiesceError):
    """A call to a vCenter or ESXi host failed."""


class ConnectionFailed(VSphereError):
    """The server cannot be reached, or did not respond within the time limit."""


class CertificateUntrusted(VSphereError):
    """The server's certificate could not be verified or differs from the pinned thumbprint."""


class ApiUnsupported(VSphereError):
    """The server and pyVmomi have no supported version of the vSphere API in common."""


class LoginRefused(VSphereError):
    """The server rejected the username and password."""


class SessionLost(VSphereError):
    """The session expired or was terminated while it was in use."""


class PermissionDenied(VSphereError):
    """A privilege is missing; the text names the privilege and the object."""


class TagsUnreadable(VSphereError):
    """The vSphere tags of VMs could not be read. The text says why."""


class VSphereFault(VSphereError):
    """The server returned a fault.

    `kind` is the name of the vSphere fault type, for example ApplicationQuiesceFault. `message` is the server's text in
    the server's language. `marks` identify the fault in every language: the types of the fault and its causes, and the
    keys of their messages.
    """

    def __init__(
        self, kind: str, problem: str, remedy: str = "", message: str = "", marks: frozenset[str] = frozenset()
    ) -> None:
        self.kind, self.message, self.marks = kind, message, marks | {kind}
        super().__init__(problem, remedy)


class ZfsError(QuiesceError):
    """A zfs command failed. The text includes the message from zfs; `output` is what zfs printed before it failed."""

    output: str = ""


class DatasetNotFound(ZfsError):
    """The dataset does not exist on this storage host."""


class SnapshotExists(ZfsError):
    """A ZFS snapshot with this name already exists."""


class ZfsTimeout(ZfsError):
    """A zfs command was stopped by the time limit or a signal. It may or may not have taken effect."""


class RegistryError(QuiesceError):
    """The state database or its key file cannot be used."""


class CredentialNotFound(RegistryError):
    """No stored credential matches this id or this (hostname, username, filesystem)."""


class TaskNotFound(RegistryError):
    """No stored snapshot task matches this id or this (dataset, naming_schema)."""


class RestoreNotFound(RegistryError):
    """No restore in the journal has this ID."""


class LockTimeout(QuiesceError):
    """Another run has locked the datasets. The text names the run and its start time."""


class VmFileDamaged(QuiesceError):
    """A file of a VM in a ZFS snapshot is damaged, or is not what its name says. The text names the file."""


class FilesUnreachable(QuiesceError):
    """The files in a ZFS snapshot cannot be read on this storage host: its dataset is a volume, or is not mounted."""


class RunFailed(QuiesceError):
    """A coordinated run failed. `details` holds its result up to that point."""


class PolicyRefused(RunFailed):
    """A policy of the run (on_vm_failure, on_quiesce_failure) does not allow the level that it would have recorded."""


class RestoreFailed(QuiesceError):
    """A VM could not be restored. The text says at which step, and what to do next."""


class RestoreUnfinished(RestoreFailed):
    """A step of a restore did not end in time, or the restore was stopped. This says nothing about the VM."""


class ExportRefused(QuiesceError):
    """The NFS server cannot export a path, or refuses to. The text includes the message from exportfs."""


class DatastoreDrift(QuiesceError):
    """A host's mount of a datastore differs from the requested one. The text names the host and the difference."""


class DatastoreInUse(QuiesceError):
    """A datastore was not unmounted because VMs are registered on it. The text names them."""


class MountFailed(VSphereError):
    """Hosts could not mount or unmount a datastore. `details` holds the result for each host."""
