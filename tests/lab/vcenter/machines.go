// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// A virtual machine is a small record (what was configured, and its snapshots) and its face: the properties that vSphere
// clients read, all computed from the record. Whatever changes the record calls show, which computes the face anew, tells
// the property filters and writes the record to the state file.

type machineConfig struct {
	Name           string                     `json:"name"`
	Count          int                        `json:"count,omitempty"`    // so many, with {n} in the name replaced or -0001 appended
	Guest          string                     `json:"guest,omitempty"`    // linux (default), windows
	GuestID        string                     `json:"guest_id,omitempty"` // default by guest
	Tools          string                     `json:"tools,omitempty"`    // running (default), not_running, not_installed
	Power          string                     `json:"power,omitempty"`    // on (default), off, suspended
	Template       bool                       `json:"template,omitempty"`
	Real           bool                       `json:"real,omitempty"`        // the hypervisor has its disk and carries out its tasks
	Host           string                     `json:"host,omitempty"`        // default: round robin over the hosts that mount the datastore
	Disks          []diskConfig               `json:"disks"`                 // none at all is not the same as an empty list
	ISO            string                     `json:"iso,omitempty"`         // a datastore whose ISO image is in the CD drive
	VMX            string                     `json:"vmx,omitempty"`         // a datastore for the .vmx alone; default: the one it is registered on
	WorkingDir     string                     `json:"working_dir,omitempty"` // a datastore: the files of later snapshots lie there
	Swap           string                     `json:"swap,omitempty"`        // a datastore: the swap file lies there while it is on
	Cards          []card                     `json:"cards,omitempty"`
	TPM            bool                       `json:"tpm,omitempty"`
	KeyProvider    string                     `json:"key_provider,omitempty"` // of an encrypted machine
	ChangeTracking bool                       `json:"change_tracking,omitempty"`
	PCIPassthrough bool                       `json:"pci_passthrough,omitempty"`
	VGPU           bool                       `json:"vgpu,omitempty"`        // does not prevent disk-only snapshots
	BusSharing     string                     `json:"bus_sharing,omitempty"` // physicalSharing, virtualSharing
	FaultTolerance bool                       `json:"fault_tolerance,omitempty"`
	Annotation     string                     `json:"annotation,omitempty"`
	InstanceUUID   string                     `json:"instance_uuid,omitempty"`
	BiosUUID       string                     `json:"bios_uuid,omitempty"`
	Snapshots      int                        `json:"snapshots,omitempty"`  // an administrator's, one the child of the other
	Start          *startup                   `json:"start,omitempty"`      // default: that of the behavior
	Question       *questionConfig            `json:"question,omitempty"`   // asked at power-on
	VSS            *bool                      `json:"vss,omitempty"`        // false: a Windows guest that quiesces without VSS
	Cancelable     bool                       `json:"cancelable,omitempty"` // CancelTask works on its tasks
	ExtraConfig    map[string]string          `json:"extra_config,omitempty"`
	Folder         string                     `json:"folder,omitempty"`        // path below the datacenter's folder of VMs
	ResourcePool   string                     `json:"resource_pool,omitempty"` // path below the pool of the host or cluster
	VApp           string                     `json:"vapp,omitempty"`          // a vApp in the folder and the pool
	Attributes     map[string]string          `json:"attributes,omitempty"`    // custom ones
	Tags           map[string][]string        `json:"tags,omitempty"`          // category: names
	Properties     map[string]json.RawMessage `json:"properties,omitempty"`    // any property by its path, laid over the rest
}

type diskConfig struct {
	Key       int32  `json:"key,omitempty"`       // default: that of the disk in the same place of the list, or the next one
	Datastore string `json:"datastore,omitempty"` // default: the machine's own
	Directory string `json:"directory,omitempty"` // default: the machine's own; a move sets it where another name was free only
	File      string `json:"file,omitempty"`      // its name without .vmdk; default: by the directory and the key
	Kind      string `json:"kind,omitempty"`      // flat (default), independent_persistent, independent_nonpersistent, rdm_physical, rdm_virtual
	SizeGB    int64  `json:"size_gb,omitempty"`   // default 16
}

// record is everything that survives a restart.
type record struct {
	Moid                string         `json:"moid"`
	Config              machineConfig  `json:"config"`
	Datastore           string         `json:"datastore"`
	Datacenter          string         `json:"datacenter,omitempty"`
	Directory           string         `json:"directory"`
	Snapshots           []*snapshot    `json:"snapshots,omitempty"` // the roots
	Current             string         `json:"current,omitempty"`
	SnapshotNumber      int32          `json:"snapshot_number,omitempty"`
	LastDisk            int32          `json:"last_disk,omitempty"` // the highest key that a disk ever had
	ConsolidationNeeded bool           `json:"consolidation_needed,omitempty"`
	Files               *files         `json:"files,omitempty"`       // of a real machine: what the hypervisor said last
	ConfigFile          string         `json:"config_file,omitempty"` // the name of its .vmx or .vmtx; default: that of the directory
	Stem                string         `json:"stem,omitempty"`        // begins the names of its files; default: that of the config file
	Location            string         `json:"location,omitempty"`    // of a simulated one: where its .vmx was when it got its identity
	Plugged             map[int32]bool `json:"plugged,omitempty"`     // cards that were connected or disconnected while it runs
}

type machine struct {
	mo.VirtualMachine
	unlocked
	rec        *record
	number     int
	host       *host
	home       *datastore
	datacenter *simulator.Datacenter
	at         place
	started    time.Time // of a machine that was powered on since the simulator runs
	question   *question // that it waits for an answer to
	busy       *task     // the task that works on it, or waits to
	recent     []ref     // its tasks of the last while (the retention), oldest first
}

// addMachine registers a virtual machine; a record without a managed object ID is a new one and gets what it lacks.
func addMachine(rec *record) (added *machine, err error) {
	dc := inv.datacenter(rec.Datacenter)
	if dc == nil {
		return nil, fmt.Errorf("no datacenter %q", rec.Datacenter)
	}
	home := findDatastore(dc, rec.Datastore)
	if home == nil {
		return nil, fmt.Errorf("no datastore %q", rec.Datastore)
	}
	vm := &machine{rec: rec, home: home, datacenter: dc}
	if inv.names[vm.nameKey()] {
		return nil, fmt.Errorf("the name is taken in datacenter %q, in the same folder", dc.Name)
	}
	if rec.Config.Disks == nil {
		rec.Config.Disks = []diskConfig{{}}
	}
	if rec.Config.Disks, rec.LastDisk, err = keyed(rec.Config.Disks, nil, rec.LastDisk); err != nil {
		return nil, err
	}
	if rec.Config.Cards, err = completeCards(rec.Config.Cards, dc.Name+" "+rec.Config.Name); err != nil {
		return nil, err
	}
	fresh := rec.Moid == ""
	if fresh {
		vm.number = inv.newID()
		rec.Moid = fmt.Sprintf("vm-%d", vm.number)
		if inv.esx {
			rec.Moid = fmt.Sprint(vm.number)
		}
	} else {
		fmt.Sscanf(strings.TrimPrefix(rec.Moid, "vm-"), "%d", &vm.number)
	}
	vm.Self = ref{Type: "VirtualMachine", Value: rec.Moid}
	if rec.Directory == "" {
		rec.Directory = freeDirectory(home, rec.Config.Name)
	}
	home.directories[rec.Directory] = true
	if rec.Config.InstanceUUID == "" {
		rec.Config.InstanceUUID = uuidOf("instance " + dc.Name + " " + rec.Moid)
	}
	if rec.Config.BiosUUID == "" {
		rec.Config.BiosUUID = uuidOf("bios " + dc.Name + " " + rec.Moid)
	}
	if rec.Config.Host == "" {
		hosts := home.mountedOn()
		if len(hosts) == 0 {
			return nil, fmt.Errorf("no host mounts the datastore")
		}
		rec.Config.Host = hosts[vm.number%len(hosts)].Name
	}
	if vm.host = inv.host(rec.Config.Host); vm.host == nil {
		return nil, fmt.Errorf("no host %q", rec.Config.Host)
	}
	if vm.at, err = vm.findPlace(); err != nil {
		return nil, err
	}
	if rec.Location == "" {
		rec.Location = vm.location()
	}
	if fresh && rec.Config.Real && rec.Files == nil {
		if err := vm.createReal(); err != nil {
			return nil, err
		}
	}
	inv.names[vm.nameKey()] = true
	for n := 1; fresh && n <= rec.Config.Snapshots; n++ {
		vm.addSnapshot(&snapshot{Name: fmt.Sprintf("before-upgrade-%d", n), Description: "taken by an administrator"})
	}
	inv.machines[rec.Moid] = vm
	face, err := vm.face()
	if err != nil {
		delete(inv.machines, rec.Moid)
		delete(inv.names, vm.nameKey())
		return nil, err
	}
	vm.VirtualMachine = face
	vm.at.enter(vm.Self)
	update(vm.host.HostSystem, func() { vm.host.Vm = append(vm.host.Vm, vm.Self) }, "vm")
	for _, d := range vm.VirtualMachine.Datastore {
		findDatastoreByRef(d).listMachine(vm.Self)
	}
	simulator.Map.Put(vm)
	vm.eachSnapshot(func(s *snapshot) { vm.putSnapshot(s) })
	if !fresh && rec.Config.Real {
		vm.resume()
	}
	vm.save()
	return vm, nil
}

// unregister takes a machine out of the inventory and keeps its record for a later register. A task that still works on
// it fails when its time is over; one that hangs, now.
func (vm *machine) unregister() {
	if vm.busy != nil {
		vm.busy.abandon()
	}
	delete(inv.machines, vm.rec.Moid)
	delete(inv.names, vm.nameKey())
	vm.eachSnapshot(func(s *snapshot) { removeObject(s.ref()) })
	removeObject(vm.Self)
	vm.at.leave(vm.Self)
	vm.leaveHost()
	for _, d := range vm.VirtualMachine.Datastore {
		findDatastoreByRef(d).unlistMachine(vm.Self)
	}
	journal.write(entry{Gone: vm.rec.Moid})
	parked := *vm.rec
	parked.Moid = ""
	inv.parked = append(inv.parked, &parked)
}

func removeObject(r ref) {
	simulator.Map.Remove(r)
	hub.changed(r)
}

func (vm *machine) nameKey() string {
	c := &vm.rec.Config
	return nameKeyOf(vm.datacenter, c.Folder, c.VApp, c.Name)
}

// nameKeyOf is for what must be unique: the name in its folder.
func nameKeyOf(dc *simulator.Datacenter, folder, vapp, name string) string {
	return strings.Join([]string{dc.Self.Value, strings.Join(parts(folder), "/"), vapp, name}, "\n")
}

// merge changes the configuration; an error says why it cannot be so, and leaves it to the caller to take it back.
func (vm *machine) merge(raw json.RawMessage) (err error) {
	oldName, old := vm.nameKey(), vm.rec.Config
	var merged machineConfig
	copied, _ := json.Marshal(old)
	_ = json.Unmarshal(copied, &merged)
	merged.Properties, merged.Disks, merged.Attributes, merged.Tags = nil, nil, nil, nil // replaced as a whole, not merged
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&merged); err != nil {
		return err
	}
	if merged.Properties == nil {
		merged.Properties = old.Properties
	}
	if merged.Disks == nil {
		merged.Disks = old.Disks
	}
	if merged.Attributes == nil {
		merged.Attributes = old.Attributes
	}
	if merged.Tags == nil {
		merged.Tags = old.Tags
	}
	if merged.Disks, vm.rec.LastDisk, err = keyed(merged.Disks, old.Disks, vm.rec.LastDisk); err != nil {
		return err
	}
	vm.rec.Config = merged
	if h := inv.host(merged.Host); h == nil || h.datacenter != vm.datacenter {
		return fmt.Errorf("no host %q in datacenter %q", merged.Host, vm.datacenter.Name)
	}
	if name := vm.nameKey(); name != oldName && inv.names[name] {
		return fmt.Errorf("the name is taken in datacenter %q", vm.datacenter.Name)
	}
	_, err = vm.face()
	return err
}

func (vm *machine) leaveHost() {
	update(vm.host.HostSystem, func() { vm.host.Vm = without(vm.host.Vm, vm.Self) }, "vm")
}

// change merges JSON of machineConfig's shape into the configuration: rename, power, Tools, another host (vMotion) and so on.
func (vm *machine) change(raw json.RawMessage) error {
	old, oldName, power, copied := vm.rec.Config, vm.nameKey(), vm.power(), vm.isCopy()
	err := vm.merge(raw)
	if err == nil {
		err = vm.followPower(power)
	}
	if err != nil {
		vm.rec.Config = old
		return err
	}
	vm.keepLocation(copied)
	target := inv.host(vm.rec.Config.Host)
	delete(inv.names, oldName)
	inv.names[vm.nameKey()] = true
	if target != vm.host {
		vm.leaveHost()
		vm.host = target
		update(target.HostSystem, func() { target.Vm = append(target.Vm, vm.Self) }, "vm")
	}
	at, err := vm.findPlace()
	if err != nil {
		return err
	}
	if at != vm.at {
		vm.at.leave(vm.Self)
		vm.at = at
		at.enter(vm.Self)
	}
	return vm.show()
}

// followRename keeps the record's references to a datastore that got another name.
func (vm *machine) followRename(old, name string) {
	fields := []*string{&vm.rec.Datastore, &vm.rec.Config.ISO, &vm.rec.Config.VMX, &vm.rec.Config.WorkingDir,
		&vm.rec.Config.Swap}
	vm.eachSnapshot(func(s *snapshot) { fields = append(fields, &s.WorkingDir) })
	for _, field := range fields {
		if *field == old {
			*field = name
		}
	}
	vm.rec.Config.Disks = append([]diskConfig{}, vm.rec.Config.Disks...)
	for i := range vm.rec.Config.Disks {
		if vm.rec.Config.Disks[i].Datastore == old {
			vm.rec.Config.Disks[i].Datastore = name
		}
	}
}

// move is a Storage vMotion: of the home (nil: it stays), and of the disks as `to` answers, nil for one that stays where it is.
func (vm *machine) move(home *datastore, to func(diskConfig) *datastore) error {
	old, oldRecord, copied := vm.home, *vm.rec, vm.isCopy()
	rec := vm.rec
	rec.Config.Disks = append([]diskConfig{}, rec.Config.Disks...)
	for i := range rec.Config.Disks {
		d := &rec.Config.Disks[i]
		if d.Datastore == "" {
			d.Datastore = rec.Datastore
		}
		if d.Directory == "" {
			d.Directory = rec.Directory
		}
		if target := to(*d); target != nil && target.rec.Name != d.Datastore {
			d.Datastore, d.Directory = target.rec.Name, ""
		}
	}
	vm.eachSnapshot(func(s *snapshot) {
		if s.WorkingDir != "" && s.Directory == "" {
			s.Directory = rec.Directory
		}
	})
	if home != nil {
		rec.Config.VMX = ""
	}
	if home != nil && home != old {
		vm.home, rec.Datastore, rec.Directory = home, home.rec.Name, freeDirectory(home, rec.Directory)
	}
	for i := range rec.Config.Disks { // as short as it can be said
		d := &rec.Config.Disks[i]
		if d.Directory == rec.Directory {
			d.Directory = ""
		}
		if d.Datastore == rec.Datastore && d.Directory == "" {
			d.Datastore = ""
		}
	}
	vm.keepLocation(copied)
	if err := vm.show(); err != nil {
		vm.home, *vm.rec = old, oldRecord
		return err
	}
	if vm.home != old {
		vm.home.directories[rec.Directory] = true
		delete(old.directories, oldRecord.Directory)
		for _, d := range rec.Config.Disks {
			if d.Datastore == old.rec.Name {
				old.directories[oldRecord.Directory] = true
			}
		}
	}
	vm.showSnapshots()
	return nil
}

func (vm *machine) save() { journal.write(entry{VM: vm.rec}) }

// show computes it, keeps the datastores' lists of machines in step and publishes the lot.
func (vm *machine) show() error {
	before := vm.VirtualMachine.Datastore
	face, err := vm.face()
	if err != nil {
		return err
	}
	vm.VirtualMachine = face
	after := vm.VirtualMachine.Datastore
	for _, d := range after {
		if !contains(before, d) {
			findDatastoreByRef(d).listMachine(vm.Self)
		}
	}
	for _, d := range before {
		if !contains(after, d) {
			findDatastoreByRef(d).unlistMachine(vm.Self)
		}
	}
	vm.save()
	hub.changed(vm.Self)
	return nil
}

var powerStates = map[string]types.VirtualMachinePowerState{
	"": types.VirtualMachinePowerStatePoweredOn, "on": types.VirtualMachinePowerStatePoweredOn,
	"off": types.VirtualMachinePowerStatePoweredOff, "suspended": types.VirtualMachinePowerStateSuspended}

func (vm *machine) power() types.VirtualMachinePowerState {
	if vm.rec.Config.Template {
		return types.VirtualMachinePowerStatePoweredOff
	}
	return powerStates[vm.rec.Config.Power]
}

func (vm *machine) windows() bool { return vm.rec.Config.Guest == "windows" }

func (vm *machine) toolsRunning() bool {
	dead := vm.rec.Files != nil && vm.rec.Files.Dead
	return (vm.rec.Config.Tools == "" || vm.rec.Config.Tools == "running") && vm.isUp(vm.startup().Tools) && !dead
}

// files is the datastore of the machine's home directory, where its .vmx is.
func (vm *machine) files() *datastore {
	if ds := findDatastore(vm.datacenter, vm.rec.Config.VMX); ds != nil {
		return ds
	}
	return vm.home
}

// path names a file of the machine in its home directory.
func (vm *machine) path(file string) string {
	return fmt.Sprintf("[%s] %s/%s", vm.files().Name, vm.rec.Directory, file)
}

// face computes the properties that clients read.
func (vm *machine) face() (face mo.VirtualMachine, err error) {
	c := &vm.rec.Config
	if _, ok := powerStates[c.Power]; !ok {
		return face, fmt.Errorf("unknown power state %q", c.Power)
	}
	if c.VMX != "" && findDatastore(vm.datacenter, c.VMX) == nil {
		return face, fmt.Errorf("no datastore %q for the .vmx", c.VMX)
	}
	name, now := escaped(c.Name), time.Now().UTC()
	devices, err := vm.devices(nil)
	if err != nil {
		return face, err
	}
	snapshots, err := vm.snapshotDirectory()
	if err != nil {
		return face, err
	}
	guestID, guestName := c.GuestID, "Other Linux (64-bit)"
	if guestID == "" {
		guestID = "otherLinux64Guest"
	}
	if vm.windows() {
		guestName = "Microsoft Windows Server 2019 (64-bit)"
		if c.GuestID == "" {
			guestID = "windows2019srv_64Guest"
		}
	}
	face.ManagedEntity = vm.ManagedEntity
	face.Name = name
	face.EnvironmentBrowser = vm.host.environment
	face.Parent, face.ParentVApp = optional(vm.at.folder), optional(vm.at.vapp)
	if !c.Template {
		face.ResourcePool = optional(vm.at.pool)
	}
	if face.CustomValue, err = attributes(c.Attributes); err != nil {
		return face, err
	}
	face.Value = face.CustomValue
	if !inv.esx {
		face.AvailableField = simulator.Map.CustomFieldsManager().Field
	}
	yes, no := types.NewBool(true), types.NewBool(false)
	face.Capability = types.VirtualMachineCapability{SnapshotOperationsSupported: !c.FaultTolerance, MultipleSnapshotsSupported: true,
		PoweredOffSnapshotsSupported: true, MemorySnapshotsSupported: true, RevertToSnapshotSupported: true,
		QuiescedSnapshotsSupported: true, ChangeTrackingSupported: yes}
	face.Runtime = types.VirtualMachineRuntimeInfo{Host: &vm.host.Self, ConnectionState: types.VirtualMachineConnectionStateConnected,
		PowerState: vm.power(), FaultToleranceState: types.VirtualMachineFaultToleranceStateNotConfigured,
		ConsolidationNeeded: types.NewBool(vm.rec.ConsolidationNeeded), OnlineStandby: no, RecordReplayState: "inactive"}
	face.Config = &types.VirtualMachineConfigInfo{ChangeVersion: now.Format(time.RFC3339Nano), Modified: now, Name: name,
		GuestFullName: guestName, GuestId: guestID, Version: "vmx-13", Uuid: c.BiosUUID, InstanceUuid: c.InstanceUUID,
		Template: c.Template, Annotation: c.Annotation, Firmware: "bios", CpuAllocation: allocation(), MemoryAllocation: allocation(),
		Files: types.VirtualMachineFileInfo{VmPathName: vm.path(vm.configFile()), SnapshotDirectory: snapshots,
			SuspendDirectory: snapshots, LogDirectory: vm.path("")},
		Tools: &types.ToolsConfigInfo{}, ExtraConfig: optionValues(c.ExtraConfig),
		Hardware: types.VirtualHardware{NumCPU: 1, NumCoresPerSocket: 1, MemoryMB: 1024, Device: devices}}
	if c.FaultTolerance {
		face.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateRunning
		face.Config.FtInfo = &types.FaultTolerancePrimaryConfigInfo{FaultToleranceConfigInfo: types.FaultToleranceConfigInfo{
			Role: 1, InstanceUuids: []string{c.InstanceUUID}, ConfigPaths: []string{face.Config.Files.VmPathName}}}
	}
	vm.showFiles(face.Config)
	face.Network = vm.networks()
	if vm.question != nil {
		face.Runtime.Question = vm.question.info
	}
	if face.Config.KeyId != nil {
		face.Runtime.CryptoState = map[bool]string{false: "safe", true: "locked"}[vm.isLockedBy(face.Config.KeyId)]
	}
	face.Guest = vm.guest(guestID, guestName)
	face.GuestHeartbeatStatus = vm.showStart(face.Guest)
	face.Snapshot, face.RootSnapshot = vm.snapshotInfo()
	swap, err := vm.swapFile()
	if err != nil {
		return face, err
	}
	face.Datastore = vm.datastores(devices)
	face.LayoutEx = vm.layout(devices, swap, now)
	face.Storage = &types.VirtualMachineStorageInfo{Timestamp: now}
	for _, d := range face.Datastore {
		face.Storage.PerDatastoreUsage = append(face.Storage.PerDatastoreUsage,
			types.VirtualMachineUsageOnDatastore{Datastore: d, Committed: 1 << 30, Unshared: 1 << 30})
	}
	face.RecentTask = vm.recent
	disks := int32(0)
	for _, d := range devices {
		if _, ok := d.(*types.VirtualDisk); ok {
			disks++
		}
	}
	face.Summary = types.VirtualMachineSummary{Vm: &vm.Self, Runtime: face.Runtime, OverallStatus: types.ManagedEntityStatusGreen,
		Guest: &types.VirtualMachineGuestSummary{GuestId: face.Guest.GuestId, GuestFullName: face.Guest.GuestFullName,
			ToolsStatus: face.Guest.ToolsStatus, ToolsVersionStatus2: face.Guest.ToolsVersionStatus2,
			ToolsRunningStatus: face.Guest.ToolsRunningStatus, HostName: face.Guest.HostName, IpAddress: face.Guest.IpAddress},
		Config: types.VirtualMachineConfigSummary{Name: name, Template: c.Template, VmPathName: face.Config.Files.VmPathName,
			MemorySizeMB: face.Config.Hardware.MemoryMB, NumCpu: face.Config.Hardware.NumCPU, NumVirtualDisks: disks, Uuid: c.BiosUUID, InstanceUuid: c.InstanceUUID, GuestId: guestID,
			GuestFullName: guestName, Annotation: c.Annotation, FtInfo: face.Config.FtInfo},
		QuickStats: types.VirtualMachineQuickStats{GuestHeartbeatStatus: face.GuestHeartbeatStatus}}
	for path, raw := range c.Properties {
		if err := overlay(reflect.ValueOf(&face).Elem(), path, raw); err != nil {
			return face, fmt.Errorf("property %s: %v", path, err)
		}
	}
	return face, nil
}

// optionValues are in order, so that nothing seems to have changed.
func optionValues(values map[string]string) []types.BaseOptionValue {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	list := make([]types.BaseOptionValue, 0, len(keys))
	for _, key := range keys {
		list = append(list, &types.OptionValue{Key: key, Value: values[key]})
	}
	return list
}

func allocation() *types.ResourceAllocationInfo {
	return &types.ResourceAllocationInfo{Reservation: types.NewInt64(0), Limit: types.NewInt64(-1), ExpandableReservation: types.NewBool(false),
		Shares: &types.SharesInfo{Shares: 1000, Level: types.SharesLevelNormal}}
}

func (vm *machine) guest(id, name string) *types.GuestInfo {
	g := &types.GuestInfo{GuestState: "notRunning", ToolsStatus: types.VirtualMachineToolsStatusToolsNotRunning,
		ToolsRunningStatus: "guestToolsNotRunning", ToolsVersionStatus: "guestToolsCurrent", ToolsVersionStatus2: "guestToolsCurrent",
		ToolsVersion: "11365", GuestOperationsReady: types.NewBool(vm.toolsRunning())}
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		g.GuestState = "unknown"
	}
	switch {
	case vm.rec.Config.Tools == "not_installed":
		g.ToolsStatus, g.ToolsVersion = types.VirtualMachineToolsStatusToolsNotInstalled, "0"
		g.ToolsVersionStatus, g.ToolsVersionStatus2 = "guestToolsNotInstalled", "guestToolsNotInstalled"
	case vm.toolsRunning():
		g.ToolsStatus, g.ToolsRunningStatus, g.GuestState = types.VirtualMachineToolsStatusToolsOk, "guestToolsRunning", "running"
		g.GuestId, g.GuestFullName, g.GuestFamily, g.HostName = id, name, "linuxGuest", "guest-"+vm.rec.Moid
		if vm.windows() {
			g.GuestFamily = "windowsGuest"
		}
	}
	return g
}

// freeDirectory is the machine's directory on its datastore: its name without what a path cannot hold, made unique.
func freeDirectory(home *datastore, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\%[]`, r) {
			return '_'
		}
		return r
	}, name)
	dir := plain
	for n := 1; home.directories[dir]; n++ {
		dir = fmt.Sprintf("%s_%d", plain, n)
	}
	return dir
}

// overlay sets one property by its path to a value given as JSON; what lies on the way is copied first.
func overlay(v reflect.Value, path string, raw json.RawMessage) error {
	for _, name := range strings.Split(path, ".") {
		if v.Kind() == reflect.Ptr {
			fresh := reflect.New(v.Type().Elem())
			if !v.IsNil() {
				fresh.Elem().Set(v.Elem())
			}
			v.Set(fresh)
			v = fresh.Elem()
		}
		if v.Kind() != reflect.Struct {
			return fmt.Errorf("no such property")
		}
		if v = v.FieldByName(strings.Title(name)); !v.IsValid() {
			return fmt.Errorf("no such property")
		}
	}
	return json.Unmarshal(raw, v.Addr().Interface())
}
