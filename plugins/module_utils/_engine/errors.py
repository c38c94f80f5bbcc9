# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error that a user can meet: one sentence that says what is wrong and what to do next.

The engine raises these and nothing else on purpose; the front doors (modules, command line) catch QuiesceError once,
at the end, and show its text. A text never contains a secret.
"""

from __future__ import annotations

from typing import Any

from .text import printable


class QuiesceError(Exception):
    """Base of all errors. `problem` says what is wrong, `remedy` what to do next: sentences without their full stop,
    which the text makes one of.
    """

    def __init__(self, problem: str, remedy: str = "", **details: Any) -> None:
        self.problem = problem
        self.remedy = remedy
        self.details = details  # plain data for machines: JSON types only, no secrets
        super().__init__(problem, remedy)

    def __str__(self) -> str:
        remedy = f"; {self.remedy[:1].lower()}{self.remedy[1:]}" if self.remedy else ""
        behind = printable(f"{remedy}.", 1000)  # of a very long sentence the problem is cut, not what to do
        return printable(self.problem, 4000 - len(behind)) + behind


class InputError(QuiesceError):
    """What the user asked for cannot be meant: refused before anything is changed."""


class DependencyError(QuiesceError):
    """A Python library or a command that the engine needs is missing or too old."""


class VSphereError(QuiesceError):
    """Anything that goes wrong between the engine and a vCenter or ESXi host."""


class ConnectionFailed(VSphereError):
    """The server cannot be reached, or stopped answering within the time limit."""


class CertificateUntrusted(VSphereError):
    """The server's certificate could not be verified or differs from the pinned thumbprint."""


class LoginRefused(VSphereError):
    """The server refused user name and password."""


class SessionLost(VSphereError):
    """The session ended (expired, terminated) while it was in use."""


class PermissionDenied(VSphereError):
    """A privilege is missing; the text names the privilege and the object."""


class VSphereFault(VSphereError):
    """The server answered with a fault; `kind` is the vSphere fault type's name, e.g. ApplicationQuiesceFault, `said`
    the server's own words, in its language. `marks` are what tells it apart in every language: the types of the fault
    and of its causes, and the keys of their messages.
    """

    def __init__(
        self,
        kind: str,
        problem: str,
        remedy: str = "",
        said: str = "",
        marks: frozenset[str] = frozenset(),
        **details: Any,
    ) -> None:
        self.kind, self.said, self.marks = kind, said, marks | {kind}
        super().__init__(problem, remedy, **details)


class ZfsError(QuiesceError):
    """A zfs command failed; the text carries what zfs itself said, `output` what it printed before it failed."""

    output: str = ""


class DatasetNotFound(ZfsError):
    """The dataset does not exist on this storage host."""


class SnapshotExists(ZfsError):
    """A ZFS snapshot of this name exists already."""


class ZfsTimeout(ZfsError):
    """A zfs command did not end by itself (its time limit, a signal); whether it took effect is not known."""


class RegistryError(QuiesceError):
    """The state database or its key file cannot be used."""


class CredentialNotFound(RegistryError):
    """No stored credential has this id or this (hostname, username, filesystem)."""


class TaskNotFound(RegistryError):
    """No stored snapshot task has this id or this (dataset, naming_schema)."""


class LockTimeout(QuiesceError):
    """Another run holds the datasets; the text says which run, since when."""


class RunFailed(QuiesceError):
    """A coordinated run did not reach its end; `details` carries the run's result as far as it came."""


class PolicyRefused(RunFailed):
    """A policy of the run (on_vm_failure, on_quiesce_failure) does not allow what it would have recorded."""


class ExportRefused(QuiesceError):
    """The NFS server cannot be told to export something, or refuses to; the text carries what exportfs said."""


class DatastoreDrift(QuiesceError):
    """A host mounts a datastore otherwise than it should; the text names host and difference."""


class DatastoreInUse(QuiesceError):
    """A datastore carries registered VMs and is therefore not unmounted; the text names them."""


class MountFailed(VSphereError):
    """Hosts could not mount or unmount a datastore; `details` tells what was done on all of them."""
