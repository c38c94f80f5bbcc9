// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Registering machines from files. The hypervisor reads those of real machines. A simulated machine has none: its record is
// found where it was unregistered, or where a test says that a copy of it is (copied).

// folder carries out the calls on folders that the simulator does not do as vSphere does.
type folder struct {
	*simulator.Folder
	unlocked
}

// copied says that a copy of a simulated machine's files can be registered at certain paths.
type copied struct {
	record record
	path   *regexp.Regexp
}

var datastorePathForm = regexp.MustCompile(`^\[([^\]]+)\] ?(.+)$`)

// registration is one call on its way.
type registration struct {
	req        *types.RegisterVM_Task
	datacenter *simulator.Datacenter
	datastore  *datastore
	file       string // on the datastore
	host       *host
	folder     string // paths, as the configuration has them
	pool, vapp string
	rec        *record // of a simulated machine
	files      files   // of a real one
}

// registeredName is the name that rules match: the one that is asked for, or that of the file.
func registeredName(req *types.RegisterVM_Task) string {
	if req.Name != "" {
		return req.Name
	}
	return strings.TrimSuffix(path.Base(req.Path), path.Ext(req.Path))
}

func (f *folder) RegisterVMTask(ctx *simulator.Context, req *types.RegisterVM_Task) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	r := &registration{req: req}
	s := subject{entity: f.Self, name: registeredName(req)}
	refused := r.prepare(f)
	if r.host != nil {
		s.hostName = r.host.Name
	}
	var deed deed
	if refused == nil && r.rec == nil {
		deed = r.read
	}
	t := startOn(callOf(ctx), s, "RegisterVM_Task", deed, func(t *task) (types.AnyType, fault) {
		if refused != nil {
			return nil, refused
		}
		return r.finish(t)
	})
	return &methods.RegisterVM_TaskBody{Res: &types.RegisterVM_TaskResponse{Returnval: t}}
}

// prepare finds out what is asked for. Called with world held.
func (r *registration) prepare(f *folder) fault {
	r.datacenter = datacenterOf(f.Folder)
	var ok bool
	if r.folder, ok = pathBelow(f.Self, r.datacenter.VmFolder); !ok {
		return &types.NotSupported{}
	}
	wrong := &types.InvalidDatastorePath{DatastorePath: r.req.Path}
	parts := datastorePathForm.FindStringSubmatch(r.req.Path)
	if parts == nil {
		return wrong
	}
	wrong.Name = parts[1]
	if r.datastore, r.file = findShownDatastore(r.datacenter, parts[1]), parts[2]; r.datastore == nil {
		return wrong
	}
	if ext := path.Ext(r.file); ext != ".vmx" && ext != ".vmtx" || path.Clean(r.file) != r.file || strings.HasPrefix(r.file, "..") {
		return wrong
	}
	if path.Ext(r.file) == ".vmtx" && !r.req.AsTemplate {
		return &types.InvalidArgument{InvalidProperty: "path"}
	}
	if refused := r.choosePlace(); refused != nil {
		return refused
	}
	if refused := r.conflict(r.req.Name); refused != nil {
		return refused
	}
	if r.rec = r.simulated(); r.rec == nil && (hypervisorAddress == "" || r.datastore.rec.Spec == nil) {
		return &types.NotFound{}
	}
	return nil
}

// choosePlace checks host and pool: a template needs a host and has no pool, a machine needs a pool.
func (r *registration) choosePlace() fault {
	if r.req.Host != nil {
		if r.host = inv.host(r.req.Host.Value); r.host == nil {
			return &types.ManagedObjectNotFound{Obj: *r.req.Host}
		}
	}
	switch {
	case r.req.AsTemplate && r.host == nil:
		return &types.InvalidArgument{InvalidProperty: "host"}
	case r.req.AsTemplate != (r.req.Pool == nil):
		return &types.InvalidArgument{InvalidProperty: "pool"}
	}
	if r.req.Pool != nil {
		if refused := r.choosePool(*r.req.Pool); refused != nil {
			return refused
		}
	}
	if r.host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if r.datastore.mountIndex(r.host) < 0 {
		return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: r.datastore.Name}, DatastorePath: r.req.Path}
	}
	return nil
}

// choosePool finds the path of the pool, and a host of it unless one was asked for: the first that is connected and mounts the datastore.
func (r *registration) choosePool(pool ref) fault {
	if simulator.Map.Get(pool) == nil {
		return &types.ManagedObjectNotFound{Obj: pool}
	}
	for _, h := range inv.hosts {
		below, ok := pathBelow(pool, h.pool.Self)
		if !ok || r.host != nil && r.host != h || h.datacenter != r.datacenter {
			continue
		}
		r.pool = below
		if pool.Type == "VirtualApp" {
			r.pool, r.vapp = strings.TrimPrefix(path.Dir(below), "."), path.Base(below)
		}
		usable := r.datastore.mountIndex(h) >= 0 && h.Runtime.ConnectionState == types.HostSystemConnectionStateConnected
		if r.host = h; usable {
			return nil
		}
		if r.req.Host == nil {
			r.host = nil
			continue
		}
		return nil // choosePlace says what is wrong with it
	}
	if r.req.Host != nil {
		return &types.InvalidArgument{InvalidProperty: "pool"}
	}
	return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: r.datastore.Name}, DatastorePath: r.req.Path}
}

// conflict is the fault of a path that is registered or of a name that is taken. Without a name, the file's is not known yet.
func (r *registration) conflict(name string) fault {
	for _, vm := range inv.machines {
		if vm.files() == r.datastore && vm.rec.Directory+"/"+vm.configFile() == r.file {
			return &types.AlreadyExists{Name: r.req.Path}
		}
	}
	if name != "" {
		return nameTaken(r.datacenter, r.folder, r.vapp, name)
	}
	return nil
}

// nameTaken is the fault of a second machine of the same name in a folder.
func nameTaken(dc *simulator.Datacenter, folder, vapp, name string) fault {
	key := nameKeyOf(dc, folder, vapp, name)
	if !inv.names[key] {
		return nil
	}
	for _, vm := range inv.machines {
		if vm.nameKey() == key {
			return &types.DuplicateName{Name: escaped(name), Object: vm.Self}
		}
	}
	return &types.DuplicateName{Name: escaped(name)}
}

// simulated is a copy of the record of a simulated machine whose files are there, or nil.
func (r *registration) simulated() *record {
	for i := len(inv.parked) - 1; i >= 0; i-- {
		old := inv.parked[i]
		if !old.Config.Real && old.Datastore == r.datastore.rec.Name && old.Directory+"/"+old.configFile() == r.file {
			return old.copy()
		}
	}
	for i := len(inv.copies) - 1; i >= 0; i-- {
		if one := inv.copies[i]; one.path.MatchString(r.req.Path) {
			made := one.record.copy()
			made.moveTo(r.datastore.rec.Name, r.file)
			return made
		}
	}
	return nil
}

// read lets the hypervisor read the files of a real machine, and writes the name that was asked for into them.
func (r *registration) read(*task) fault {
	world.RLock()
	mount := mountArguments(r.datastore.rec.Spec, r.datastore.rec.Name)
	vmx := r.datastore.file(r.file)
	world.RUnlock()
	if f := askHypervisor("mount", mount, nil); f != nil {
		return f
	}
	if f := askHypervisor("register", parameters{"vmx": vmx, "again": true}, &r.files); f != nil {
		return f
	}
	f := r.identify(vmx)
	if f != nil {
		withdraw(vmx, f)
	}
	return f
}

// withdraw takes back what the hypervisor has registered, unless it is registered for another one of the same path.
func withdraw(vmx string, reason fault) {
	if _, same := reason.(*types.AlreadyExists); !same {
		_ = askHypervisor("unregister", parameters{"vmx": vmx, "again": true}, nil)
	}
}

// identify settles name and instance UUID, in the files too where they change.
func (r *registration) identify(vmx string) fault {
	values := map[string]string{}
	world.RLock()
	h := &r.files.Hardware
	name, uuid := r.name(), newInstanceUUID(h.InstanceUUID, r.req.Path)
	refused := r.conflict(name)
	world.RUnlock()
	if refused != nil {
		return refused
	}
	if name != h.Name {
		values["displayName"] = name
	}
	if uuid != h.InstanceUUID {
		values["vc.uuid"] = uuid
	}
	if len(values) == 0 {
		return nil
	}
	return askHypervisor("configure", parameters{"vmx": vmx, "values": values}, &r.files)
}

// name is the one that was asked for, or that of the files.
func (r *registration) name() string {
	if r.req.Name != "" {
		return unescaped(r.req.Name)
	}
	if r.rec != nil {
		return r.rec.Config.Name
	}
	if r.files.Hardware.Name != "" {
		return r.files.Hardware.Name
	}
	return registeredName(r.req)
}

// newInstanceUUID is the one that a registered machine gets.
func newInstanceUUID(old, path string) string {
	taken := old == ""
	for _, vm := range inv.machines {
		taken = taken || vm.rec.Config.InstanceUUID == old
	}
	if behavior.NewInstanceUUID == "always" || behavior.NewInstanceUUID == "if_taken" && taken || old == "" {
		return uuidOf(fmt.Sprintf("instance of %s %d", path, inv.nextID))
	}
	return old
}

// finish adds the machine. Called with world held.
func (r *registration) finish(t *task) (types.AnyType, fault) {
	name := r.name()
	if refused := r.conflict(name); refused != nil {
		if r.rec == nil { // another registration was faster
			go withdraw(r.datastore.file(r.file), refused)
		}
		return nil, refused
	}
	rec := r.rec
	if rec == nil {
		rec = r.realRecord()
	} else {
		rec.Config.InstanceUUID = newInstanceUUID(rec.Config.InstanceUUID, r.req.Path)
	}
	c := &rec.Config
	c.Name, c.Template, c.Host, c.Folder, c.ResourcePool, c.VApp = name, r.req.AsTemplate, r.host.Name, r.folder, r.pool, r.vapp
	c.Power, rec.Datacenter, rec.Datastore = "off", r.datacenter.Name, r.datastore.rec.Name
	vm, err := addRegistered(rec)
	if err != nil {
		return nil, errorToFault(err)
	}
	t.registered = vm.rec.Moid
	return vm.Self, nil
}

// realRecord is the record of a machine that the hypervisor has read. What files do not say, it has from a machine with
// the same BIOS UUID: the guest of a copy is the same.
func (r *registration) realRecord() *record {
	h := &r.files.Hardware
	rec := &record{Directory: path.Dir(r.file), ConfigFile: path.Base(r.file), Files: &r.files}
	rec.Config = machineConfig{Real: true, BiosUUID: h.BiosUUID, InstanceUUID: h.InstanceUUID, Disks: []diskConfig{}}
	if strings.HasPrefix(strings.ToLower(h.GuestOS), "windows") {
		rec.Config.Guest = "windows"
	}
	if twin := twinOf(h.BiosUUID); twin != nil {
		c := &twin.Config
		rec.Config.Guest, rec.Config.GuestID, rec.Config.Tools, rec.Config.VSS = c.Guest, c.GuestID, c.Tools, c.VSS
		rec.Config.Start, rec.Config.Question = c.Start, c.Question
	}
	return rec
}

// twinOf is the record of a machine with this BIOS UUID, registered or not, or nil.
func twinOf(uuid string) *record {
	for _, vm := range inv.sortedMachines() {
		if uuid != "" && vm.rec.Config.BiosUUID == uuid {
			return vm.rec
		}
	}
	for i := len(inv.parked) - 1; i >= 0; i-- {
		if uuid != "" && inv.parked[i].Config.BiosUUID == uuid {
			return inv.parked[i]
		}
	}
	return nil
}

// addRegistered adds a machine whose snapshots are known: they get new managed object IDs, as in vSphere.
func addRegistered(rec *record) (*machine, error) {
	old, count := rec.Current, rec.Config.Snapshots
	rec.Moid, rec.Config.Snapshots, rec.Current = "", 0, ""
	vm, err := addMachine(rec)
	if err != nil {
		rec.Config.Snapshots, rec.Current = count, old
		return nil, err
	}
	rec.Config.Snapshots = count
	if rec.Files != nil && len(rec.Snapshots) == 0 {
		vm.readTree()
	} else {
		vm.renameSnapshots(old)
	}
	inv.forgetParked(vm)
	if err := vm.show(); err != nil {
		return nil, err
	}
	vm.eachSnapshot(func(s *snapshot) { vm.putSnapshot(s) })
	return vm, nil
}

func (vm *machine) renameSnapshots(current string) {
	vm.eachSnapshot(func(s *snapshot) {
		removeObject(s.ref())
		was := s.Moid
		s.Moid = vm.newSnapshotID(s.ID)
		if was == current {
			vm.rec.Current = s.Moid
		}
		if !behavior.QuiescedAfterRegistration {
			s.Quiesced, s.Manifest = false, ""
		}
	})
}

// forgetParked drops the records of machines whose place a registered one has taken.
func (i *inventory) forgetParked(vm *machine) {
	var left []*record
	for _, rec := range i.parked {
		if rec.Datastore != vm.rec.Datastore || rec.Directory+"/"+rec.configFile() != vm.rec.Directory+"/"+vm.configFile() {
			left = append(left, rec)
		}
	}
	i.parked = left
}

// register brings back an unregistered machine, as it was, by its name.
func register(name string) (*machine, error) {
	for i := len(inv.parked) - 1; i >= 0; i-- {
		if rec := inv.parked[i]; rec.Config.Name == name {
			return addRegistered(rec)
		}
	}
	return nil, fmt.Errorf("no unregistered VM %q", name)
}

// UnregisterVM takes a machine that is not running out of the inventory. Its files stay.
func (vm *machine) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	refuse := func(f fault) soap.HasFault { return &methods.UnregisterVMBody{Fault_: soapFault(f, "")} }
	if inv.machines[vm.rec.Moid] != vm {
		return refuse(&types.ManagedObjectNotFound{Obj: vm.Self})
	}
	if vm.busy != nil {
		return refuse(&types.TaskInProgress{Task: vm.busy.Self})
	}
	if vm.power() != types.VirtualMachinePowerStatePoweredOff {
		return refuse(&types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: vm.power()})
	}
	if vm.rec.Config.Real {
		if f := vm.whileBusy(func() fault { return vm.order("unregister", parameters{"again": true}, nil) }); f != nil {
			return refuse(f)
		}
	}
	if inv.machines[vm.rec.Moid] == vm {
		vm.unregister()
	}
	return &methods.UnregisterVMBody{Res: &types.UnregisterVMResponse{}}
}
