// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Relocating: to another datastore (the disks in the folder of the home follow unless the specification names their places), another host
// or another pool. The hypervisor moves the folder of a real machine as a whole, also while it runs.

type relocation struct {
	home  *datastore // nil: it stays
	disks map[int32]*datastore
	host  *host
	dir   string // of a real machine's folder on the new datastore
}

func (vm *machine) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	wanted, refused := vm.readRelocation(&req.Spec)
	done := &files{}
	var deed deed
	if vm.rec.Config.Real && refused == nil && wanted.home != nil {
		deed = func(*task) fault {
			world.RLock()
			mount := mountArguments(wanted.home.rec.Spec, wanted.home.rec.Name)
			args := parameters{"folder": wanted.home.file(wanted.dir)}
			world.RUnlock()
			if f := askHypervisor("mount", mount, nil); f != nil {
				return f
			}
			return vm.order("relocate", args, done)
		}
	}
	t := startOn(callOf(ctx), vm.subject(), "RelocateVM_Task", deed, func(*task) (types.AnyType, fault) {
		if refused != nil {
			return nil, refused
		}
		return nil, vm.relocate(wanted, *done)
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: t}}
}

// readRelocation checks a specification. Called with world held.
func (vm *machine) readRelocation(spec *types.VirtualMachineRelocateSpec) (*relocation, fault) {
	r := &relocation{disks: map[int32]*datastore{}, host: vm.host}
	if spec.Host != nil {
		if r.host = inv.host(spec.Host.Value); r.host == nil || r.host.datacenter != vm.datacenter {
			return nil, &types.InvalidArgument{InvalidProperty: "spec.host"}
		}
	}
	if r.host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return nil, &types.HostNotConnected{}
	}
	if spec.Datastore != nil {
		ds := findDatastoreByRef(*spec.Datastore)
		if ds == nil || ds.mountIndex(r.host) < 0 {
			return nil, &types.InvalidDatastore{Datastore: spec.Datastore}
		}
		if ds != vm.home {
			r.home, r.dir = ds, freeDirectory(ds, vm.rec.Directory)
		}
	}
	for _, d := range spec.Disk {
		ds := findDatastoreByRef(d.Datastore)
		if ds == nil || ds.mountIndex(r.host) < 0 {
			return nil, &types.InvalidDatastore{Datastore: &d.Datastore}
		}
		r.disks[d.DiskId] = ds
	}
	if vm.rec.Config.Real && (len(r.disks) > 0 || r.home != nil && r.home.rec.Spec == nil) {
		return nil, &types.NotSupported{}
	}
	return r, nil
}

// relocate applies it. Called with world held.
func (vm *machine) relocate(r *relocation, done files) fault {
	if r.host != vm.host {
		vm.leaveHost()
		vm.host, vm.rec.Config.Host = r.host, r.host.Name
		update(r.host.HostSystem, func() { r.host.Vm = appended(r.host.Vm, vm.Self) }, "vm")
	}
	if vm.rec.Config.Real {
		if r.home != nil {
			delete(vm.home.directories, vm.rec.Directory)
			vm.home, vm.rec.Datastore, vm.rec.Directory, vm.rec.ConfigFile = r.home, r.home.rec.Name, r.dir, vm.configFile()
			vm.home.directories[vm.rec.Directory] = true
			vm.follow(done)
		}
		f := errorToFault(vm.show())
		vm.showSnapshots()
		return f
	}
	old := vm.rec.Datastore
	return errorToFault(vm.move(r.home, func(d diskConfig) *datastore {
		if ds, ok := r.disks[d.Key]; ok {
			return ds
		}
		if d.Datastore == old {
			return r.home
		}
		return nil
	}))
}
