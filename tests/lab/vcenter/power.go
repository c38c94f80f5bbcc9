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

// Power: the calls that power a machine on and off.

// setPower starts a task that changes the power state; a machine that has it already makes the task fail.
func (vm *machine) setPower(c *call, method, order, to string) ref {
	refused := func() fault {
		if vm.power() == powerStates[to] {
			return &types.InvalidPowerState{ExistingState: vm.power(), RequestedState: powerStates[to]}
		}
		return nil
	}
	deed := vm.deed(order, func() (parameters, fault) { return parameters{}, refused() }, nil)
	return startReal(c, vm, method, deed, func(*task) (types.AnyType, fault) {
		if f := refused(); f != nil {
			return nil, f
		}
		vm.rec.Config.Power = to
		return nil, errorToFault(vm.show())
	})
}

func (vm *machine) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	t := vm.setPower(callOf(ctx), "PowerOnVM_Task", "power_on", "on")
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: t}}
}

func (vm *machine) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	t := vm.setPower(callOf(ctx), "PowerOffVM_Task", "power_off", "off")
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: t}}
}
