# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on each host to mount or unmount a datastore. Planning is a pure function of the current state."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Callable, Collection, Iterable, Mapping, Sequence

from ..errors import DatastoreInUse
from ..text import counted, printable
from ..vsphere.hosts import Host
from ..vsphere.nas_mounts import Export, Mount, MountedDatastore, RegisteredVm
from ..zfs.names import is_path_of_restores
from .drift import Difference, conflicts, differences, no_nfs, other_name
from .request import Wanted, export_of, overlaps

_SHOWN = 5  # VMs in a message


@dataclass(frozen=True)
class Step:
    """A step on one host. Only the actions mount, unmount and remount change something.

    In a remount, `drift` is the reason. `before` and `after` are the mounts that the step affects, as text.
    """

    host: Host
    datastore: str  # its name
    action: str  # mount, unmount, remount, nothing, drift, skipped, in_use
    mounted: bool  # whether the host mounts a datastore of this name before the step
    drift: tuple[Difference, ...] = ()
    reason: str = ""
    unmount: tuple[str, ...] = ()  # managed object IDs of the datastores to unmount first
    export: Export | None = None  # the export to mount, in the notation of the other hosts
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self.action in ("mount", "unmount", "remount")

    def as_dict(self) -> dict[str, Any]:
        """Return the step as plain data for results."""
        return {
            "name": self.host.name,
            "moid": self.host.moid,
            "datastore": self.datastore,
            "action": self.action,
            "mounted": self.mounted,
            "drift": [asdict(each) for each in self.drift],
            "reason": self.reason,
        }


def plan_present(
    wanted: Wanted, hosts: Sequence[Host], datastores: Sequence[MountedDatastore], remount: bool = False
) -> list[Step]:
    """Return a step for each host so that all hosts mount the datastore. `datastores` are those of the datacenter.

    With `remount`, a host whose mount differs unmounts it first, if it can then mount the requested one.
    """
    steps = [_present(wanted, host, datastores) for host in hosts]
    if not remount or not any(step.action == "drift" for step in steps):
        return steps
    freed = {(moid, step.host.moid) for step in steps if step.action == "drift" for moid in step.unmount}
    left = _without(datastores, freed)
    return [_again(step, _present(wanted, step.host, left)) for step in steps]


def plan_absent(wanted: Wanted, hosts: Sequence[Host], datastores: Sequence[MountedDatastore]) -> list[Step]:
    """Return a step for each host so that no host mounts the datastore. If an export is given, it must match."""
    return [_absent(wanted, host, datastores) for host in hosts]


def plan_purge(
    keep: Collection[str], is_ours: Callable[[str], bool], hosts: Sequence[Host], datastores: Sequence[MountedDatastore]
) -> list[Step]:
    """Return steps to unmount every NFS datastore whose servers are all ours, except those named in `keep` and those of
    restores.
    """
    return [
        _absent(Wanted(datastore.name), host, [datastore])
        for datastore in datastores
        if datastore.name not in keep
        and datastore.export is not None
        and datastore.export.servers
        and not is_path_of_restores(datastore.export.path)
        and all(is_ours(server) for server in datastore.export.servers)
        for host in hosts
        if datastore.on(host.moid) is not None
    ]


def users(steps: Iterable[Step], vms: Mapping[str, Sequence[RegisteredVm]]) -> list[RegisteredVm]:
    """Return the VMs on the datastores that the steps unmount."""
    unmounted = dict.fromkeys(moid for step in steps if step.changes for moid in step.unmount)
    return [vm for moid in unmounted for vm in vms.get(moid, ())]


def refuse_in_use(steps: Sequence[Step], vms: Mapping[str, Sequence[RegisteredVm]]) -> None:
    """Raise DatastoreInUse if a step would unmount a datastore with registered VMs.

    VMs on other hosts count too, because they could no longer be moved to this host or restarted on it.
    """
    found = users(steps, vms)
    if found:
        names = {step.host.moid: step.host.name for step in steps}
        name = next(step.datastore for step in steps if step.changes and step.unmount)
        raise DatastoreInUse(
            f"The datastore '{printable(name, 80)}' {carries(found, names)}, so it was not unmounted from any host",
            "Move or unregister the VMs first",
            vms=[
                {"name": vm.name, "host": names.get(vm.host_moid, vm.host_moid), "template": vm.template}
                for vm in found
            ],
        )


def spare_in_use(steps: Sequence[Step], vms: Mapping[str, Sequence[RegisteredVm]]) -> list[Step]:
    """Replace each step that would unmount a datastore with registered VMs with one that only reports this."""
    names = {step.host.moid: step.host.name for step in steps}
    return [
        replace(step, action="in_use", reason=f"it {carries(found, names)}", unmount=(), after=step.before)
        if (found := users([step], vms))
        else step
        for step in steps
    ]


def carries(vms: Sequence[RegisteredVm], hosts: Mapping[str, str]) -> str:
    """Return a text such as `has 2 registered VMs ('web' on esx1, the template 'golden')`.

    `hosts` are the host names by managed object ID.
    """

    def shown(vm: RegisteredVm) -> str:
        place = f" on {printable(hosts[vm.host_moid], 80)}" if vm.host_moid in hosts else ""
        return f"{'the template ' if vm.template else ''}'{printable(vm.name, 80)}'{place}"

    more = f" and {len(vms) - _SHOWN} more" if len(vms) > _SHOWN else ""
    return f"has {counted(len(vms), 'registered VM')} ({', '.join(map(shown, vms[:_SHOWN]))}{more})"


def _present(wanted: Wanted, host: Host, datastores: Sequence[MountedDatastore]) -> Step:
    asked = export_of(wanted)
    named = next((each for each in datastores if each.name == wanted.name), None)
    here = named.on(host.moid) if named else None
    others = _under_other_names(wanted, host, datastores)
    step = Step(host, wanted.name, "nothing", here is not None, before=_before(named, here, others))
    step = replace(step, after=step.before)
    if host.unreachable:
        return replace(step, action="skipped", reason=f"it {host.unreachable}")
    drift = list(differences(wanted, named, here)) if named and here else []
    if named and here and not drift:
        also = ", ".join(f"'{printable(other.name, 80)}'" for other, _unused in others)
        return replace(step, reason=f"it also mounts the same export as {also}" if also else "")
    unmount = [named.moid] if named and here and here.export else []  # only NFS: unmounting VMFS would destroy it
    for other, mount in others:
        drift.append(other_name(wanted, other, mount))
        drift.extend(each for each in differences(wanted, other, mount) if each.property != "servers")
        unmount.append(other.moid)
    if not drift:
        drift.extend(conflicts(wanted, host, named, datastores))
    if drift:
        return replace(step, action="drift", drift=tuple(drift), unmount=tuple(unmount))
    spelled = _spelled(asked, named.export) if named and named.export else asked
    return replace(step, action="mount", export=spelled, after=(_words(wanted.name, spelled, wanted.access_mode),))


def _absent(wanted: Wanted, host: Host, datastores: Sequence[MountedDatastore]) -> Step:
    named = next((each for each in datastores if each.name == wanted.name), None)
    here = named.on(host.moid) if named else None
    others = _under_other_names(wanted, host, datastores) if wanted.export and not here else []
    step = Step(host, wanted.name, "nothing", here is not None, before=_before(named, here, others))
    step = replace(step, after=step.before)
    if host.unreachable:
        known = "; according to vCenter, it mounts the datastore" if here else ""
        return replace(step, action="skipped", reason=f"it {host.unreachable}{known}")
    drift = [other_name(wanted, other, mount) for other, mount in others]
    if named and here and not here.export:
        drift.append(no_nfs(named))
    elif named and here and wanted.export:
        drift.extend(each for each in differences(wanted, named, here) if each.property != "access_mode")
    if drift:
        return replace(step, action="drift", drift=tuple(drift))
    if named and here:
        return replace(step, action="unmount", unmount=(named.moid,), after=())
    return step


def _again(step: Step, after: Step) -> Step:
    """Return the step for a host with drift, given the step `after` everything that can be unmounted is unmounted."""
    if step.action == "drift" and after.action == "mount" and step.unmount:
        return replace(after, action="remount", drift=step.drift, unmount=step.unmount, before=step.before)
    if step.action in ("drift", "mount"):
        return after if after.action == "mount" else replace(step, action="drift", drift=after.drift or step.drift)
    return step


def _without(datastores: Iterable[MountedDatastore], freed: Collection[tuple[str, str]]) -> list[MountedDatastore]:
    """Return the datastores without the mounts (datastore, host). vCenter removes a datastore without mounts."""
    left = [
        replace(each, mounts=tuple(mount for mount in each.mounts if (each.moid, mount.host_moid) not in freed))
        for each in datastores
    ]
    return [each for each in left if each.mounts]


def _spelled(asked: Export, known: Export) -> Export:
    """Return an export in vCenter's notation. With NFS 4.1, only the path, because each host may use other servers."""
    return known if asked.version == "3" else replace(asked, path=known.path)


def _under_other_names(
    wanted: Wanted, host: Host, datastores: Iterable[MountedDatastore]
) -> list[tuple[MountedDatastore, Mount]]:
    """Return the mounts of the requested export under other names on this host. ESXi does not mount an export twice."""
    return [
        (each, mount)
        for each in datastores
        if each.name != wanted.name
        and (mount := each.on(host.moid)) is not None
        and mount.export is not None
        and overlaps(export_of(wanted), mount.export)
    ]


def _before(
    named: MountedDatastore | None, here: Mount | None, others: Iterable[tuple[MountedDatastore, Mount]]
) -> tuple[str, ...]:
    """Return the mounts of one host that a step affects, as text."""
    mounts = [*([(named, here)] if named and here else []), *others]
    return tuple(_words(each.name, mount.export or each.type, mount.access_mode) for each, mount in mounts)


def _words(name: str, what: object, access_mode: str) -> str:
    return f"{printable(name, 80)}: {printable(what)}, {access_mode}"
