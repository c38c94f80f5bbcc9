# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios in which nothing goes wrong: what each kind of VM reaches, and what the policy makes of it."""

from __future__ import annotations

from .model import Expected, Scenario, nfs, san, vm

PLAIN = (
    Scenario("linux", ((nfs(vm("web")),),), Expected({"web": "filesystem"})),
    Scenario("windows server with VSS", ((nfs(vm("db", guest="windows")),),), Expected({"db": "application"})),
    Scenario(
        "windows server without VSS",
        ((nfs(vm("db", guest="windows", vss=False)),),),
        Expected({"db": "filesystem"}, {"db": "no VSS manifest"}),
    ),
    Scenario(
        "off, suspended, template",
        ((nfs(vm("off", power="off"), vm("asleep", power="suspended"), vm("golden", template=True)),),),
        Expected({"off": "still", "asleep": "still", "golden": "still"}, {"golden": "template"}),
    ),
    Scenario("no VMs", ((nfs(),),), Expected({})),
    Scenario(
        "one of each",
        ((nfs(vm("web"), vm("db", guest="windows"), vm("off", power="off")),),),
        Expected({"web": "filesystem", "db": "application", "off": "still"}),
    ),
    Scenario("older snapshots", ((nfs(vm("web", snapshots=2)),),), Expected({"web": "filesystem"})),
    Scenario(
        "no Tools, crash_consistent",
        ((nfs(vm("web"), vm("mute", tools="not_installed")),),),
        Expected({"web": "filesystem", "mute": "crash"}, {"mute": "Tools are not installed"}),
    ),
    Scenario(
        "no Tools, skip",
        ((nfs(vm("web"), vm("mute", tools="not_running")),),),
        Expected({"web": "filesystem", "mute": "crash"}, {"mute": "Tools are not running"}),
        request={"on_quiesce_failure": "skip"},
    ),
    Scenario(
        "no Tools, fail",
        ((nfs(vm("web"), vm("mute", tools="not_installed")),),),
        Expected({"web": "filesystem", "mute": "crash"}, failed="policy does not allow this run", taken=False),
        request={"on_quiesce_failure": "fail"},
    ),
    Scenario(
        "a device that forbids snapshots",
        ((nfs(vm("web"), vm("gpu", pci_passthrough=True)),),),
        Expected({"web": "filesystem", "gpu": "crash"}, {"gpu": "PCI passthrough"}),
    ),
    Scenario(
        "an excluded VM",
        ((nfs(vm("web"), vm("scratch")),),),
        Expected({"web": "filesystem", "scratch": "crash"}, {"scratch": "exclude_vms"}, complete=True),
        request={"exclude_vms": ("scratch",)},
    ),
    Scenario(
        "an independent disk",
        ((nfs(vm("web", disks=[{}, {"kind": "independent_persistent"}])),),),
        Expected({"web": "crash"}, {"web": "independent disk"}),
    ),
    Scenario(
        "an ISO image is no file of a VM",
        ((nfs(vm("web")), san(vm("guest", iso="vmware"))),),
        Expected({"web": "filesystem"}),
    ),
    Scenario(
        "a disk elsewhere",
        ((nfs(vm("web", disks=[{}, {"datastore": "san"}])), san()),),
        Expected({"web": "filesystem"}),
    ),
)
