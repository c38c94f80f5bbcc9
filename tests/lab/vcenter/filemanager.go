// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Files of datastores: the lab carries out only the deletion, and only where the hypervisor has the datastore.

type fileManager struct {
	*simulator.FileManager
	unlocked
}

func (m *fileManager) DeleteDatastoreFileTask(ctx *simulator.Context, req *types.DeleteDatastoreFile_Task) soap.HasFault {
	world.Lock()
	defer world.Unlock()
	ds, file := fileOf(req.Datacenter, req.Name)
	deed := func(*task) fault {
		switch {
		case ds == nil:
			return &types.InvalidDatastorePath{DatastorePath: req.Name}
		case hypervisorAddress == "" || ds.rec.Spec == nil:
			return &types.FileNotFound{FileFault: types.FileFault{File: req.Name}}
		}
		return askHypervisor("delete_file", parameters{"path": ds.file(file)}, nil)
	}
	s := subject{entity: serviceContent().RootFolder, name: req.Name}
	if ds != nil {
		s.entity = ds.Self
	}
	t := startOn(callOf(ctx), s, "DeleteDatastoreFile_Task", deed, func(*task) (types.AnyType, fault) { return nil, nil })
	return &methods.DeleteDatastoreFile_TaskBody{Res: &types.DeleteDatastoreFile_TaskResponse{Returnval: t}}
}

// fileOf finds the datastore of a path, in a datacenter or (nil) in the first one.
func fileOf(datacenter *ref, place string) (*datastore, string) {
	dc := inv.datacenter("")
	if datacenter != nil {
		dc, _ = simulator.Map.Get(*datacenter).(*simulator.Datacenter)
	}
	parts := datastorePathForm.FindStringSubmatch(place)
	if parts == nil || dc == nil {
		return nil, ""
	}
	return findShownDatastore(dc, parts[1]), parts[2]
}
