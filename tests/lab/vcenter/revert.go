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

// Reverting: what a snapshot has kept of a machine's configuration, how clients read it, and how it comes back.

// kept is what a snapshot of a simulated machine keeps; the files of a real one have it.
type kept struct {
	Disks          []diskConfig      `json:"disks,omitempty"`
	Cards          []card            `json:"cards,omitempty"`
	ExtraConfig    map[string]string `json:"extra_config,omitempty"`
	BiosUUID       string            `json:"bios_uuid,omitempty"`
	ChangeTracking bool              `json:"change_tracking,omitempty"`
	Location       string            `json:"location,omitempty"`
}

func (vm *machine) keep() *kept {
	if vm.rec.Config.Real {
		return nil
	}
	c := &vm.rec.Config
	return &kept{c.Disks, c.Cards, c.ExtraConfig, c.BiosUUID, c.ChangeTracking, vm.rec.Location}
}

// configAt is the configuration that a snapshot has kept.
func (vm *machine) configAt(s *snapshot) types.VirtualMachineConfigInfo {
	config := *vm.Config
	if devices, err := vm.devices(s); err == nil {
		config.Hardware.Device = devices
	}
	if s.Kept != nil {
		config.Uuid, config.ExtraConfig, config.ChangeTrackingEnabled = s.Kept.BiosUUID, optionValues(s.Kept.ExtraConfig), &s.Kept.ChangeTracking
	} else if vm.rec.Files != nil {
		h := vm.rec.Files.hardwareAt(s)
		config.Uuid, config.ExtraConfig, config.ChangeTrackingEnabled = h.BiosUUID, optionValues(h.Extra), &h.ChangeTracking
		config.Files.SnapshotDirectory = vm.workingDirectory(h)
		config.Files.SuspendDirectory = config.Files.SnapshotDirectory
	}
	return config
}

// showSnapshots publishes the configurations of all snapshots again: a removal may have merged files of theirs.
func (vm *machine) showSnapshots() {
	vm.eachSnapshot(func(s *snapshot) {
		if o, ok := simulator.Map.Get(s.ref()).(*snapshotObject); ok {
			o.VirtualMachineSnapshot.Config = vm.configAt(s)
			hub.changed(o.Self, "config")
		}
	})
}

// revert brings back what a snapshot has kept: the settings, the disks, and the power state, which is off without memory.
func (vm *machine) revert(s *snapshot, suppressPowerOn bool, done files) fault {
	vm.rec.Current, vm.rec.Plugged = s.Moid, nil
	c := &vm.rec.Config
	if k := s.Kept; k != nil {
		c.Disks, c.Cards, c.ExtraConfig, c.BiosUUID, c.ChangeTracking = k.Disks, k.Cards, k.ExtraConfig, k.BiosUUID, k.ChangeTracking
		vm.rec.Location = k.Location
	}
	c.Power = "off"
	if s.Memory && !suppressPowerOn {
		c.Power = "on"
	}
	vm.followReal(done)
	f := errorToFault(vm.show())
	vm.showSnapshots()
	return f
}

func (o *snapshotObject) RevertToSnapshotTask(ctx *simulator.Context, req *types.RevertToSnapshot_Task) soap.HasFault {
	var done files
	vm := o.vm
	deed := vm.deed("revert", func() (parameters, fault) {
		uid, f := vm.uidOf(o.Self.Value)
		return parameters{"uid": uid}, f
	}, &done)
	t := startReal(callOf(ctx), vm, "RevertToSnapshot_Task", deed, func(t *task) (types.AnyType, fault) {
		uid, f := vm.uidOf(o.Self.Value)
		if f != nil {
			return nil, f
		}
		return nil, vm.revert(vm.snapshotByID(uid), isTrue(req.SuppressPowerOn), done)
	}, o.Self.Value)
	return &methods.RevertToSnapshot_TaskBody{Res: &types.RevertToSnapshot_TaskResponse{Returnval: t}}
}

// RevertToCurrentSnapshotTask reverts to the snapshot that the machine is based on.
func (vm *machine) RevertToCurrentSnapshotTask(ctx *simulator.Context, req *types.RevertToCurrentSnapshot_Task) soap.HasFault {
	world.RLock()
	current, ok := simulator.Map.Get(ref{Type: "VirtualMachineSnapshot", Value: vm.rec.Current}).(*snapshotObject)
	world.RUnlock()
	if !ok {
		return &methods.RevertToCurrentSnapshot_TaskBody{Fault_: soapFault(&types.NotFound{}, "")}
	}
	asked := &types.RevertToSnapshot_Task{This: current.Self, SuppressPowerOn: req.SuppressPowerOn}
	answer := current.RevertToSnapshotTask(ctx, asked).(*methods.RevertToSnapshot_TaskBody)
	return &methods.RevertToCurrentSnapshot_TaskBody{Res: &types.RevertToCurrentSnapshot_TaskResponse{Returnval: answer.Res.Returnval}}
}
