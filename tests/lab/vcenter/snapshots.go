// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Snapshots: the tree that a machine's record holds, the calls that change it, and what vSphere does on the way: quiescing
// that is silently left out, manifests, the limit of a chain, children that stay or go.

const longestChain = 32

type snapshot struct {
	Moid        string      `json:"moid"`
	Name        string      `json:"name"`
	Description string      `json:"description"`
	ID          int32       `json:"id"`
	Created     time.Time   `json:"created"`
	Quiesced    bool        `json:"quiesced"`
	Memory      bool        `json:"memory"`
	Manifest    string      `json:"manifest,omitempty"`
	WorkingDir  string      `json:"working_dir,omitempty"` // the datastore of its files, where they lie apart from disks and home
	Directory   string      `json:"directory,omitempty"`   // there, when the machine's own has another name by now
	Kept        *kept       `json:"kept,omitempty"`        // of a simulated machine: what a revert brings back
	Children    []*snapshot `json:"children,omitempty"`
}

// snapshotObject is what a snapshot's managed object ID stands for.
type snapshotObject struct {
	mo.VirtualMachineSnapshot
	unlocked
	vm *machine
}

func (s *snapshot) ref() ref { return ref{Type: "VirtualMachineSnapshot", Value: s.Moid} }

func (vm *machine) putSnapshot(s *snapshot) {
	o := &snapshotObject{vm: vm}
	o.Self, o.Vm, o.VirtualMachineSnapshot.Config = s.ref(), vm.Self, vm.configAt(s)
	simulator.Map.Put(o)
}

func (vm *machine) newSnapshotID(id int32) string {
	if inv.esx { // as an ESXi host counts: per machine
		return fmt.Sprintf("%s-snapshot-%d-%d", vm.rec.Moid, id, inv.newID())
	}
	return fmt.Sprintf("snapshot-%d", inv.newID())
}

func eachSnapshot(list []*snapshot, visit func(*snapshot)) {
	for _, s := range list {
		visit(s)
		eachSnapshot(s.Children, visit)
	}
}

func (vm *machine) eachSnapshot(visit func(*snapshot)) { eachSnapshot(vm.rec.Snapshots, visit) }

// chain lists the snapshots from the root to the current one.
func (vm *machine) chain() []*snapshot { return vm.chainTo(vm.rec.Current) }

// chainAbove lists those above a snapshot: their deltas are the disk that it keeps.
func (vm *machine) chainAbove(s *snapshot) []*snapshot {
	if chain := vm.chainTo(s.Moid); len(chain) > 0 {
		return chain[:len(chain)-1]
	}
	return nil
}

func (vm *machine) chainTo(moid string) []*snapshot {
	var find func(list []*snapshot, above []*snapshot) []*snapshot
	find = func(list []*snapshot, above []*snapshot) []*snapshot {
		for _, s := range list {
			path := append(above[:len(above):len(above)], s)
			if s.Moid == moid {
				return path
			}
			if found := find(s.Children, path); found != nil {
				return found
			}
		}
		return nil
	}
	return find(vm.rec.Snapshots, nil)
}

// snapshotInfo is the tree in vSphere's words; both are nil without any snapshot.
func (vm *machine) snapshotInfo() (*types.VirtualMachineSnapshotInfo, []ref) {
	if len(vm.rec.Snapshots) == 0 {
		return nil, nil
	}
	var tree func(list []*snapshot) []types.VirtualMachineSnapshotTree
	tree = func(list []*snapshot) []types.VirtualMachineSnapshotTree {
		var out []types.VirtualMachineSnapshotTree
		for _, s := range list {
			state := types.VirtualMachinePowerStatePoweredOff
			if s.Memory {
				state = types.VirtualMachinePowerStatePoweredOn
			}
			out = append(out, types.VirtualMachineSnapshotTree{Snapshot: s.ref(), Vm: vm.Self, Name: escaped(s.Name), Description: s.Description,
				Id: s.ID, CreateTime: s.Created, State: state, Quiesced: s.Quiesced, BackupManifest: s.Manifest,
				ReplaySupported: types.NewBool(false), ChildSnapshotList: tree(s.Children)})
		}
		return out
	}
	info := &types.VirtualMachineSnapshotInfo{RootSnapshotList: tree(vm.rec.Snapshots)}
	if vm.rec.Current != "" {
		info.CurrentSnapshot = &ref{Type: "VirtualMachineSnapshot", Value: vm.rec.Current}
	}
	var roots []ref
	for _, s := range vm.rec.Snapshots {
		roots = append(roots, s.ref())
	}
	return info, roots
}

// addSnapshot hangs a snapshot under the current one. The caller shows the machine.
func (vm *machine) addSnapshot(s *snapshot) {
	vm.rec.SnapshotNumber++
	s.ID, s.Created, s.WorkingDir = vm.rec.SnapshotNumber, time.Now().UTC(), vm.rec.Config.WorkingDir
	s.Moid = vm.newSnapshotID(s.ID)
	if chain := vm.chain(); len(chain) > 0 {
		parent := chain[len(chain)-1]
		parent.Children = append(parent.Children, s)
	} else {
		vm.rec.Snapshots = append(vm.rec.Snapshots, s)
	}
	vm.rec.Current = s.Moid
}

// refusal is why the machine cannot be snapshotted at all, or nil.
func (vm *machine) refusal() fault {
	if vm.rec.Config.Template {
		return &types.NotSupported{}
	}
	if len(vm.chain()) >= longestChain {
		return &types.TooManySnapshotLevels{}
	}
	return vm.incompatible()
}

// quiesces tells whether a snapshot will be quiesced; otherwise that is left out without a word, as vSphere does.
func (vm *machine) quiesces(memory, quiesce bool) bool {
	return quiesce && !memory && vm.toolsRunning()
}

func (vm *machine) usesVSS() bool {
	return vm.windows() && (vm.rec.Config.VSS == nil || *vm.rec.Config.VSS)
}

// createSnapshot adds a snapshot to the tree, as the hypervisor has done it; its answer is empty for a machine that is only simulated.
func (vm *machine) createSnapshot(name, description string, memory, quiesce bool, done files) (types.AnyType, fault) {
	if f := vm.refusal(); f != nil {
		return nil, f
	}
	on := vm.power() == types.VirtualMachinePowerStatePoweredOn
	s := &snapshot{Name: name, Description: description, Memory: memory && on}
	s.Quiesced = vm.quiesces(s.Memory, quiesce)
	if vm.rec.Config.Real {
		vm.rec.SnapshotNumber = done.UID - 1
		vm.follow(done)
	}
	s.Kept = vm.keep()
	vm.addSnapshot(s)
	if s.Quiesced {
		switch {
		case !vm.windows():
			s.Manifest = vm.path(fmt.Sprintf("%s-quiesce_manifest%d.xml", vm.stem(), s.ID))
		case vm.usesVSS():
			s.Manifest = vm.path(fmt.Sprintf("%s-vss_manifests%d.zip", vm.stem(), s.ID))
		}
	}
	_ = vm.show()
	vm.putSnapshot(s)
	return s.ref(), nil
}

// removeSnapshot takes one snapshot out of the tree, with what hangs under it or (its children then hang under its parent) without.
func (vm *machine) removeSnapshot(moid string, children bool) fault {
	var gone []*snapshot
	parent := ""
	var prune func(list []*snapshot, above string) []*snapshot
	prune = func(list []*snapshot, above string) []*snapshot {
		var left []*snapshot
		for _, s := range list {
			if s.Moid != moid {
				s.Children = prune(s.Children, s.Moid)
				left = append(left, s)
				continue
			}
			gone, parent = append(gone, s), above
			if children {
				eachSnapshot(s.Children, func(c *snapshot) { gone = append(gone, c) })
			} else {
				left = append(left, s.Children...)
			}
		}
		return left
	}
	vm.rec.Snapshots = prune(vm.rec.Snapshots, "")
	if gone == nil {
		return &types.ManagedObjectNotFound{Obj: ref{Type: "VirtualMachineSnapshot", Value: moid}}
	}
	vm.forget(gone, parent)
	return nil
}

func (vm *machine) removeAllSnapshots() {
	var gone []*snapshot
	vm.eachSnapshot(func(s *snapshot) { gone = append(gone, s) })
	vm.rec.Snapshots = nil
	vm.forget(gone, "")
}

func (vm *machine) forget(gone []*snapshot, parent string) {
	for _, s := range gone {
		if s.Moid == vm.rec.Current {
			vm.rec.Current = parent
		}
	}
	_ = vm.show()
	for _, s := range gone {
		removeObject(s.ref())
	}
	vm.showSnapshots()
}

// ---- The calls

// create starts a creation; Quiesced is read back by the trace when the task is done.
func (vm *machine) create(c *call, method, name, description string, memory, quiesce bool) ref {
	var done files
	deed := vm.deed("snapshot", func() (parameters, fault) { return vm.snapshotArguments(name, description, memory, quiesce) }, &done)
	return startReal(c, vm, method, deed, func(t *task) (types.AnyType, fault) {
		result, f := vm.createSnapshot(name, description, memory, quiesce, done)
		if r, ok := result.(ref); ok {
			t.snapshot = r.Value
			vm.eachSnapshot(func(s *snapshot) {
				if s.Moid == r.Value {
					t.snapshotID, t.quiesced = s.ID, &s.Quiesced
				}
			})
		}
		return result, f
	})
}

func (vm *machine) snapshotArguments(name, description string, memory, quiesce bool) (parameters, fault) {
	how := ""
	switch {
	case vm.quiesces(memory, quiesce) && vm.usesVSS():
		how = "application"
	case vm.quiesces(memory, quiesce):
		how = "filesystem"
	}
	return parameters{"name": name, "description": description, "quiesce": how}, vm.refusal()
}

func (vm *machine) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	t := vm.create(callOf(ctx), "CreateSnapshot_Task", req.Name, req.Description, req.Memory, req.Quiesce)
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: t}}
}

func (vm *machine) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	t := vm.create(callOf(ctx), "CreateSnapshotEx_Task", req.Name, req.Description, req.Memory, req.QuiesceSpec != nil)
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: t}}
}

func (vm *machine) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	var done files
	deed := vm.deed("remove_all", func() (parameters, fault) { return parameters{}, nil }, &done)
	t := startReal(callOf(ctx), vm, "RemoveAllSnapshots_Task", deed, func(*task) (types.AnyType, fault) {
		vm.followReal(done)
		vm.removeAllSnapshots()
		return nil, nil
	})
	return &methods.RemoveAllSnapshots_TaskBody{Res: &types.RemoveAllSnapshots_TaskResponse{Returnval: t}}
}

func (vm *machine) ConsolidateVMDisksTask(ctx *simulator.Context, req *types.ConsolidateVMDisks_Task) soap.HasFault {
	t := start(callOf(ctx), vm, "ConsolidateVMDisks_Task", func(*task) (types.AnyType, fault) {
		vm.rec.ConsolidationNeeded = false
		return nil, errorToFault(vm.show())
	})
	return &methods.ConsolidateVMDisks_TaskBody{Res: &types.ConsolidateVMDisks_TaskResponse{Returnval: t}}
}

func (o *snapshotObject) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	var done files
	deed := o.vm.deed("remove", func() (parameters, fault) {
		uid, f := o.vm.uidOf(o.Self.Value)
		return parameters{"uid": uid, "children": req.RemoveChildren}, f
	}, &done)
	t := startReal(callOf(ctx), o.vm, "RemoveSnapshot_Task", deed, func(t *task) (types.AnyType, fault) {
		o.vm.followReal(done)
		return nil, o.vm.removeSnapshot(o.Self.Value, req.RemoveChildren)
	}, o.Self.Value)
	return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{Returnval: t}}
}

// uidOf is the ID of a snapshot within its machine.
func (vm *machine) uidOf(moid string) (uid int32, f fault) {
	f = &types.ManagedObjectNotFound{Obj: ref{Type: "VirtualMachineSnapshot", Value: moid}}
	vm.eachSnapshot(func(s *snapshot) {
		if s.Moid == moid {
			uid, f = s.ID, nil
		}
	})
	return uid, f
}

func (o *snapshotObject) RenameSnapshot(req *types.RenameSnapshot) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	o.vm.eachSnapshot(func(s *snapshot) {
		if s.Moid == o.Self.Value {
			if req.Name != "" {
				s.Name = req.Name
			}
			if req.Description != "" {
				s.Description = req.Description
			}
		}
	})
	_ = o.vm.show()
	return &methods.RenameSnapshotBody{Res: &types.RenameSnapshotResponse{}}
}

func errorToFault(err error) fault {
	if err != nil {
		return &types.GenericVmConfigFault{Reason: err.Error()}
	}
	return nil
}
