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

// searchIndex adds what the simulator's lacks: a BIOS UUID need not be unique, so there may be several answers; and datacenters.
type searchIndex struct{ simulator.SearchIndex }

// FindByDatastorePath finds the machine with this .vmx file. Two datacenters can have datastores of one name.
func (s *searchIndex) FindByDatastorePath(req *types.FindByDatastorePath) soap.HasFault {
	res := &types.FindByDatastorePathResponse{}
	for _, vm := range inv.sortedMachines() {
		if vm.datacenter.Self == req.Datacenter && vm.Config.Files.VmPathName == req.Path {
			res.Returnval = &vm.Self
		}
	}
	return &methods.FindByDatastorePathBody{Res: res}
}

func (s *searchIndex) FindAllByUuid(req *types.FindAllByUuid) soap.HasFault {
	res := &types.FindAllByUuidResponse{}
	for _, vm := range inv.sortedMachines() {
		uuid := vm.rec.Config.BiosUUID
		if isTrue(req.InstanceUuid) {
			uuid = vm.rec.Config.InstanceUUID
		}
		if req.VmSearch && uuid == req.Uuid {
			res.Returnval = append(res.Returnval, vm.Self)
		}
	}
	return &methods.FindAllByUuidBody{Res: res}
}
