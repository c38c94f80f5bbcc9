// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// The lab's hypervisor (tests/lab/hypervisor) carries out what happens to VMs that are marked as real: it has their disks and
// files. All other VMs are only simulated. A call to it takes real time, so tasks make it without holding world.

// A power cut of the storage host stalls the hypervisor until that host has booted again, which takes minutes on a busy
// machine. After a shorter time, a task would fail here and still be carried out there.
const hypervisorTimeout = 10 * time.Minute

// hypervisorAddress is host:port of the agent; empty: there is no hypervisor.
var hypervisorAddress string

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

// hypervisorFault is the fault of that name, or a general one. It has the text as its message.
func hypervisorFault(kind, text string) fault {
	f := newFault(kind)
	if f == nil || kind == "GenericVmConfigFault" || kind == "ManagedObjectNotFound" {
		return &types.GenericVmConfigFault{Reason: text}
	}
	f.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "msg.lab." + kind, Message: text}}
	if file := reflect.ValueOf(f).Elem().FieldByName("File"); file.IsValid() {
		file.SetString(text)
	}
	return f
}

// order makes a call about the machine. The caller holds world, or nothing changes the machine's place.
func (vm *machine) order(name string, args parameters, reply interface{}) fault {
	if args == nil {
		args = parameters{}
	}
	args["vmx"] = vm.vmx()
	return askHypervisor(name, args, reply)
}

func (vm *machine) vmx() string { return vm.home.file(vm.rec.Directory + "/" + vm.configFile()) }

func (vm *machine) configFile() string { return vm.rec.configFile() }

// configFile is the name of the .vmx file.
func (rec *record) configFile() string {
	if rec.ConfigFile != "" {
		return rec.ConfigFile
	}
	return rec.Directory + ".vmx"
}

// copy is a record that shares nothing with this one.
func (rec *record) copy() *record {
	made := &record{}
	raw, _ := json.Marshal(rec)
	_ = json.Unmarshal(raw, made)
	return made
}

// moveTo makes the record that of a copy in another place. Its disks there belong to the copy, others are where they were.
func (rec *record) moveTo(datastore, file string) {
	stem := strings.TrimSuffix(rec.configFile(), path.Ext(rec.configFile()))
	rec.ConfigFile = path.Base(file)
	for i := range rec.Config.Disks {
		d := &rec.Config.Disks[i]
		switch {
		case d.Directory != "":
		case d.Datastore == rec.Datastore:
			d.Datastore = ""
		case d.Datastore != "":
			d.Directory = rec.Directory
		}
	}
	if rec.Stem == "" {
		rec.Stem = stem
	}
	rec.Datastore, rec.Directory, rec.Config.VMX = datastore, path.Dir(file), ""
}

// location is what uuid.location stands for: where the .vmx is, whatever the datastore is called.
func (vm *machine) location() string {
	return vm.files().file(vm.rec.Directory + "/" + vm.configFile())
}

// keepLocation lets a machine that vCenter has moved keep its identity, unless it was a copy before.
func (vm *machine) keepLocation(copied bool) {
	if !copied {
		vm.rec.Location = vm.location()
	}
}

// isCopy is whether the .vmx was moved or copied since the machine got its identity.
func (vm *machine) isCopy() bool {
	if vm.rec.Files != nil {
		return vm.rec.Files.Copied
	}
	return vm.rec.Location != vm.location()
}

// stem begins the names of the machine's files.
func (vm *machine) stem() string {
	if vm.rec.Stem != "" {
		return vm.rec.Stem
	}
	return strings.TrimSuffix(vm.configFile(), path.Ext(vm.configFile()))
}

// file names a file for the hypervisor, by the volume that it is on.
func (ds *datastore) file(path string) string { return fmt.Sprintf("[%s] %s", ds.volume(), path) }

// volume is the datastore's name below /vmfs/volumes.
func (ds *datastore) volume() string {
	return strings.TrimSuffix(strings.TrimPrefix(ds.Summary.Url, "ds:///vmfs/volumes/"), "/")
}

// mountArguments say what the hypervisor mounts as a datastore.
func mountArguments(spec *types.HostNasVolumeSpec, name string) parameters {
	return parameters{"server": serverOf(spec), "export": spec.RemotePath, "name": name}
}

// deed is the part of a task that the hypervisor carries out: nil for a machine that is only simulated. The arguments are
// computed when the task runs; a fault ends the task.
func (vm *machine) deed(name string, prepare func() (parameters, fault), reply interface{}) deed {
	if !vm.rec.Config.Real {
		return nil
	}
	return func(*task) fault {
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
	if f := askHypervisor("mount", mountArguments(spec, vm.home.rec.Name), nil); f != nil {
		return fmt.Errorf("datastore %q: %s", vm.home.rec.Name, reasonOf(f))
	}
	var made files
	if f := vm.order("create", parameters{"settings": vm.initialSettings()}, &made); f != nil {
		return fmt.Errorf("%s", reasonOf(f))
	}
	vm.follow(made)
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		if f := vm.order("power_on", nil, nil); f != nil {
			return fmt.Errorf("%s", reasonOf(f))
		}
	}
	return nil
}

// initialSettings are what the .vmx of a new machine says of its configuration.
func (vm *machine) initialSettings() map[string]string {
	c := &vm.rec.Config
	settings := map[string]string{"displayName": c.Name, "uuid.bios": c.BiosUUID, "vc.uuid": c.InstanceUUID}
	for key, value := range c.ExtraConfig {
		settings[key] = value
	}
	if vm.windows() {
		settings["guestOS"] = "windows2019srv-64"
	}
	if c.Annotation != "" {
		settings["annotation"] = c.Annotation
	}
	return settings
}

func reasonOf(f fault) string {
	if g, ok := f.(*types.GenericVmConfigFault); ok {
		return g.Reason
	}
	if said := f.GetMethodFault().FaultMessage; len(said) > 0 {
		return kindOf(f) + ": " + said[0].Message
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
	var answer files
	if f := vm.order(call, nil, &answer); f != nil {
		return fmt.Errorf("%s", reasonOf(f))
	}
	vm.follow(answer)
	return nil
}
