// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Mounting and unmounting NFS datastores on hosts.

// datastoreSystem is a host's HostDatastoreSystem: what mounts and unmounts.
type datastoreSystem struct {
	mo.HostDatastoreSystem
	unlocked
	host *host
}

// notConnected is what vCenter answers to who wants something of a host that it does not reach.
func (h *host) notConnected() *soap.Fault {
	if h.Runtime.ConnectionState == types.HostSystemConnectionStateConnected {
		return nil
	}
	return soapFault(&types.HostNotConnected{}, "Unable to communicate with the remote host, since it is disconnected.")
}

// CreateNasDatastore mounts an export on this host, and lets the hypervisor mount it. vCenter knows a datastore by what it lies
// on: the same export under another name, or another export under a name that is taken in the datacenter, is refused.
func (s *datastoreSystem) CreateNasDatastore(req *types.CreateNasDatastore) soap.HasFault {
	spec := req.Spec
	spec.RemoteHost = serverOf(&spec)
	world.Lock()
	defer world.Unlock()
	ds, refused := s.mountable(&spec)
	if refused == nil && hypervisorAddress != "" {
		world.Unlock() // mounting takes real time
		f := askHypervisor("mount", mountArguments(&spec, spec.LocalPath), nil)
		world.Lock()
		if ds, refused = s.mountable(&spec); refused == nil && f != nil {
			refused = soapFault(f, "")
		}
	}
	if refused != nil {
		return &methods.CreateNasDatastoreBody{Fault_: refused}
	}
	if ds == nil {
		ds = newDatastore(s.host.datacenter, &datastoreRecord{Name: spec.LocalPath, Datacenter: s.host.datacenter.Name, Spec: &spec})
	}
	s.host.mount(ds, spec.AccessMode, spec.RemoteHostNames)
	return &methods.CreateNasDatastoreBody{Res: &types.CreateNasDatastoreResponse{Returnval: ds.Self}}
}

// mountable is what forbids a mount, or the datastore that other hosts have mounted already. Called with world held.
func (s *datastoreSystem) mountable(spec *types.HostNasVolumeSpec) (ds *datastore, refused *soap.Fault) {
	if f := s.host.notConnected(); f != nil {
		return nil, f
	}
	if spec.RemoteHost == "" || spec.RemotePath == "" || spec.LocalPath == "" {
		return nil, soapFault(&types.InvalidArgument{InvalidProperty: "spec"}, "")
	}
	for _, other := range inv.datastores {
		if other.datacenter != s.host.datacenter {
			continue
		}
		same := sameExport(other.nas(), spec)
		switch {
		case same && other.mountIndex(s.host) >= 0:
			return nil, soapFault(&types.AlreadyExists{Name: other.Name}, "")
		case same && other.rec.Name == spec.LocalPath:
			ds = other
		case same || other.rec.Name == spec.LocalPath:
			return nil, soapFault(&types.DuplicateName{Name: spec.LocalPath, Object: other.Self}, "")
		}
	}
	if s.host.volumes() >= s.host.maxVolumes() {
		return nil, soapFault(&types.PlatformConfigFault{Text: tooManyVolumes}, tooManyVolumes)
	}
	return ds, nil
}

const tooManyVolumes = "Unable to mount the NFS volume: NFS has reached the maximum number of supported volumes."

// volumes counts the NFS datastores of a host.
func (h *host) volumes() (n int64) {
	for _, r := range h.HostSystem.Datastore {
		if findDatastoreByRef(r).nas() != nil {
			n++
		}
	}
	return n
}

// RemoveDatastore unmounts from this host; machines of this host that are registered on the datastore forbid it. When the last
// host unmounts it, the hypervisor does too.
func (s *datastoreSystem) RemoveDatastore(req *types.RemoveDatastore) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	ds, refused := s.unmountable(req.Datastore)
	if refused == nil && hypervisorAddress != "" && ds.isLastMount() {
		volume := ds.volume()
		world.Unlock()
		f := askHypervisor("unmount", parameters{"name": volume}, nil)
		world.Lock()
		if _, none := f.(*types.NotFound); none { // it has never mounted it: no real machine was there
			f = nil
		}
		if ds, refused = s.unmountable(req.Datastore); refused == nil && f != nil {
			refused = soapFault(f, "")
		}
	}
	if refused != nil {
		return &methods.RemoveDatastoreBody{Fault_: refused}
	}
	s.host.unmount(ds)
	return &methods.RemoveDatastoreBody{Res: &types.RemoveDatastoreResponse{}}
}

func (s *datastoreSystem) unmountable(r ref) (*datastore, *soap.Fault) {
	if f := s.host.notConnected(); f != nil {
		return nil, f
	}
	ds := findDatastoreByRef(r)
	if ds == nil || ds.mountIndex(s.host) < 0 {
		return nil, soapFault(&types.NotFound{}, "")
	}
	for _, r := range ds.Vm {
		if vm := inv.machines[r.Value]; vm != nil && vm.host == s.host {
			return nil, soapFault(&types.ResourceInUse{Type: "Datastore", Name: ds.Name}, "")
		}
	}
	return ds, nil
}

// isLastMount is whether no other host has mounted the same export.
func (ds *datastore) isLastMount() bool {
	n := 0
	for _, other := range inv.datastores {
		if other.nas() != nil && other.volume() == ds.volume() {
			n += len(other.Datastore.Host)
		}
	}
	return n == 1
}
