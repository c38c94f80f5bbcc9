// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// The lab's hypervisor (tests/lab/hypervisor) carries out what happens to VMs that are marked as real: it has their disks and
// files. All other VMs are only simulated. A call to it takes real time, so tasks make it without holding world.

const hypervisorTimeout = 120 * time.Second

// hypervisorAddress is host:port of the agent; empty: there is no hypervisor.
var hypervisorAddress string

// disks is what the hypervisor answers after a change of the snapshots.
type disks struct {
	UID   int32    `json:"uid"`   // of a new snapshot
	Chain []string `json:"chain"` // the files of the disk, the base first
}

type parameters map[string]interface{}

// askHypervisor makes one call and reads its result into reply, unless that is nil.
func askHypervisor(name string, args parameters, reply interface{}) fault {
	line, err := exchange(name, args)
	if err != nil {
		return &types.HostCommunication{}
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Fault  string          `json:"fault"`
		Text   string          `json:"text"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return &types.HostCommunication{}
	}
	if answer.Fault != "" {
		return hypervisorFault(answer.Fault, answer.Text)
	}
	if reply != nil {
		return errorToFault(json.Unmarshal(answer.Result, reply))
	}
	return nil
}

func exchange(name string, args parameters) ([]byte, error) {
	connection, err := net.DialTimeout("tcp", hypervisorAddress, hypervisorTimeout)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(hypervisorTimeout))
	asked, _ := json.Marshal(map[string]interface{}{"call": name, "arguments": args})
	if _, err := connection.Write(append(asked, '\n')); err != nil {
		return nil, err
	}
	return bufio.NewReader(connection).ReadBytes('\n')
}

// hypervisorFault is the fault of that name, or one that has the text.
func hypervisorFault(kind, text string) fault {
	if f := newFault(kind); f != nil && kind != "GenericVmConfigFault" && kind != "ManagedObjectNotFound" {
		return f
	}
	return &types.GenericVmConfigFault{Reason: text}
}

// order makes a call about the machine. The caller holds world, or nothing changes the machine's place.
func (vm *machine) order(name string, args parameters, reply interface{}) fault {
	if args == nil {
		args = parameters{}
	}
	args["vmx"] = vm.vmx()
	return askHypervisor(name, args, reply)
}

func (vm *machine) vmx() string { return vm.path(vm.rec.Directory + ".vmx") }

// deed is the part of a task that the hypervisor carries out: nil for a machine that is only simulated. The arguments are
// computed when the task runs; a fault ends the task.
func (vm *machine) deed(name string, prepare func() (parameters, fault), reply interface{}) func() fault {
	if !vm.rec.Config.Real {
		return nil
	}
	return func() fault {
		world.RLock()
		args, f := prepare()
		if args != nil {
			args["vmx"] = vm.vmx()
		}
		world.RUnlock()
		if f != nil {
			return f
		}
		return askHypervisor(name, args, reply)
	}
}

// createReal makes the files of a new machine and powers it on if the configuration says so.
func (vm *machine) createReal() error {
	if hypervisorAddress == "" {
		return fmt.Errorf("there is no hypervisor for a real VM; start the simulator with -hypervisor")
	}
	spec := vm.home.rec.Spec
	if spec == nil {
		return fmt.Errorf("a real VM needs an NFS datastore")
	}
	mount := parameters{"server": spec.RemoteHost, "export": spec.RemotePath, "name": vm.home.rec.Name}
	if f := askHypervisor("mount", mount, nil); f != nil {
		return fmt.Errorf("datastore %q: %s", vm.home.rec.Name, reasonOf(f))
	}
	settings := map[string]string{"displayName": vm.rec.Config.Name, "uuid.bios": vm.rec.Config.BiosUUID, "vc.uuid": vm.rec.Config.InstanceUUID}
	var made disks
	if f := vm.order("create", parameters{"settings": settings}, &made); f != nil {
		return fmt.Errorf("%s", reasonOf(f))
	}
	vm.rec.Chain = made.Chain
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		if f := vm.order("power_on", nil, nil); f != nil {
			return fmt.Errorf("%s", reasonOf(f))
		}
	}
	return nil
}

// realBacking is the disk as its files are.
func (vm *machine) realBacking(uuid string) *types.VirtualDiskFlatVer2BackingInfo {
	var backing *types.VirtualDiskFlatVer2BackingInfo
	for _, file := range vm.rec.Chain {
		named := types.VirtualDeviceFileBackingInfo{FileName: vm.path(file), Datastore: &vm.home.Self}
		backing = &types.VirtualDiskFlatVer2BackingInfo{VirtualDeviceFileBackingInfo: named, DiskMode: "persistent",
			ThinProvisioned: types.NewBool(true), Uuid: uuid, Parent: backing}
	}
	return backing
}

func reasonOf(f fault) string {
	if g, ok := f.(*types.GenericVmConfigFault); ok {
		return g.Reason
	}
	return messageOf(f, "")
}

// followPower carries out a change of the power state by the control endpoint.
func (vm *machine) followPower(before types.VirtualMachinePowerState) error {
	if !vm.rec.Config.Real || vm.power() == before {
		return nil
	}
	call := "power_off"
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		call = "power_on"
	}
	if f := vm.order(call, nil, nil); f != nil {
		return fmt.Errorf("%s", reasonOf(f))
	}
	return nil
}
