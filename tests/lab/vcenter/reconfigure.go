// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Reconfiguring: what a specification asks for is read and checked first (change), and then applied to the record of a simulated
// machine, or to the files of a real one by the hypervisor. Network cards, existing disks, settings; other devices are refused.

// change is what a reconfiguration does.
type change struct {
	name, annotation, biosUUID, instanceUUID string
	tracking                                 *bool
	extra                                    map[string]string // "" takes a key away
	cards                                    []cardChange
	disks                                    []diskChange
}

type cardChange struct {
	operation string // add, edit, remove
	card      card
	connected *bool
	moved     bool // to another network
	network   ref
}

type diskChange struct {
	operation  string // add, remove
	key        int32
	datastore  *datastore
	file, mode string // of one to add: on its datastore
	node       string // of one to add to a real machine: where it is connected; default: any free place
	destroy    bool
}

func (vm *machine) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	wanted, refused := vm.readSpec(&req.Spec)
	done := &files{}
	var deed deed
	if vm.rec.Config.Real {
		deed = func(*task) fault {
			if refused != nil {
				return refused
			}
			return vm.reconfigureFiles(wanted, done)
		}
	}
	t := startOn(callOf(ctx), vm.subject(), "ReconfigVM_Task", deed, func(*task) (types.AnyType, fault) {
		if refused != nil {
			return nil, refused
		}
		return nil, vm.reconfigure(wanted, *done)
	})
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: t}}
}

// readSpec checks a specification. Called with world held.
func (vm *machine) readSpec(spec *types.VirtualMachineConfigSpec) (*change, fault) {
	c := &change{name: unescaped(spec.Name), annotation: spec.Annotation, biosUUID: spec.Uuid, instanceUUID: spec.InstanceUuid,
		tracking: spec.ChangeTrackingEnabled, extra: map[string]string{}}
	if c.name != "" {
		if f := vm.renamable(c.name); f != nil {
			return nil, f
		}
	}
	if c.biosUUID != "" && vm.power() != types.VirtualMachinePowerStatePoweredOff {
		return nil, &types.InvalidPowerState{ExistingState: vm.power(), RequestedState: types.VirtualMachinePowerStatePoweredOff}
	}
	for _, option := range spec.ExtraConfig {
		o := option.GetOptionValue()
		c.extra[o.Key] = fmt.Sprint(o.Value)
	}
	for i, one := range spec.DeviceChange {
		s := one.GetVirtualDeviceConfigSpec()
		if f := vm.readDevice(c, s); f != nil {
			if wrong, ok := f.(*types.InvalidDeviceSpec); ok {
				wrong.DeviceIndex = int32(i)
			}
			return nil, f
		}
	}
	return c, nil
}

func (vm *machine) readDevice(c *change, s *types.VirtualDeviceConfigSpec) fault {
	switch device := s.Device.(type) {
	case types.BaseVirtualEthernetCard:
		one, f := vm.readCard(string(s.Operation), device)
		c.cards = append(c.cards, one)
		return f
	case *types.VirtualDisk:
		one, f := vm.readDisk(s, device)
		c.disks = append(c.disks, one)
		return f
	}
	return &types.NotSupported{}
}

func (vm *machine) readCard(operation string, device types.BaseVirtualEthernetCard) (one cardChange, f fault) {
	e := device.GetVirtualEthernetCard()
	one = cardChange{operation: operation, card: card{Key: e.Key}}
	present := false
	for _, old := range vm.cards(nil) {
		if old.Key == e.Key && operation != "add" {
			one.card, present = old, true
		}
	}
	if !present && operation != "add" {
		return one, &types.InvalidDeviceSpec{}
	}
	if operation == "remove" {
		return one, nil
	}
	if e.Connectable != nil {
		one.card.StartConnected, one.connected = &e.Connectable.StartConnected, &e.Connectable.Connected
	}
	if e.MacAddress != "" && e.MacAddress != one.card.MAC {
		one.card.MAC, one.card.MACType = e.MacAddress, "manual"
	}
	return one, vm.readBacking(&one, e.Backing)
}

// readBacking finds the network that a card gets.
func (vm *machine) readBacking(one *cardChange, backing types.BaseVirtualDeviceBackingInfo) fault {
	before := one.card
	switch b := backing.(type) {
	case nil:
		return nil
	case *types.VirtualEthernetCardNetworkBackingInfo:
		one.card.Network, one.card.Portgroup = b.DeviceName, ""
		found := findNetwork(vm.datacenter, b.DeviceName)
		if found == nil {
			return vm.unknownNetwork(one, before)
		}
		one.network = *found
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		one.card.Network, one.card.Portgroup = "", b.Port.PortgroupKey
		one.network = ref{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}
		if simulator.Map.Get(one.network) == nil {
			return vm.unknownNetwork(one, before)
		}
	default:
		return &types.InvalidDeviceBacking{}
	}
	one.moved = one.operation == "add" || one.card.Network != before.Network || one.card.Portgroup != before.Portgroup
	return nil
}

// unknownNetwork refuses a network that is not there, unless the card is connected to it already, as in a machine from elsewhere.
func (vm *machine) unknownNetwork(one *cardChange, before card) fault {
	if one.operation == "edit" && one.card.Network == before.Network && one.card.Portgroup == before.Portgroup {
		return nil
	}
	return &types.InvalidDeviceBacking{}
}

func (vm *machine) readDisk(s *types.VirtualDeviceConfigSpec, device *types.VirtualDisk) (diskChange, fault) {
	one := diskChange{operation: string(s.Operation), key: device.Key, destroy: s.FileOperation == "destroy"}
	switch one.operation {
	case "remove":
		for _, d := range vm.Config.Hardware.Device {
			if disk, ok := d.(*types.VirtualDisk); ok && disk.Key == one.key {
				return one, nil
			}
		}
		return one, &types.InvalidDeviceSpec{}
	case "add":
		backing, ok := device.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok || s.FileOperation != "" {
			return one, &types.NotSupported{}
		}
		parts := datastorePathForm.FindStringSubmatch(backing.FileName)
		if parts == nil {
			return one, &types.InvalidDatastorePath{DatastorePath: backing.FileName}
		}
		if one.datastore = findShownDatastore(vm.datacenter, parts[1]); one.datastore == nil || one.datastore.mountIndex(vm.host) < 0 {
			return one, &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: parts[1]}, DatastorePath: backing.FileName}
		}
		one.file, one.mode = parts[2], backing.DiskMode
		if bus := device.ControllerKey - scsiController; device.UnitNumber != nil && bus >= 0 && bus < 4 {
			one.node = fmt.Sprintf("scsi%d:%d", bus, *device.UnitNumber)
		}
		return one, nil
	}
	return one, &types.NotSupported{}
}

// reconfigure applies a change. Called with world held.
func (vm *machine) reconfigure(c *change, done files) fault {
	if c.name != "" {
		if f := vm.rename(c.name); f != nil {
			return f
		}
	}
	r := &vm.rec.Config
	if c.annotation != "" {
		r.Annotation = c.annotation
	}
	if c.instanceUUID != "" {
		r.InstanceUUID = c.instanceUUID
	}
	if c.biosUUID != "" {
		r.BiosUUID = c.biosUUID
	}
	if !r.Real {
		vm.reconfigureRecord(c)
	}
	vm.followReal(done)
	vm.plug(c.cards)
	return errorToFault(vm.show())
}

// reconfigureRecord applies the parts that the files of a real machine hold.
func (vm *machine) reconfigureRecord(c *change) {
	r := &vm.rec.Config
	if c.tracking != nil {
		r.ChangeTracking = *c.tracking
	}
	extra := map[string]string{}
	for _, values := range []map[string]string{r.ExtraConfig, c.extra} {
		for key, value := range values {
			extra[key] = value
			if value == "" {
				delete(extra, key)
			}
		}
	}
	r.ExtraConfig = extra
	for _, one := range c.cards {
		r.Cards = one.apply(r.Cards, vm.rec.Moid)
	}
	for _, one := range c.disks {
		vm.reconfigureDisk(one)
	}
}

func (one cardChange) apply(cards []card, seed string) []card {
	var left []card
	number := int32(firstCard)
	for _, old := range cards {
		if old.Key >= number {
			number = old.Key + 1
		}
		switch {
		case old.Key != one.card.Key || one.operation == "add":
			left = append(left, old)
		case one.operation == "edit":
			left = append(left, one.card)
		}
	}
	if one.operation == "add" {
		one.card.Key = number
		made, _ := completeCards([]card{one.card}, fmt.Sprintf("%s %d", seed, number))
		left = append(left, made...)
	}
	return left
}

func (vm *machine) reconfigureDisk(one diskChange) {
	r := &vm.rec.Config
	if one.operation == "add" {
		place := strings.LastIndex(one.file, "/")
		vm.rec.LastDisk++
		added := diskConfig{Key: vm.rec.LastDisk, Datastore: one.datastore.rec.Name, Directory: strings.Trim(one.file[:place+1], "/"),
			File: strings.TrimSuffix(one.file[place+1:], ".vmdk")}
		if one.mode != "" && one.mode != "persistent" {
			added.Kind = one.mode
		}
		r.Disks = append(append([]diskConfig{}, r.Disks...), added)
		return
	}
	left := []diskConfig{}
	for _, d := range r.Disks {
		if d.Key != one.key {
			left = append(left, d)
		}
	}
	r.Disks = left
}

// plug connects and disconnects the cards of a running machine.
func (vm *machine) plug(cards []cardChange) {
	plugged := map[int32]bool{}
	for key, connected := range vm.rec.Plugged {
		plugged[key] = connected
	}
	for _, one := range cards {
		if one.connected != nil && one.operation == "edit" && vm.power() == types.VirtualMachinePowerStatePoweredOn {
			plugged[one.card.Key] = *one.connected
		}
	}
	vm.rec.Plugged = plugged
}

// ---- Files of real machines

// reconfigureFiles lets the hypervisor apply a change. Called without world held.
func (vm *machine) reconfigureFiles(c *change, done *files) fault {
	for _, one := range c.disks {
		call, args := "remove_disk", parameters{"node": vm.nodeOf(one.key), "destroy": one.destroy}
		if one.operation == "add" {
			call, args = "add_disk", parameters{"file": one.datastore.file(one.file), "mode": one.mode, "node": one.node}
		}
		if f := vm.order(call, args, done); f != nil {
			vm.reread()
			return f
		}
	}
	values, removed := c.settings(vm.cards(nil))
	return vm.order("configure", parameters{"values": values, "removed": removed}, done)
}

// nodeOf is where a disk is connected.
func (vm *machine) nodeOf(key int32) string {
	for _, d := range vm.rec.Files.Hardware.Disks {
		if d.Key == key {
			return d.Node
		}
	}
	return ""
}

// settings are the changes of the .vmx file.
func (c *change) settings(cards []card) (values map[string]string, removed []string) {
	values, removed = map[string]string{}, []string{}
	for key, value := range map[string]string{"displayName": c.name, "annotation": c.annotation, "uuid.bios": c.biosUUID, "vc.uuid": c.instanceUUID} {
		if value != "" {
			values[key] = value
		}
	}
	if c.tracking != nil {
		values["ctkEnabled"] = boolText(*c.tracking)
	}
	for key, value := range c.extra {
		if value == "" {
			removed = append(removed, key)
		} else {
			values[key] = value
		}
	}
	for _, one := range c.cards {
		after := one.apply(cards, "real")
		if one.operation == "add" {
			one.card = after[len(after)-1]
		}
		name := "ethernet" + strconv.Itoa(int(one.card.Key-firstCard))
		removed = append(removed, name+".")
		if one.operation != "remove" {
			one.card.settings(name, values)
		}
		cards = after
	}
	return values, removed
}

// settings are what a .vmx file says of a card.
func (c card) settings(name string, values map[string]string) {
	kind := map[string]string{"manual": "static", "assigned": "vpx", "generated": "generated"}[c.MACType]
	values[name+".present"], values[name+".virtualDev"] = "TRUE", c.Adapter
	values[name+".addressType"], values[name+".startConnected"] = kind, boolText(c.startsConnected())
	if kind == "static" {
		values[name+".address"] = c.MAC
	} else {
		values[name+".generatedAddress"] = c.MAC
	}
	if c.Portgroup != "" {
		values[name+".dvs.portgroupId"] = c.Portgroup
	} else {
		values[name+".networkName"] = c.Network
	}
	if c.Adapter == "" {
		values[name+".virtualDev"] = "vmxnet3"
	}
}

func boolText(b bool) string { return strings.ToUpper(fmt.Sprint(b)) }
