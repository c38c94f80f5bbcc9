// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Real machines have files, which the hypervisor reads and changes. Each of its answers about a machine says what the files
// say then: hardware, snapshots, identity. The record keeps the last answer, and the properties are computed from it.

// files is what the hypervisor answers about a machine.
type files struct {
	UID       int32          `json:"uid,omitempty"` // of a new snapshot
	On        bool           `json:"on,omitempty"`
	Copied    bool           `json:"copied,omitempty"` // the .vmx is not where the machine was powered on last
	Dead      bool           `json:"dead,omitempty"`   // it is on, and a program of its guest does not run
	Hardware  hardware       `json:"hardware"`
	Snapshots []fileSnapshot `json:"snapshots,omitempty"`
	Current   int32          `json:"current,omitempty"`
}

type hardware struct {
	Name           string            `json:"name"`
	BiosUUID       string            `json:"bios_uuid"`
	InstanceUUID   string            `json:"instance_uuid"`
	Annotation     string            `json:"annotation,omitempty"`
	GuestOS        string            `json:"guest_os,omitempty"`
	MemoryMB       int32             `json:"memory_mb,omitempty"`
	CPUs           int32             `json:"cpus,omitempty"`
	Disks          []fileDisk        `json:"disks"`
	Cards          []card            `json:"cards,omitempty"`
	TPM            bool              `json:"tpm,omitempty"`
	KeyProvider    string            `json:"key_provider,omitempty"`
	KeyID          string            `json:"key_id,omitempty"`
	ChangeTracking bool              `json:"change_tracking,omitempty"`
	WorkingDir     string            `json:"working_dir,omitempty"`
	Extra          map[string]string `json:"extra,omitempty"`
}

type fileDisk struct {
	Node       string   `json:"node"`
	Key        int32    `json:"key"`
	Controller int32    `json:"controller"`
	Unit       int32    `json:"unit"`
	Mode       string   `json:"mode"`
	Kind       string   `json:"kind"` // flat, rdm_physical, rdm_virtual
	Bytes      int64    `json:"bytes"`
	Files      []string `json:"files"` // paths below /vmfs/volumes, the base first
}

type fileSnapshot struct {
	UID         int32    `json:"uid"`
	Parent      int32    `json:"parent"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Created     int64    `json:"created"` // microseconds since 1970
	Quiesced    bool     `json:"quiesced,omitempty"`
	Manifest    string   `json:"manifest,omitempty"`
	Hardware    hardware `json:"hardware"`
}

// follow takes over what the hypervisor answered. The caller shows the machine.
func (vm *machine) follow(answer files) {
	vm.rec.Files = &answer
	h := &answer.Hardware
	if h.BiosUUID != "" {
		vm.rec.Config.BiosUUID = h.BiosUUID
	}
	for _, f := range answer.Snapshots {
		if s := vm.snapshotByID(f.UID); s != nil {
			s.Manifest = vm.manifest(f)
		}
	}
}

// followReal does so for a real machine; of others there is no answer.
func (vm *machine) followReal(answer files) {
	if vm.rec.Config.Real {
		vm.follow(answer)
	}
}

// reread takes over what the hypervisor says of a machine after a failure. Called without world held.
func (vm *machine) reread() {
	var answer files
	if f := vm.order("show", nil, &answer); f != nil {
		return
	}
	world.Lock()
	defer world.Unlock()
	vm.follow(answer)
	_ = vm.show()
}

// showFiles lays what the files of a real machine say over its properties.
func (vm *machine) showFiles(config *types.VirtualMachineConfigInfo) {
	c := &vm.rec.Config
	tracking, provider, key := c.ChangeTracking, c.KeyProvider, "key-of-"+c.Name
	if vm.rec.Files != nil {
		h := &vm.rec.Files.Hardware
		tracking, provider, key = h.ChangeTracking, h.KeyProvider, h.KeyID
		config.ExtraConfig = optionValues(h.Extra)
		config.Hardware.NumCPU, config.Hardware.MemoryMB = h.CPUs, h.MemoryMB
		if h.Annotation != "" {
			config.Annotation = h.Annotation
		}
	}
	config.ChangeTrackingEnabled = &tracking
	if provider != "" || vm.rec.Files != nil && key != "" {
		config.KeyId = &types.CryptoKeyId{KeyId: key, ProviderId: &types.KeyProviderId{Id: provider}}
	}
}

func (vm *machine) snapshotByID(id int32) (found *snapshot) {
	vm.eachSnapshot(func(s *snapshot) {
		if s.ID == id {
			found = s
		}
	})
	return found
}

func (vm *machine) manifest(f fileSnapshot) string {
	if f.Manifest == "" {
		return ""
	}
	return vm.path(f.Manifest)
}

// readTree makes the snapshots of a newly registered machine from its files.
func (vm *machine) readTree() {
	made := map[int32]*snapshot{}
	vm.rec.Snapshots, vm.rec.Current = nil, ""
	for _, f := range vm.rec.Files.Snapshots { // parents come before their children
		s := &snapshot{Name: f.Name, Description: f.Description, ID: f.UID, Created: time.UnixMicro(f.Created).UTC()}
		if behavior.QuiescedAfterRegistration {
			s.Quiesced, s.Manifest = f.Quiesced, vm.manifest(f)
		}
		s.Moid = vm.newSnapshotID(s.ID)
		made[f.UID] = s
		if parent := made[f.Parent]; parent != nil {
			parent.Children = append(parent.Children, s)
		} else {
			vm.rec.Snapshots = append(vm.rec.Snapshots, s)
		}
		if f.UID == vm.rec.Files.Current {
			vm.rec.Current = s.Moid
		}
		if f.UID > vm.rec.SnapshotNumber {
			vm.rec.SnapshotNumber = f.UID
		}
	}
}

// hardwareAt is what the files say of a snapshot, or (nil) of the machine now.
func (f *files) hardwareAt(s *snapshot) *hardware {
	if s != nil {
		for i := range f.Snapshots {
			if f.Snapshots[i].UID == s.ID {
				return &f.Snapshots[i].Hardware
			}
		}
	}
	return &f.Hardware
}

// datastorePath is a path of the hypervisor as vSphere writes it, with its datastore; without one when no such datastore is mounted.
func datastorePath(dc *simulator.Datacenter, path string) (string, *ref) {
	parts := strings.SplitN(strings.TrimPrefix(path, "/vmfs/volumes/"), "/", 2)
	for _, ds := range inv.datastores {
		if len(parts) == 2 && ds.datacenter == dc && ds.volume() == parts[0] {
			return fmt.Sprintf("[%s] %s", ds.Name, parts[1]), &ds.Self
		}
	}
	return "[] " + path, nil
}

// fileDevice is a disk as its files are.
func (vm *machine) fileDevice(d fileDisk, number int) *types.VirtualDisk {
	disk := &types.VirtualDisk{CapacityInKB: d.Bytes >> 10, CapacityInBytes: d.Bytes}
	unit := d.Unit
	disk.Key, disk.ControllerKey, disk.UnitNumber = d.Key, d.Controller, &unit
	disk.DeviceInfo = &types.Description{Label: fmt.Sprintf("Hard disk %d", number), Summary: fmt.Sprintf("%d KB", disk.CapacityInKB)}
	uuid := uuidOf("disk " + d.Files[0])
	if compatibility := compatibilities[d.Kind]; compatibility != "" {
		disk.Backing = rawBacking(vm.fileBacking(d.Files[len(d.Files)-1]), uuid, compatibility, d.Mode)
		return disk
	}
	var backing *types.VirtualDiskFlatVer2BackingInfo
	for _, file := range d.Files {
		backing = &types.VirtualDiskFlatVer2BackingInfo{VirtualDeviceFileBackingInfo: vm.fileBacking(file), DiskMode: d.Mode,
			ThinProvisioned: types.NewBool(true), Uuid: uuid, Parent: backing}
	}
	disk.Backing = backing
	return disk
}

func (vm *machine) fileBacking(path string) types.VirtualDeviceFileBackingInfo {
	name, ds := datastorePath(vm.datacenter, path)
	return types.VirtualDeviceFileBackingInfo{FileName: name, Datastore: ds}
}

// fileDevices are the disks of the files, with the controllers that they need in addition to the usual ones.
func (vm *machine) fileDevices(h *hardware) (devices []types.BaseVirtualDevice) {
	made := map[int32]bool{scsiController: true, ideController: true}
	for i, d := range h.Disks {
		if !made[d.Controller] {
			made[d.Controller] = true
			devices = append(devices, controllerOf(d))
		}
		devices = append(devices, vm.fileDevice(d, i+1))
	}
	return devices
}

// workingDirectory is where the files of new snapshots go.
func (vm *machine) workingDirectory(h *hardware) string {
	if !strings.HasPrefix(h.WorkingDir, "/") {
		return vm.path("")
	}
	place, _ := datastorePath(vm.datacenter, h.WorkingDir+"/")
	return place
}

// keptDisks are the disks of a real machine's snapshots.
func (vm *machine) keptDisks() (devices []types.BaseVirtualDevice) {
	if vm.rec.Files == nil {
		return nil
	}
	for i := range vm.rec.Files.Snapshots {
		for _, d := range vm.rec.Files.Snapshots[i].Hardware.Disks {
			devices = append(devices, vm.fileDevice(d, 0))
		}
	}
	return devices
}

func controllerOf(d fileDisk) types.BaseVirtualDevice {
	var made types.BaseVirtualDevice
	switch {
	case strings.HasPrefix(d.Node, "sata"):
		made = &types.VirtualAHCIController{}
	case strings.HasPrefix(d.Node, "nvme"):
		made = &types.VirtualNVMEController{}
	case strings.HasPrefix(d.Node, "ide"):
		made = &types.VirtualIDEController{}
	default:
		made = &types.ParaVirtualSCSIController{}
	}
	v := made.GetVirtualDevice()
	v.Key = d.Controller
	v.DeviceInfo = &types.Description{Label: fmt.Sprintf("Controller of %s", d.Node), Summary: d.Node}
	return made
}
