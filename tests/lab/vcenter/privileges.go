// Copyright: (c) 2026, the quiesce.vmware_zfs authors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// Privileges: the user has all of them but those denied at run time, everywhere or on objects whose name matches. Calls that
// need a denied one are refused, and the authorization manager says so when it is asked.

type authorization struct {
	simulator.AuthorizationManager
	unlocked
}

type denial struct {
	Privilege string `json:"privilege"`
	Object    string `json:"object"` // regular expression for the entity's name; empty: everywhere
}

var denials struct {
	sync.Mutex
	list []denial
}

// needed names the privilege for each call that the lab enforces.
var needed = map[string]string{
	"CreateSnapshot_Task": "VirtualMachine.State.CreateSnapshot", "CreateSnapshotEx_Task": "VirtualMachine.State.CreateSnapshot",
	"RemoveSnapshot_Task": "VirtualMachine.State.RemoveSnapshot", "RemoveAllSnapshots_Task": "VirtualMachine.State.RemoveSnapshot",
	"ConsolidateVMDisks_Task": "VirtualMachine.State.RemoveSnapshot", "RevertToSnapshot_Task": "VirtualMachine.State.RevertToSnapshot",
	"RenameSnapshot": "VirtualMachine.State.RenameSnapshot", "CreateNasDatastore": "Host.Config.Storage", "RemoveDatastore": "Host.Config.Storage",
	"RenameDatastore": "Datastore.Rename",
}

// granted looks at the name of the entity only; denials on a folder are not inherited.
func granted(privilege string, entity ref) bool {
	denials.Lock()
	defer denials.Unlock()
	for _, d := range denials.list {
		if d.Privilege == privilege && matches(d.Object, nameOf(entity)) {
			return false
		}
	}
	return true
}

// nameOf reads a name without world: it is called with and without it held. Machines are looked up by their record.
func nameOf(r ref) string {
	switch o := simulator.Map.Get(r).(type) {
	case *machine:
		return o.rec.Config.Name
	case mo.Entity:
		return o.Entity().Name
	}
	return r.Value
}

// missingPrivilege is vSphere's refusal: it names the privilege and the entity.
func missingPrivilege(m *simulator.Method, object mo.Reference) fault {
	privilege, ok := needed[m.Name]
	if !ok {
		return nil
	}
	world.RLock()
	defer world.RUnlock()
	entity := object.Reference()
	switch o := object.(type) {
	case *snapshotObject:
		entity = o.vm.Self
	case *datastoreSystem:
		entity = o.host.Self
	}
	if granted(privilege, entity) {
		return nil
	}
	return &types.NoPermission{Object: entity, PrivilegeId: privilege}
}

func availability(entities []ref, privileges []string) (out []types.EntityPrivilege) {
	world.RLock()
	defer world.RUnlock()
	for _, e := range entities {
		p := types.EntityPrivilege{Entity: e}
		for _, id := range privileges {
			p.PrivAvailability = append(p.PrivAvailability, types.PrivilegeAvailability{PrivId: id, IsGranted: granted(id, e)})
		}
		out = append(out, p)
	}
	return out
}

func (a *authorization) HasPrivilegeOnEntities(req *types.HasPrivilegeOnEntities) soap.HasFault {
	return &methods.HasPrivilegeOnEntitiesBody{Res: &types.HasPrivilegeOnEntitiesResponse{Returnval: availability(req.Entity, req.PrivId)}}
}

func (a *authorization) HasUserPrivilegeOnEntities(req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	return &methods.HasUserPrivilegeOnEntitiesBody{Res: &types.HasUserPrivilegeOnEntitiesResponse{Returnval: availability(req.Entities, req.PrivId)}}
}

func (a *authorization) HasPrivilegeOnEntity(req *types.HasPrivilegeOnEntity) soap.HasFault {
	res := &types.HasPrivilegeOnEntityResponse{}
	for _, p := range availability([]ref{req.Entity}, req.PrivId)[0].PrivAvailability {
		res.Returnval = append(res.Returnval, p.IsGranted)
	}
	return &methods.HasPrivilegeOnEntityBody{Res: res}
}

func (a *authorization) FetchUserPrivilegeOnEntities(req *types.FetchUserPrivilegeOnEntities) soap.HasFault {
	body := a.AuthorizationManager.FetchUserPrivilegeOnEntities(req).(*methods.FetchUserPrivilegeOnEntitiesBody)
	world.RLock()
	defer world.RUnlock()
	for i, r := range body.Res.Returnval {
		var left []string
		for _, id := range r.Privileges {
			if granted(id, r.Entity) {
				left = append(left, id)
			}
		}
		body.Res.Returnval[i].Privileges = left
	}
	return body
}
