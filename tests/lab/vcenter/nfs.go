// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Datastores: one object for each export and datacenter, mounted on any number of hosts. Beside NFS there are local ones, so
// that a test can see that they are left alone.

type datastore struct {
	mo.Datastore
	unlocked
	rec         *datastoreRecord
	datacenter  *simulator.Datacenter
	directories map[string]bool // taken by machines
}

// datastoreRecord is everything that survives a restart.
type datastoreRecord struct {
	Moid       string                   `json:"moid"`
	Name       string                   `json:"name"` // as it was given, not escaped
	Datacenter string                   `json:"datacenter"`
	Spec       *types.HostNasVolumeSpec `json:"spec,omitempty"` // nil: a local datastore
	Mounts     []mountRecord            `json:"mounts"`
}

type mountRecord struct {
	Host    string   `json:"host"`
	Access  string   `json:"access"`
	Servers []string `json:"servers,omitempty"` // of this host, where NFS 4.1 lets it have others than the rest
}

const datastoreCapacity = 1 << 40

func addConfiguredDatastore(c *datastoreConfig) error {
	dc := inv.datacenter(c.Datacenter)
	if dc == nil {
		return fmt.Errorf("no datacenter %q", c.Datacenter)
	}
	spec := &types.HostNasVolumeSpec{LocalPath: c.Name, RemoteHost: c.Server, RemotePath: c.Path, AccessMode: c.Access, RemoteHostNames: c.Servers}
	switch c.Type {
	case "", "nfs":
		spec.Type = "NFS"
	case "nfs41":
		spec.Type = "NFS41"
	case "local":
		spec = nil
	default:
		return fmt.Errorf("unknown type %q", c.Type)
	}
	access := c.Access
	if access == "" {
		access = "readWrite"
	}
	rec := &datastoreRecord{Name: c.Name, Datacenter: dc.Name, Spec: spec}
	for _, h := range inv.hosts {
		if h.datacenter == dc && (len(c.Hosts) == 0 || strings.Contains("\n"+strings.Join(c.Hosts, "\n")+"\n", "\n"+h.Name+"\n")) {
			rec.Mounts = append(rec.Mounts, mountRecord{Host: h.Name, Access: access})
		}
	}
	return addDatastore(rec)
}

// addDatastore makes the datastore of a record and mounts it on the record's hosts.
func addDatastore(rec *datastoreRecord) error {
	dc := inv.datacenter(rec.Datacenter)
	if dc == nil {
		return fmt.Errorf("no datacenter %q", rec.Datacenter)
	}
	if findDatastore(dc, rec.Name) != nil {
		return fmt.Errorf("the name is taken in datacenter %q", dc.Name)
	}
	mounts := rec.Mounts
	rec.Mounts = nil
	ds := newDatastore(dc, rec)
	for _, m := range mounts {
		h := inv.host(m.Host)
		if h == nil {
			return fmt.Errorf("no host %q", m.Host)
		}
		h.mount(ds, m.Access, m.Servers)
	}
	return nil
}

// serverOf is the first server of an export.
func serverOf(spec *types.HostNasVolumeSpec) string {
	if spec.RemoteHost == "" && len(spec.RemoteHostNames) > 0 {
		return spec.RemoteHostNames[0]
	}
	return spec.RemoteHost
}

func newDatastore(dc *simulator.Datacenter, rec *datastoreRecord) *datastore {
	ds := &datastore{rec: rec, datacenter: dc, directories: map[string]bool{}}
	name, spec := rec.Name, rec.Spec
	if rec.Moid == "" {
		rec.Moid = fmt.Sprintf("datastore-%d", inv.newID())
		if inv.esx {
			rec.Moid = uuidOf("esx " + name)
			if spec != nil {
				rec.Moid = spec.RemoteHost + ":" + spec.RemotePath
			}
		}
	}
	ds.Self = ref{Type: "Datastore", Value: rec.Moid}
	id := uuidOf(rec.Moid)[:17]
	if spec != nil { // the hypervisor and every host make the same of the same export
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(serverOf(spec)+":"+spec.RemotePath)))
		id = sum[:8] + "-" + sum[8:16]
	}
	url := "ds:///vmfs/volumes/" + id + "/"
	info := types.DatastoreInfo{Name: escaped(name), Url: url, FreeSpace: datastoreCapacity / 2, MaxFileSize: datastoreCapacity}
	volume := types.HostFileSystemVolume{Name: escaped(name), Capacity: datastoreCapacity}
	ds.Summary = types.DatastoreSummary{Datastore: &ds.Self, Name: escaped(name), Url: url, Capacity: datastoreCapacity, FreeSpace: datastoreCapacity / 2,
		Accessible: true, MaintenanceMode: "normal", MultipleHostAccess: types.NewBool(spec != nil)}
	ds.Name = escaped(name)
	ds.Capability = types.DatastoreCapability{DirectoryHierarchySupported: true, PerFileThinProvisioningSupported: true}
	if spec == nil {
		volume.Type = "VMFS"
		ds.Info = &types.VmfsDatastoreInfo{DatastoreInfo: info, Vmfs: &types.HostVmfsVolume{HostFileSystemVolume: volume, BlockSizeMb: 1,
			MaxBlocks: 1 << 20, MajorVersion: 6, Version: "6.82", Uuid: id, Local: types.NewBool(true),
			Extent: []types.HostScsiDiskPartition{{DiskName: "mpx.vmhba0:C0:T0:L0", Partition: 3}}}}
	} else {
		volume.Type = spec.Type
		if volume.Type == "" {
			volume.Type = "NFS"
		}
		nas := &types.HostNasVolume{HostFileSystemVolume: volume, RemoteHost: spec.RemoteHost, RemotePath: spec.RemotePath,
			RemoteHostNames: spec.RemoteHostNames, SecurityType: spec.SecurityType}
		nas.RemoteHost = serverOf(spec)
		if volume.Type == "NFS41" && len(nas.RemoteHostNames) == 0 {
			nas.RemoteHostNames = []string{nas.RemoteHost}
		}
		ds.Info = &types.NasDatastoreInfo{DatastoreInfo: info, Nas: nas}
	}
	ds.Summary.Type = volume.Type
	browser := &datastoreBrowser{ds: ds}
	browser.Self = ref{Type: "HostDatastoreBrowser", Value: "datastoreBrowser-" + ds.Self.Value}
	browser.Datastore = []ref{ds.Self}
	ds.Browser = simulator.Map.Put(browser).Reference()
	inv.datastores = append(inv.datastores, ds)
	folder := simulator.Map.Get(dc.DatastoreFolder).(*simulator.Folder)
	ds.Parent = &folder.Self
	simulator.Map.Put(ds)
	update(folder, func() { folder.ChildEntity = appended(folder.ChildEntity, ds.Self) }, "childEntity")
	update(dc, func() { dc.Datastore = appended(dc.Datastore, ds.Self) }, "datastore")
	return ds
}

// findShownDatastore finds one by the name that clients see.
func findShownDatastore(dc *simulator.Datacenter, name string) *datastore {
	for _, ds := range inv.datastores {
		if ds.datacenter == dc && ds.Name == name {
			return ds
		}
	}
	return nil
}

func (ds *datastore) nas() *types.HostNasVolume {
	if i, ok := ds.Info.(*types.NasDatastoreInfo); ok {
		return i.Nas
	}
	return nil
}

func (ds *datastore) mountedOn() []*host {
	var hosts []*host
	for _, h := range inv.hosts {
		if ds.mountIndex(h) >= 0 {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

func (ds *datastore) mountIndex(h *host) int {
	for i := range ds.Datastore.Host {
		if ds.Datastore.Host[i].Key == h.Self {
			return i
		}
	}
	return -1
}

func (ds *datastore) listMachine(vm ref) {
	if !contains(ds.Vm, vm) {
		ds.Vm = append(ds.Vm, vm)
		hub.changed(ds.Self, "vm")
	}
}

func (ds *datastore) unlistMachine(vm ref) {
	ds.Vm = without(ds.Vm, vm)
	hub.changed(ds.Self, "vm")
}

func (h *host) mount(ds *datastore, access string, servers []string) {
	mount := types.DatastoreHostMount{Key: h.Self, MountInfo: types.HostMountInfo{AccessMode: access, Mounted: types.NewBool(true),
		Accessible: types.NewBool(true), Path: strings.TrimSuffix(strings.TrimPrefix(ds.Summary.Url, "ds://"), "/")}}
	n := len(ds.Datastore.Host)
	ds.Datastore.Host = append(ds.Datastore.Host[:n:n], mount)
	ds.rec.Mounts = append(ds.rec.Mounts, mountRecord{Host: h.Name, Access: access, Servers: servers})
	journal.write(entry{Datastore: ds.rec})
	hub.changed(ds.Self, "host")
	h.setDatastores(appended(h.HostSystem.Datastore, ds.Self))
}

func (h *host) unmount(ds *datastore) {
	i := ds.mountIndex(h)
	ds.Datastore.Host = append(ds.Datastore.Host[:i:i], ds.Datastore.Host[i+1:]...)
	ds.rec.Mounts = append(ds.rec.Mounts[:i:i], ds.rec.Mounts[i+1:]...)
	journal.write(entry{Datastore: ds.rec})
	hub.changed(ds.Self, "host")
	h.setDatastores(without(h.HostSystem.Datastore, ds.Self))
	if len(ds.Datastore.Host) > 0 {
		return
	}
	journal.write(entry{GoneDatastore: ds.rec.Moid})
	for i, d := range inv.datastores { // unmounted everywhere: the inventory forgets it
		if d == ds {
			inv.datastores = append(inv.datastores[:i:i], inv.datastores[i+1:]...)
		}
	}
	folder := simulator.Map.Get(*ds.Parent).(*simulator.Folder)
	update(folder, func() { folder.ChildEntity = without(folder.ChildEntity, ds.Self) }, "childEntity")
	update(ds.datacenter, func() { ds.datacenter.Datastore = without(ds.datacenter.Datastore, ds.Self) }, "datastore")
	removeObject(ds.Browser)
	removeObject(ds.Self)
}

func (h *host) setDatastores(list []ref) {
	h.mounts.HostDatastoreSystem.Datastore = list
	update(h.HostSystem, func() { h.HostSystem.Datastore = list }, "datastore")
	h.showVolumes()
	compute := computeResource(h)
	var all []ref
	for _, other := range inv.hosts {
		if *other.Parent == *h.Parent {
			for _, d := range other.HostSystem.Datastore {
				if !contains(all, d) {
					all = append(all, d)
				}
			}
		}
	}
	update(simulator.Map.Get(compute.Self), func() { compute.Datastore = all }, "datastore")
}

// showVolumes publishes what the host itself says of its datastores: the volumes, each with the servers that this host has.
func (h *host) showVolumes() {
	info := &types.HostFileSystemVolumeInfo{VolumeTypeList: []string{"VMFS", "NFS", "NFS41"}}
	for _, r := range h.HostSystem.Datastore {
		ds := findDatastoreByRef(r)
		i := ds.mountIndex(h)
		mounted := types.HostFileSystemMountInfo{MountInfo: ds.Datastore.Host[i].MountInfo}
		if nas := ds.nas(); nas != nil {
			own := *nas
			if servers := ds.rec.Mounts[i].Servers; len(servers) > 0 {
				own.RemoteHost, own.RemoteHostNames = servers[0], servers
			}
			mounted.Volume = &own
		} else {
			mounted.Volume = ds.Info.(*types.VmfsDatastoreInfo).Vmfs
		}
		info.MountInfo = append(info.MountInfo, mounted)
	}
	config := *h.Config
	config.FileSystemVolume = info
	update(h.HostSystem, func() { h.Config = &config }, "config")
}

// sameExport is what vCenter takes for the same: for NFS 3 the same text, for NFS 4.1 the same path and a server in common.
func sameExport(nas *types.HostNasVolume, spec *types.HostNasVolumeSpec) bool {
	if nas == nil || nas.RemotePath != spec.RemotePath {
		return false
	}
	if nas.Type == "NFS41" && spec.Type == "NFS41" {
		for _, server := range spec.RemoteHostNames {
			if strings.Contains("\n"+strings.Join(nas.RemoteHostNames, "\n")+"\n", "\n"+server+"\n") {
				return true
			}
		}
	}
	return nas.RemoteHost == spec.RemoteHost
}

func (ds *datastore) rename(name string) fault {
	if other := findDatastore(ds.datacenter, name); other != nil && other != ds {
		return &types.DuplicateName{Name: name, Object: other.Self}
	}
	old := ds.rec.Name
	ds.rec.Name, ds.Name, ds.Summary.Name = name, escaped(name), escaped(name)
	journal.write(entry{Datastore: ds.rec})
	switch info := ds.Info.(type) {
	case *types.NasDatastoreInfo:
		fresh, nas := *info, *info.Nas
		fresh.Name, nas.Name, fresh.Nas = ds.Name, ds.Name, &nas
		ds.Info = &fresh
	case *types.VmfsDatastoreInfo:
		fresh, vmfs := *info, *info.Vmfs
		fresh.Name, vmfs.Name, fresh.Vmfs = ds.Name, ds.Name, &vmfs
		ds.Info = &fresh
	}
	for _, h := range ds.mountedOn() {
		h.showVolumes()
	}
	for _, r := range ds.Vm { // the paths of their files begin with the datastore's name
		vm := inv.machines[r.Value]
		vm.followRename(old, name)
		_ = vm.show()
	}
	hub.changed(ds.Self)
	return nil
}

// RenameDatastore renames it on every host.
func (ds *datastore) RenameDatastore(req *types.RenameDatastore) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	if f := ds.rename(req.NewName); f != nil {
		return &methods.RenameDatastoreBody{Fault_: soapFault(f, "")}
	}
	return &methods.RenameDatastoreBody{Res: &types.RenameDatastoreResponse{}}
}

// RefreshDatastore has nothing to refresh.
func (ds *datastore) RefreshDatastore(*types.RefreshDatastore) soap.HasFault {
	return &methods.RefreshDatastoreBody{Res: &types.RefreshDatastoreResponse{}}
}
