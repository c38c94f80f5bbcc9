// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Power: the calls that power a machine on and off, and how its guest comes up and goes down.

// setPower starts a task that changes the power state; a machine that has it already makes the task fail.
func (vm *machine) setPower(c *call, method, to string, deed deed, done *files, how *string) ref {
	return startReal(c, vm, method, deed, func(*task) (types.AnyType, fault) {
		if f := vm.hasPower(to); f != nil {
			return nil, f
		}
		vm.identify(*how)
		vm.rec.Config.Power, vm.rec.Plugged = to, nil
		vm.followReal(*done)
		if to == "on" {
			vm.started = time.Now()
			vm.watchStart()
		}
		return nil, errorToFault(vm.show())
	})
}

func (vm *machine) hasPower(state string) fault {
	if vm.power() == powerStates[state] {
		return &types.InvalidPowerState{ExistingState: vm.power(), RequestedState: powerStates[state]}
	}
	return nil
}

func (vm *machine) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	done, how := &files{}, new(string)
	deed := func(t *task) (f fault) {
		if f = vm.cannotStart(); f != nil {
			return f
		}
		if *how, f = vm.settleIdentity(t); f != nil {
			return f
		}
		if q := vm.rec.Config.Question; q != nil {
			if _, f = vm.ask(t, *q); f != nil {
				return f
			}
		}
		if !vm.rec.Config.Real {
			return nil
		}
		if f = vm.order("power_on", parameters{"identity": *how}, done); f != nil {
			vm.reread() // its identity may be settled nevertheless
		}
		return f
	}
	t := vm.setPower(callOf(ctx), "PowerOnVM_Task", "on", deed, done, how)
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: t}}
}

// cannotStart is why a machine cannot be powered on, apart from what the hypervisor finds, or nil.
func (vm *machine) cannotStart() fault {
	world.RLock()
	defer world.RUnlock()
	if vm.rec.Config.Template {
		return &types.NotSupported{}
	}
	if f := vm.hasPower("on"); f != nil {
		return f
	}
	if vm.host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if vm.isLockedBy(vm.Config.KeyId) {
		return &types.GenericVmConfigFault{Reason: fmt.Sprintf("the key provider %q of the encrypted virtual machine is not there", vm.Config.KeyId.ProviderId.Id)}
	}
	return nil
}

// isLockedBy is whether the provider of a key is missing, so that an encrypted machine cannot be powered on.
func (vm *machine) isLockedBy(key *types.CryptoKeyId) bool {
	if key == nil || behavior.KeyProviders == nil {
		return false
	}
	for _, name := range behavior.KeyProviders {
		if name == key.ProviderId.Id {
			return false
		}
	}
	return true
}

func (vm *machine) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	done := &files{}
	deed := vm.deed("power_off", func() (parameters, fault) { return parameters{}, vm.hasPower("off") }, done)
	t := vm.setPower(callOf(ctx), "PowerOffVM_Task", "off", deed, done, new(string))
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: t}}
}

// startup is how the guest comes up and goes down.
func (vm *machine) startup() startup {
	if vm.rec.Config.Start != nil {
		return *vm.rec.Config.Start
	}
	return behavior.Start
}

// isUp is whether the seconds have passed since the power-on; negative: never. A machine that was on at the start of the simulator is up.
func (vm *machine) isUp(seconds float64) bool {
	if vm.power() != types.VirtualMachinePowerStatePoweredOn {
		return false
	}
	return vm.started.IsZero() || seconds >= 0 && time.Since(vm.started) >= duration(seconds)
}

// watchStart shows the machine again at the times at which its guest reports something.
func (vm *machine) watchStart() {
	begin, s := vm.started, vm.startup()
	for _, seconds := range []float64{s.Tools, s.Heartbeat, s.Address} {
		if seconds <= 0 {
			continue
		}
		time.AfterFunc(duration(seconds)+time.Millisecond, func() {
			world.Lock()
			defer world.Unlock()
			if vm.started == begin && inv.machines[vm.rec.Moid] == vm {
				_ = vm.show()
			}
		})
	}
}

// showStart lays over the properties what a running guest has reported by now.
func (vm *machine) showStart(guest *types.GuestInfo) types.ManagedEntityStatus {
	if !vm.toolsRunning() {
		return types.ManagedEntityStatusGray
	}
	s := vm.startup()
	if vm.isUp(s.Address) && vm.hasConnectedCard() {
		guest.IpAddress = fmt.Sprintf("10.20.%d.%d", vm.number/250%250, vm.number%250+1)
	}
	if !vm.isUp(s.Heartbeat) {
		return types.ManagedEntityStatusGray
	}
	return types.ManagedEntityStatusGreen
}

// hasConnectedCard is true of a machine without cards too: its network is not part of the simulation.
func (vm *machine) hasConnectedCard() bool {
	cards := vm.cards(nil)
	for _, c := range cards {
		if vm.isConnected(c) {
			return true
		}
	}
	return len(cards) == 0
}

// ShutdownGuest asks the guest to shut down. It does so after a while, or never; the call does not wait for it.
func (vm *machine) ShutdownGuest(ctx *simulator.Context, req *types.ShutdownGuest) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	refuse := func(f fault) soap.HasFault { return &methods.ShutdownGuestBody{Fault_: soapFault(f, "")} }
	if vm.power() != types.VirtualMachinePowerStatePoweredOn {
		return refuse(&types.InvalidPowerState{ExistingState: vm.power(), RequestedState: types.VirtualMachinePowerStatePoweredOn})
	}
	if !vm.toolsRunning() {
		return refuse(&types.ToolsUnavailable{})
	}
	if seconds := vm.startup().Shutdown; seconds >= 0 {
		begin := vm.started
		time.AfterFunc(duration(seconds), func() { vm.shutDown(begin) })
	}
	return &methods.ShutdownGuestBody{Res: &types.ShutdownGuestResponse{}}
}

// shutDown ends a guest that was started at that time, and its machine with it.
func (vm *machine) shutDown(begin time.Time) {
	world.RLock()
	there := inv.machines[vm.rec.Moid] == vm && vm.started == begin && vm.power() == types.VirtualMachinePowerStatePoweredOn
	world.RUnlock()
	var done files
	if !there || vm.rec.Config.Real && vm.order("power_off", parameters{"shut_down": true}, &done) != nil {
		return
	}
	world.Lock()
	defer world.Unlock()
	vm.rec.Config.Power, vm.rec.Plugged = "off", nil
	vm.followReal(done)
	_ = vm.show()
}
