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

// Renaming a machine: only its name in the inventory and in its .vmx file. Its folder and its files keep theirs.

func (vm *machine) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	name := unescaped(req.NewName)
	done := &files{}
	check := func() (parameters, fault) {
		return parameters{"values": map[string]string{"displayName": name}}, vm.renamable(name)
	}
	t := startReal(callOf(ctx), vm, "Rename_Task", vm.deed("configure", check, done), func(*task) (types.AnyType, fault) {
		if f := vm.rename(name); f != nil {
			return nil, f
		}
		vm.followReal(*done)
		return nil, errorToFault(vm.show())
	})
	return &methods.Rename_TaskBody{Res: &types.Rename_TaskResponse{Returnval: t}}
}

// renamable is what forbids a name. Called with world held.
func (vm *machine) renamable(name string) fault {
	if name == "" || len([]rune(name)) > 80 {
		return &types.InvalidName{Name: name}
	}
	if name == vm.rec.Config.Name {
		return nil
	}
	return nameTaken(vm.datacenter, vm.rec.Config.Folder, vm.rec.Config.VApp, name)
}

// rename changes the name. The caller shows the machine.
func (vm *machine) rename(name string) fault {
	if f := vm.renamable(name); f != nil {
		return f
	}
	delete(inv.names, vm.nameKey())
	vm.rec.Config.Name = name
	inv.names[vm.nameKey()] = true
	return nil
}
