// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"path"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// A machine's devices and files, computed from its configuration and its snapshots.

const (
	ideController  = 200
	scsiController = 1000
	firstDisk      = 2000 // the key of the first disk; the others' follow
)

// keyed gives every disk a key. One without has that of the disk in the same place of the old list, or the next that no disk of
// the machine ever had; `last` is the highest so far.
func keyed(disks, old []diskConfig, last int32) ([]diskConfig, int32, error) {
	taken, named := map[int32]bool{}, append([]diskConfig{}, disks...)
	if last == 0 {
		last = firstDisk - 1
	}
	for _, d := range named {
		if d.Key == 0 {
			continue
		}
		if d.Key < firstDisk || taken[d.Key] {
			return nil, last, fmt.Errorf("a disk's key is %d or more, and no other disk's: %d", firstDisk, d.Key)
		}
		taken[d.Key] = true
		if d.Key > last {
			last = d.Key
		}
	}
	for i := range named {
		if named[i].Key != 0 {
			continue
		}
		if i < len(old) && !taken[old[i].Key] {
			named[i].Key = old[i].Key
		} else {
			last++
			named[i].Key = last
		}
		taken[named[i].Key] = true
	}
	return named, last, nil
}

// compatibilities of raw device mappings, by the kind of disk.
var compatibilities = map[string]string{"rdm_physical": "physicalMode", "rdm_virtual": "virtualMode"}

// devices are those of the machine as it is, or as a snapshot has kept them.
func (vm *machine) devices(s *snapshot) ([]types.BaseVirtualDevice, error) {
	c := &vm.rec.Config
	sharing := types.VirtualSCSISharing(c.BusSharing)
	if sharing == "" {
		sharing = types.VirtualSCSISharingNoSharing
	}
	controller := &types.ParaVirtualSCSIController{}
	controller.Key, controller.SharedBus, controller.ScsiCtlrUnitNumber = scsiController, sharing, 7
	controller.DeviceInfo = &types.Description{Label: "SCSI controller 0", Summary: "VMware paravirtual SCSI"}
	ide := &types.VirtualIDEController{}
	ide.Key = ideController
	ide.DeviceInfo = &types.Description{Label: "IDE 0", Summary: "IDE 0"}
	devices := []types.BaseVirtualDevice{ide, controller}
	disks, err := vm.disks(s)
	if err != nil {
		return nil, err
	}
	devices = append(devices, disks...)
	for i, one := range vm.cards(s) {
		devices = append(devices, vm.cardDevice(one, i+1))
	}
	if c.TPM || vm.rec.Files != nil && vm.rec.Files.Hardware.TPM {
		tpm := &types.VirtualTPM{}
		tpm.Key = 11000
		tpm.DeviceInfo = &types.Description{Label: "Virtual TPM", Summary: "Trusted Platform Module"}
		devices = append(devices, tpm)
	}
	if c.ISO != "" {
		ds := findDatastore(vm.datacenter, c.ISO)
		if ds == nil {
			return nil, fmt.Errorf("no datastore %q for the ISO image", c.ISO)
		}
		cd := &types.VirtualCdrom{}
		cd.Key, cd.ControllerKey, cd.UnitNumber = 3000, ide.Key, types.NewInt32(0)
		cd.DeviceInfo = &types.Description{Label: "CD/DVD drive 1", Summary: "ISO"}
		cd.Backing = &types.VirtualCdromIsoBackingInfo{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{
			FileName: fmt.Sprintf("[%s] iso/install.iso", ds.Name), Datastore: &ds.Self}}
		devices = append(devices, cd)
	}
	if c.PCIPassthrough {
		pci := &types.VirtualPCIPassthrough{}
		pci.Key = 13000
		pci.DeviceInfo = &types.Description{Label: "PCI device 0", Summary: "a graphics card"}
		pci.Backing = &types.VirtualPCIPassthroughDeviceBackingInfo{Id: "0000:03:00.0", DeviceId: "1db6", SystemId: "00000000-0000", VendorId: 4318}
		devices = append(devices, pci)
	}
	if c.VGPU {
		vgpu := &types.VirtualPCIPassthrough{}
		vgpu.Key = 13001
		vgpu.DeviceInfo = &types.Description{Label: "PCI device 1", Summary: "NVIDIA GRID vGPU grid_p40-2q"}
		vgpu.Backing = &types.VirtualPCIPassthroughVmiopBackingInfo{Vgpu: "grid_p40-2q"}
		devices = append(devices, vgpu)
	}
	return devices, nil
}

// disks are those of the files of a real machine, or of the configuration.
func (vm *machine) disks(s *snapshot) (devices []types.BaseVirtualDevice, err error) {
	if vm.rec.Files != nil {
		return vm.fileDevices(vm.rec.Files.hardwareAt(s)), nil
	}
	list, chain := vm.rec.Config.Disks, vm.chain()
	if s != nil {
		chain = vm.chainAbove(s)
		if s.Kept != nil {
			list = s.Kept.Disks
		}
	}
	for _, d := range list {
		disk, err := vm.disk(d, chain)
		if err != nil {
			return nil, err
		}
		devices = append(devices, disk)
	}
	return devices, nil
}

func rawBacking(file types.VirtualDeviceFileBackingInfo, uuid, compatibility, mode string) *types.VirtualDiskRawDiskMappingVer1BackingInfo {
	return &types.VirtualDiskRawDiskMappingVer1BackingInfo{VirtualDeviceFileBackingInfo: file, Uuid: uuid,
		LunUuid: "0200000000600144f0", DeviceName: "vml.0200000000", CompatibilityMode: compatibility, DiskMode: mode}
}

// disk is a disk of the configuration, with a delta for each snapshot of the chain.
func (vm *machine) disk(c diskConfig, chain []*snapshot) (*types.VirtualDisk, error) {
	ds, index := vm.home, int(c.Key-firstDisk)
	if c.Datastore != "" {
		if ds = findDatastore(vm.datacenter, c.Datastore); ds == nil {
			return nil, fmt.Errorf("no datastore %q for disk %d", c.Datastore, index+1)
		}
	}
	size := c.SizeGB
	if size == 0 {
		size = 16
	}
	disk := &types.VirtualDisk{CapacityInKB: size << 20, CapacityInBytes: size << 30}
	disk.Key, disk.ControllerKey, disk.UnitNumber = c.Key, scsiController, types.NewInt32(int32(index))
	disk.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", index+1), Summary: fmt.Sprintf("%d KB", disk.CapacityInKB)}
	directory := c.Directory
	if directory == "" {
		directory = vm.rec.Directory
	}
	base := path.Base(directory)
	if vm.rec.Stem != "" && c.Directory == "" {
		base = vm.rec.Stem
	}
	if index > 0 {
		base = fmt.Sprintf("%s_%d", base, index)
	}
	if c.File != "" {
		base = c.File
	}
	fileOn := func(ds *datastore, directory, suffix string) types.VirtualDeviceFileBackingInfo {
		return types.VirtualDeviceFileBackingInfo{FileName: fmt.Sprintf("[%s] %s/%s%s.vmdk", ds.Name, directory, base, suffix), Datastore: &ds.Self}
	}
	file := func(suffix string) types.VirtualDeviceFileBackingInfo { return fileOn(ds, directory, suffix) }
	uuid := uuidOf(fmt.Sprintf("disk %s %d", vm.rec.Moid, index))
	mode := "persistent"
	switch c.Kind {
	case "", "flat":
	case "independent_persistent", "independent_nonpersistent":
		mode = c.Kind
	case "rdm_physical", "rdm_virtual":
		disk.Backing = rawBacking(file(""), uuid, compatibilities[c.Kind], mode)
		return disk, nil
	default:
		return nil, fmt.Errorf("unknown kind of disk %q", c.Kind)
	}
	backing := &types.VirtualDiskFlatVer2BackingInfo{VirtualDeviceFileBackingInfo: file(""), DiskMode: mode, ThinProvisioned: types.NewBool(true), Uuid: uuid}
	if mode == "persistent" { // an independent disk is left out of snapshots
		for _, s := range chain {
			delta := file(fmt.Sprintf("-%06d", s.ID))
			if s.WorkingDir != "" {
				place, err := vm.datastoreFor(s.WorkingDir, "the working directory")
				if err != nil {
					return nil, err
				}
				delta = fileOn(place, vm.directoryOf(s), fmt.Sprintf("-%06d", s.ID))
			}
			backing = &types.VirtualDiskFlatVer2BackingInfo{VirtualDeviceFileBackingInfo: delta, DiskMode: mode,
				ThinProvisioned: types.NewBool(true), Uuid: uuid, Parent: backing}
		}
	}
	disk.Backing = backing
	return disk, nil
}

// datastoreFor finds a datastore of the machine's datacenter; the error says what it was to hold.
func (vm *machine) datastoreFor(name, what string) (*datastore, error) {
	if ds := findDatastore(vm.datacenter, name); ds != nil {
		return ds, nil
	}
	return nil, fmt.Errorf("no datastore %q for %s", name, what)
}

// snapshotDirectory is where the files of the machine's next snapshot go: its working directory, its home by default.
func (vm *machine) snapshotDirectory() (string, error) {
	if vm.rec.Files != nil {
		return vm.workingDirectory(&vm.rec.Files.Hardware), nil
	}
	if vm.rec.Config.WorkingDir == "" {
		return vm.path(""), nil
	}
	ds, err := vm.datastoreFor(vm.rec.Config.WorkingDir, "the working directory")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("[%s] %s/", ds.Name, vm.rec.Directory), nil
}

// directoryOf is the directory of a snapshot's files, on the working directory's datastore if it was made there.
func (vm *machine) directoryOf(s *snapshot) string {
	if s.Directory != "" {
		return s.Directory
	}
	return vm.rec.Directory
}

// swapFile is where the swap file lies: on the datastore that it was given, and only while the machine is on; "" otherwise.
func (vm *machine) swapFile() (string, error) {
	if vm.rec.Config.Swap == "" {
		return "", nil
	}
	ds, err := vm.datastoreFor(vm.rec.Config.Swap, "the swap file")
	if err != nil || vm.power() != types.VirtualMachinePowerStatePoweredOn {
		return "", err
	}
	return fmt.Sprintf("[%s] %s/%s-1f0c2a4b.vswp", ds.Name, vm.rec.Directory, vm.rec.Directory), nil
}

// datastores lists where the machine has anything: its directory, its disks with all that they are based on, the files of its
// snapshots, its swap file, or just an ISO image in its drive.
func (vm *machine) datastores(devices []types.BaseVirtualDevice) []ref {
	list := []ref{vm.files().Self}
	add := func(r *ref) {
		if r != nil && !contains(list, *r) {
			list = append(list, *r)
		}
	}
	for _, d := range append(devices[:len(devices):len(devices)], vm.keptDisks()...) {
		switch b := d.GetVirtualDevice().Backing.(type) {
		case *types.VirtualDiskFlatVer2BackingInfo:
			for ; b != nil; b = b.Parent {
				add(b.Datastore)
			}
		case types.BaseVirtualDeviceFileBackingInfo:
			add(b.GetVirtualDeviceFileBackingInfo().Datastore)
		}
	}
	named := []string{}
	vm.eachSnapshot(func(s *snapshot) { named = append(named, s.WorkingDir) })
	if vm.power() == types.VirtualMachinePowerStatePoweredOn {
		named = append(named, vm.rec.Config.Swap)
	}
	for _, name := range named {
		if ds := findDatastore(vm.datacenter, name); ds != nil {
			add(&ds.Self)
		}
	}
	return list
}

// layout lists the machine's files as vSphere's layoutEx does.
func (vm *machine) layout(devices []types.BaseVirtualDevice, swap string, now time.Time) *types.VirtualMachineFileLayoutEx {
	l := &types.VirtualMachineFileLayoutEx{Timestamp: now}
	add := func(name, kind string) int32 {
		key := int32(len(l.File))
		l.File = append(l.File, types.VirtualMachineFileLayoutExFileInfo{Key: key, Name: name, Type: kind, Size: 1 << 20, Accessible: types.NewBool(true)})
		return key
	}
	add(vm.path(vm.configFile()), "config")
	add(vm.path(vm.stem()+".nvram"), "nvram")
	add(vm.path("vmware.log"), "log")
	if swap != "" {
		add(swap, "swap")
	}
	for _, d := range devices {
		disk, ok := d.(*types.VirtualDisk)
		if !ok {
			continue
		}
		units := types.VirtualMachineFileLayoutExDiskLayout{Key: disk.Key}
		if b, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
			for ; b != nil; b = b.Parent {
				unit := types.VirtualMachineFileLayoutExDiskUnit{FileKey: []int32{add(b.FileName, "diskDescriptor")}}
				units.Chain = append([]types.VirtualMachineFileLayoutExDiskUnit{unit}, units.Chain...)
			}
		} else {
			file := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo).GetVirtualDeviceFileBackingInfo().FileName
			units.Chain = []types.VirtualMachineFileLayoutExDiskUnit{{FileKey: []int32{add(file, "diskDescriptor")}}}
		}
		l.Disk = append(l.Disk, units)
	}
	vm.eachSnapshot(func(s *snapshot) {
		file := vm.path(fmt.Sprintf("%s-Snapshot%d.vmsn", vm.stem(), s.ID))
		if ds := findDatastore(vm.datacenter, s.WorkingDir); ds != nil {
			file = fmt.Sprintf("[%s] %s/%s-Snapshot%d.vmsn", ds.Name, vm.directoryOf(s), vm.rec.Directory, s.ID)
		}
		key := add(file, "snapshotData")
		l.Snapshot = append(l.Snapshot, types.VirtualMachineFileLayoutExSnapshotLayout{Key: s.ref(), DataKey: key, MemoryKey: -1})
	})
	return l
}

// incompatible is the fault that vSphere raises where a device forbids snapshots of a running machine, or nil.
func (vm *machine) incompatible() fault {
	c := &vm.rec.Config
	if c.FaultTolerance {
		return &types.SnapshotDisabled{}
	}
	device := ""
	if vm.hasPhysicalRDM() {
		device = "a raw device mapping in physical compatibility mode"
	}
	if c.BusSharing != "" && c.BusSharing != "noSharing" {
		device = "a SCSI controller engaged in bus-sharing"
	}
	if c.PCIPassthrough && vm.power() == types.VirtualMachinePowerStatePoweredOn {
		device = "pciPassthru0"
	}
	if device == "" {
		return nil
	}
	return &types.SnapshotIncompatibleDeviceInVm{Fault: types.LocalizedMethodFault{
		Fault:            &types.DeviceNotSupported{Device: device},
		LocalizedMessage: fmt.Sprintf("Device '%s' is not supported.", device)}}
}

func (vm *machine) hasPhysicalRDM() bool {
	if vm.rec.Files != nil {
		for _, d := range vm.rec.Files.Hardware.Disks {
			if d.Kind == "rdm_physical" {
				return true
			}
		}
		return false
	}
	for _, d := range vm.rec.Config.Disks {
		if d.Kind == "rdm_physical" {
			return true
		}
	}
	return false
}

func findDatastore(dc *simulator.Datacenter, name string) *datastore {
	for _, d := range inv.datastores {
		if d.datacenter == dc && d.rec.Name == name {
			return d
		}
	}
	return nil
}

func findDatastoreByRef(r ref) *datastore {
	for _, d := range inv.datastores {
		if d.Self == r {
			return d
		}
	}
	return nil
}
